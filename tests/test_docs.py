"""README and card: their numbers are those of the reports, and their code runs."""

import re
from pathlib import Path

import pytest

from benchmarks import render

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("name", ["README.md", "mnist_cnn/model_card.md"])
def test_numbers_are_up_to_date(name):
    file = ROOT / name
    assert render.rendered()[file] == file.read_text(), "run: python -m benchmarks.render"


def test_the_readmes_python_runs(tmp_path, monkeypatch, frames):
    from PIL import Image

    Image.fromarray(255 - frames[70]).resize((280, 280)).save(tmp_path / "seven.png")
    monkeypatch.chdir(tmp_path)
    code = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[1]
    names: dict = {}
    exec(code, names)
    assert names["answer"].digit == 7
