"""The walkthrough runs from top to bottom, as a reader would run it."""

import re
from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parent.parent / "notebooks" / "walkthrough.ipynb"


def test_the_walkthrough(data_dir, monkeypatch, tmp_path):
    monkeypatch.setenv("MNIST_DATA_DIR", str(data_dir.resolve()))
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # its run goes there
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = NotebookClient(notebook, resources={"metadata": {"path": NOTEBOOK.parent}})
    client.execute()
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    printed = [[o for o in cell.outputs if o.get("name") == "stdout"] for cell in cells]
    text = ["".join(output.text for output in outputs) for outputs in printed]
    pictures = [sum("image/png" in o.get("data", {}) for o in cell.outputs) for cell in cells]
    assert text[1].startswith("7, ")
    assert pictures == [0, 1, 1, 0, 2]
    assert "test accuracy" in text[3]
    accuracy = float(re.search(r"([\d.]+)% on 10,000 test images", text[4])[1])
    assert accuracy > 98
    assert "the drawing above: 7" in text[4]


def test_it_is_stored_with_its_pictures():
    cells = [c for c in nbformat.read(NOTEBOOK, as_version=4).cells if c.cell_type == "code"]
    pictures = [sum("image/png" in o.get("data", {}) for o in cell.outputs) for cell in cells]
    assert pictures == [0, 1, 1, 0, 2]
    assert NOTEBOOK.stat().st_size < 1_000_000
