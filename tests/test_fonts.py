"""benchmarks/fonts.py on a font that comes with Matplotlib."""

import json
import sys
from pathlib import Path

import matplotlib
import numpy as np

from benchmarks import fonts

FONT = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"


def test_digits_are_read_and_letters_refused(tmp_path, monkeypatch):
    (tmp_path / "benchmarks").mkdir()
    monkeypatch.setattr(fonts, "ROOT", tmp_path)
    monkeypatch.setattr(sys, "argv", ["fonts", str(FONT)])
    assert fonts.main() == 0
    report = json.loads((tmp_path / "benchmarks" / "fonts.json").read_text())
    assert report["fonts"] == ["DejaVuSans"]
    assert [report[part]["n"] for part in ("digits", "rows", "signs")] == [10, 1, 45]
    assert report["digits"]["share"] >= 0.9
    assert report["signs"]["share"] >= 0.9


def test_writing_fills_its_height():
    picture = fonts.written("21", FONT)
    rows = np.flatnonzero((picture < 128).any((1, 2)))
    assert abs(np.ptp(rows) + 1 - fonts.HEIGHT) <= 3
    assert rows[0] >= fonts.BORDER - 2
