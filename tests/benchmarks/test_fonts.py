"""benchmarks/fonts.py on a font that comes with Matplotlib."""

import json
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pytest

from benchmarks import fonts, reports

FONT = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"


def test_digits_are_read_and_letters_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(reports, "FOLDER", tmp_path)
    monkeypatch.setattr(sys, "argv", ["fonts", str(FONT)])
    assert fonts.main() == 0
    report = json.loads((tmp_path / "fonts.json").read_text())
    assert report["fonts"] == 1
    assert [report[part]["n"] for part in ("digits", "rows", "signs")] == [10, 1, 45]
    assert report["digits"]["share"] >= 0.9
    assert report["signs"]["share"] >= 0.9


def test_writing_fills_its_height_and_has_a_border_all_around():
    dark = (fonts.written("21", FONT) < 128).any(2)
    rows, columns = (np.flatnonzero(dark.any(axis)) for axis in (1, 0))
    borders = rows[0], dark.shape[0] - 1 - rows[-1], columns[0], dark.shape[1] - 1 - columns[-1]
    assert np.abs(np.array(borders[:2]) - fonts.BORDER).max() <= 3
    assert min(borders[2:]) >= fonts.BORDER - 3
    assert abs(np.ptp(rows) + 1 - fonts.HEIGHT) <= 3


def test_a_font_without_the_sign_is_named():
    with pytest.raises(ValueError, match=r"DejaVuSans\.ttf draws nothing for ' '"):
        fonts.written(" ", FONT)
