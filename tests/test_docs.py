"""The documents: their figures are those of the reports, their code runs, their links lead on.

What cannot run in a test stands after a line `<!-- not run: WHY -->`.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest
from app_server import free_port, wait_until_up
from PIL import Image

from benchmarks import render, reports
from mnist_cnn.model import BUNDLED

ROOT = Path(__file__).parent.parent
PAGES = [
    file.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "docs/*.md", "mnist_cnn/**/*.md")
    for file in sorted(ROOT.glob(pattern))
]
CARD = "mnist_cnn/run/model_card.md"  # its commands are those that trained the weights
NOT_RUN = {
    ("README.md", "CI does"),
    ("CONTRIBUTING.md", "installs packages"),
    ("CONTRIBUTING.md", "tests/reading/test_answers.py does"),
    ("docs/results.md", "takes most of an hour"),
    ("docs/results.md", "needs the npm registry"),
    ("docs/training.md", "takes most of an hour, or needs the Hub or data of yours"),
    ("docs/training.md", "needs eight GPUs, or two machines"),
    ("docs/training.md", "tests/web/server/test_corrections.py does"),
}
FENCE = re.compile(
    r"(?:^<!-- not run: (?P<why>.+?) -->\n)?(?:^<!-- begin [\w-]+ -->\n)?"
    r"^```(?P<language>\w*)\n(?P<text>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True)
class Block:
    """A fenced part of a document."""

    language: str  # "" for commands, "python", or "text" and others for what is not run
    text: str
    why: str | None  # it is not run

    @property
    def runs(self) -> bool:
        return self.language in ("", "python") and self.why is None


def blocks(page: str) -> list[Block]:
    found = FENCE.finditer((ROOT / page).read_text(encoding="utf-8"))
    return [Block(each["language"], each["text"], each["why"]) for each in found]


@pytest.mark.parametrize("file", render.rendered(), ids=lambda file: file.name)
def test_numbers_are_up_to_date(file):
    text = file.read_text(encoding="utf-8")
    assert render.rendered()[file] == text, "run: python -m benchmarks.render"


def test_every_page_with_figures_is_rendered():
    filled = {file.relative_to(ROOT).as_posix() for file in render.rendered()}
    with_blocks = {
        page for page in PAGES if re.search("^<!-- begin", (ROOT / page).read_text(), re.M)
    }
    assert with_blocks == filled


def test_reports_are_of_the_bundled_weights():
    accuracy = json.loads((BUNDLED / "report.json").read_text())["test"]["accuracy"]
    reading, fonts, recipes = map(reports.read, ("reading", "fonts", "recipes"))
    assert reading["weights_accuracy"] == accuracy
    assert fonts["weights_accuracy"] == accuracy
    assert recipes["shipped"]["accuracy"] == accuracy


def test_the_readme_is_a_front_door():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 200
    first, second = [block.text for block in blocks("README.md")][:2]
    assert first == "pip install -r requirements.txt && python app.py\n"
    assert second == 'pip install -e ".[dev]" && pytest -n 2\n'


def test_every_dependency_is_explained_in_the_readme():
    table = (ROOT / "README.md").read_text(encoding="utf-8").partition("\n## Dependencies")[2]
    cells = re.findall(r"^\| ([^|]+) \| [^|]+ \|$", table, re.MULTILINE)[1:]
    explained = {
        name for cell in cells for name in re.sub(r" \(.*\)", "", cell.strip()).split(", ")
    }
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [line for lines in project["optional-dependencies"].values() for line in lines]
    required = (ROOT / "requirements.txt").read_text().splitlines()
    names = {re.match(r"[\w.-]+", line)[0] for line in [*required, *extras] if line[0] != "#"}
    assert explained == names - {"mnist-cnn"}


# --- links ----------------------------------------------------------------------------------------


def anchors(page: Path) -> set[str]:
    """What GitHub makes of a page's headings."""
    heads = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    text = FENCE.sub("", (ROOT / page).read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match("https?:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (ROOT / page).parent / path if path else ROOT / page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


@pytest.mark.parametrize("page", PAGES)
def test_files_that_are_named_exist(page):
    text = FENCE.sub("", (ROOT / page).read_text(encoding="utf-8"))
    for name in re.findall(r"`([\w/.-]+\.py)`", text):
        assert (ROOT / name).exists() or (ROOT / "mnist_cnn" / name).exists(), name


# --- code -----------------------------------------------------------------------------------------


def test_what_is_not_run_is_listed():
    found = {page: blocks(page) for page in PAGES if page != CARD}
    skipped = {(page, block.why) for page, each in found.items() for block in each if block.why}
    assert skipped == NOT_RUN
    # Each of these has a test of its own below.
    tested = {"README.md", "docs/app.md", "docs/hub.md", "docs/training.md"}
    assert {page for page, each in found.items() if any(block.runs for block in each)} == tested


@pytest.fixture
def checkout(tmp_path, frames) -> Path:
    """A copy of this one with the pictures that the documents name."""
    folder = tmp_path / "checkout"
    skipped = {".git", ".venv", ".venv-olah", "runs", "data", "tests"}
    shutil.copytree(ROOT, folder, ignore=lambda at, _: skipped if at == str(ROOT) else set())
    for name, row in {"seven.png": 70, "photo.jpg": 30, "page.jpg": 50}.items():
        Image.fromarray(255 - frames[row]).resize((280, 280)).save(folder / name)
    (folder / "labels.csv").write_text("file,label\nseven.png,7\nphoto.jpg,3\n")
    return folder


def said(page: str, checkout: Path, names: dict[str, str], **environment: str) -> list[str]:
    """What each line of commands and each block of Python of a page prints.

    `names` are those to fill in for what is written there, such as USER/NAME.
    """
    environment = {**os.environ, "PYTHONPATH": str(checkout), **environment}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    outputs = []
    for block in blocks(page):
        if not block.runs:
            continue
        text = block.text
        for name, value in names.items():
            text = text.replace(name, value)
        for line in [text] if block.language else text.splitlines():
            if line.startswith("python app.py"):
                outputs.append(served(line, checkout, environment))
                continue
            command = [sys.executable if block.language else "bash", "-c", line]
            done = subprocess.run(
                command, cwd=checkout, env=environment, capture_output=True, text=True
            )
            assert done.returncode == 0, f"{line}\n{done.stderr}"
            outputs.append(done.stdout)
    return outputs


def served(line: str, checkout: Path, environment: dict[str, str]) -> str:
    """What a server says until its page is there."""
    port = free_port()
    app = subprocess.Popen(
        [sys.executable, *line.split()[1:]],
        cwd=checkout,
        env=environment | {"GRADIO_SERVER_PORT": str(port)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        wait_until_up(f"http://127.0.0.1:{port}", app)
    finally:
        app.terminate()
    return app.communicate(timeout=20)[0]


def test_the_readmes_blocks_run(checkout):
    python, predict, read, evaluate = said("README.md", checkout, {})
    assert python.split()[0] == "7"
    assert predict.splitlines()[0].startswith("seven.png: 7 (")
    assert predict.splitlines()[1].startswith("photo.jpg: 3 (")
    assert read == "page.jpg: 5\n"
    assert re.search(r"^accuracy +100.00%$", evaluate, re.MULTILINE)


def test_the_blocks_about_the_app_run(checkout, url):
    started, predict, read, python = said("docs/app.md", checkout, {"http://127.0.0.1:7860": url})
    assert "weights: bundled" in started
    assert json.loads(predict)["digit"] == 7
    assert json.loads(read)["text"] == "7"
    assert python.splitlines()[-2:] == ["7", "7"]


def test_the_blocks_about_training_run(checkout, data_dir):
    (checkout / "data").symlink_to(data_dir.resolve())
    (trained,) = said("docs/training.md", checkout, {})
    assert re.search(r"test accuracy 9[89]\.\d\d%", trained)
    assert (checkout / "runs" / "first" / "model.safetensors").exists()


def test_the_blocks_about_the_hub_run(hub, checkout, tmp_path):
    environment = hub.environment(tmp_path / "home", token=hub.token)
    local = '".", source="local", model='  # torch.hub's GitHub is this checkout
    names = {"USER/NAME": "user/digits", "USER/SPACE": "user/sketchpad", '"USER/REPO", ': local}
    outputs = said("docs/hub.md", checkout, names, **environment)
    _, dry, pushed, _, again, loaded, torch_hub, app, dry_space, _ = outputs
    commit = hub.repo("user/digits").resolve("v1")
    assert "nothing was sent" in dry
    assert f"/user/digits/commit/{commit}" in pushed
    assert "/user/digits/discussions/1" in again
    assert loaded.splitlines()[-1] == f"Hub repo user/digits at commit {commit}"
    assert torch_hub.splitlines()[-1] == "7"
    assert f"weights: Hub repo user/digits at commit {commit}" in app
    assert not dry_space.startswith("published")
    start = hub.repo("user/sketchpad", "spaces").files()["start.py"].decode()
    assert f"user/digits@{commit}" in start


def test_the_cards_python_runs(checkout):
    """On the bundled weights, as if they were those of the card's repo."""
    (block,) = [block for block in blocks(CARD) if block.language == "python"]
    code = block.text.replace('"USER/NAME"', "")
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=checkout, check=True, capture_output=True, text=True
    )
    assert done.stdout.startswith("7 ")
