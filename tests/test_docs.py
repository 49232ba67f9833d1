"""README and card: their numbers are those of the reports, and their code runs."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from app_server import free_port, wait_until_up

from benchmarks import render, reports
from mnist_cnn.model import BUNDLED

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("name", ["README.md", "mnist_cnn/run/model_card.md"])
def test_numbers_are_up_to_date(name):
    file = ROOT / name
    assert render.rendered()[file] == file.read_text(), "run: python -m benchmarks.render"


def test_reports_are_of_the_bundled_weights():
    accuracy = json.loads((BUNDLED / "report.json").read_text())["test"]["accuracy"]
    reading, fonts, recipes = map(reports.read, ("reading", "fonts", "recipes"))
    assert reading["weights_accuracy"] == accuracy
    assert fonts["weights_accuracy"] == accuracy
    assert recipes["shipped"]["accuracy"] == accuracy


def test_the_readmes_python_runs(tmp_path, monkeypatch, frames):
    from PIL import Image

    Image.fromarray(255 - frames[70]).resize((280, 280)).save(tmp_path / "seven.png")
    monkeypatch.chdir(tmp_path)
    code = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[1]
    names: dict = {}
    exec(code, names)
    assert names["answer"].digit == 7


SECTIONS = ("Retrain and publish", "Use it from Python", "Host it")  # the first makes the repo


def code_blocks(section: str) -> list[tuple[str, str]]:
    """Language and text of a section's blocks."""
    text = (ROOT / "README.md").read_text().partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    return re.findall(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def test_the_blocks_of_a_life_on_the_hub_run_as_written(hub, tmp_path, frames, monkeypatch):
    """In a copy of this checkout; only the names of the repos are filled in."""
    from PIL import Image

    checkout = tmp_path / "checkout"
    skipped = {".git", ".venv", ".venv-olah", "runs", "data", "tests"}
    shutil.copytree(ROOT, checkout, ignore=lambda at, _: skipped if at == str(ROOT) else set())
    Image.fromarray(255 - frames[70]).resize((280, 280)).save(checkout / "seven.png")
    port = free_port()
    environment = hub.environment(tmp_path / "home", token=hub.token) | {
        "PYTHONPATH": str(checkout),
        "GRADIO_SERVER_PORT": str(port),
    }
    outputs = []
    for language, block in (each for section in SECTIONS for each in code_blocks(section)):
        text = block.replace("USER/NAME", "user/digits").replace("USER/SPACE", "user/sketchpad")
        lines = [text] if language == "python" else text.splitlines()
        for line in lines:
            if "folder:corrections" in line:
                continue  # test_corrections.py runs it, on corrections that were made
            if line.startswith("python app.py"):
                outputs.append(served(line, checkout, environment, port))
                continue
            words = ["-c", line] if language == "python" else line.split()[1:]
            command = [sys.executable, *words]
            done = subprocess.run(
                command, cwd=checkout, env=environment, capture_output=True, text=True
            )
            assert done.returncode == 0, f"{line}\n{done.stderr}"
            outputs.append(done.stdout)
    commit = hub.repo("user/digits").resolve("v1")
    assert len(outputs) == 9
    assert "nothing was sent" in outputs[1]
    assert f"/user/digits/commit/{commit}" in outputs[2]
    assert "/user/digits/discussions/1" in outputs[4]
    assert outputs[5].splitlines()[-1] == f"Hub repo user/digits at commit {commit}"
    assert f"weights: Hub repo user/digits at commit {commit}" in outputs[6]
    assert not outputs[7].startswith("published")
    assert (
        f"user/digits@{commit}" in hub.repo("user/sketchpad", "spaces").files()["start.py"].decode()
    )


def served(line: str, checkout: Path, environment: dict[str, str], port: int) -> str:
    """What a server says until its page is there."""
    app = subprocess.Popen(
        [sys.executable, *line.split()[1:]],
        cwd=checkout,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        wait_until_up(f"http://127.0.0.1:{port}", app)
    finally:
        app.terminate()
    return app.communicate(timeout=20)[0]
