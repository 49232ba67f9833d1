"""README and card: their numbers are those of the reports, and their code runs."""

import re
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from benchmarks import render
from mnist_cnn import card

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("name", ["README.md", "model_card.md"])
def test_numbers_are_up_to_date(name):
    file = ROOT / name
    assert render.rendered()[file] == file.read_text(), "run: python -m benchmarks.render"


def test_the_card_has_valid_metadata(model):
    data = ModelCard((ROOT / "model_card.md").read_text()).data
    assert data.license == "mit"
    assert data.library_name == "mnist_cnn"
    assert data.pipeline_tag == "image-classification"
    assert data.datasets == ["ylecun/mnist"]
    (result,) = data.eval_results
    assert result.metric_value == pytest.approx(model.report["test"]["accuracy"], abs=1e-6)


def test_only_the_blocks_change():
    text = "kept <!-- begin a -->old<!-- end a --> kept"
    assert card.fill(text, {"a": "new"}) == "kept <!-- begin a -->\nnew\n<!-- end a --> kept"
    other = "<!-- begin b -->old<!-- end b -->"
    assert card.fill(other, {"a": "new"}) == other


def test_the_readmes_python_runs(tmp_path, monkeypatch, frames):
    from PIL import Image

    Image.fromarray(255 - frames[70]).resize((280, 280)).save(tmp_path / "seven.png")
    monkeypatch.chdir(tmp_path)
    code = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[1]
    names: dict = {}
    exec(code, names)
    assert names["answer"].digit == 7
