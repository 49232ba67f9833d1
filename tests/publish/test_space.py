"""The Space: its files, and the app running from them as it would there."""

import re
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

import pytest
import yaml
from app_server import free_port, wait_until_up
from huggingface_hub import HfApi
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from visitor import SEVEN, draw, wait_for_answer, wait_for_weights

from mnist_cnn.__main__ import main
from mnist_cnn.model import BUNDLED
from mnist_cnn.publish import weights as publish

MODEL, SPACE = "user/digits", "user/sketchpad"


@pytest.fixture
def commit(hub) -> str:
    """The id of the commit that holds the bundled weights."""
    publish.push(BUNDLED, MODEL)
    return hub.repo(MODEL).resolve()


def space(*flags: str) -> int:
    return main(["space", SPACE, "--model", MODEL, *flags])


def front_matter(card: str) -> dict:
    return yaml.safe_load(card.split("---")[1])


def on_hub(hub) -> dict[str, bytes]:
    return hub.repo(SPACE, "spaces").files()


def test_a_space_is_made_in_one_commit(hub, commit, capsys):
    assert space() == 0
    files = on_hub(hub)
    assert {"app.py", "start.py", "requirements.txt", "mnist_cnn/model.py"} <= files.keys()
    assert not any("__pycache__" in path or path.startswith("tests") for path in files)
    assert f'app.main(["--model", "{MODEL}@{commit}"])' in files["start.py"].decode()
    assert len(hub.repo(SPACE, "spaces").history()) == 2
    assert "published: " in capsys.readouterr().out
    settings = hub.repo(SPACE, "spaces").settings
    assert (settings["sdk"], settings["visibility"]) == ("gradio", "public")


def test_the_front_matter_pins_what_runs(hub, commit):
    space()
    data = front_matter(on_hub(hub)["README.md"].decode())
    assert data["sdk"] == "gradio"
    assert re.fullmatch(r"6\.\d+\.\d+", data["sdk_version"])
    assert data["python_version"] == ".".join(map(str, sys.version_info[:2]))
    assert data["app_file"] == "start.py"
    assert data["models"] == [MODEL]
    assert data["datasets"] == ["ylecun/mnist"]
    assert data["preload_from_hub"] == [
        f"{MODEL} config.json,model.safetensors,report.json {commit}"
    ]


def test_weights_that_never_saw_mnist_do_not_name_it(hub, finished_run, tmp_path):
    publish.push(finished_run, MODEL)
    assert space("--dry-run", str(tmp_path / "space")) == 0
    assert "datasets" not in front_matter((tmp_path / "space" / "README.md").read_text())


def test_a_tag_is_pinned_to_its_commit(hub, commit):
    HfApi().create_tag(MODEL, tag="v1")
    HfApi().upload_file(path_or_fileobj=b"1", path_in_repo="later.txt", repo_id=MODEL)
    assert main(["space", SPACE, "--model", f"{MODEL}@v1"]) == 0
    assert f"{MODEL}@{commit}" in on_hub(hub)["start.py"].decode()


def test_an_update_changes_only_what_changed(hub, commit, capsys):
    space()
    api = HfApi()
    api.upload_file(
        path_or_fileobj=b"old", path_in_repo="mnist_cnn/gone.py", repo_id=SPACE, repo_type="space"
    )
    card = on_hub(hub)["README.md"].decode().replace("Handwritten digits\n", "Meine Ziffern\n", 1)
    card = card.replace("app_file: start.py", "app_file: other.py") + "\nMy words.\n"
    api.upload_file(
        path_or_fileobj=card.encode(), path_in_repo="README.md", repo_id=SPACE, repo_type="space"
    )
    capsys.readouterr()
    assert space("--dry-run") == 0
    out = capsys.readouterr().out
    assert "deleted  mnist_cnn/gone.py" in out
    assert "same     app.py" in out
    assert "nothing was sent" in out
    assert "mnist_cnn/gone.py" in on_hub(hub)
    assert space() == 0
    assert "mnist_cnn/gone.py" not in on_hub(hub)
    card = on_hub(hub)["README.md"].decode()
    assert "My words." in card
    assert front_matter(card)["title"] == "Meine Ziffern"
    assert front_matter(card)["app_file"] == "start.py"
    assert space() == 0
    assert "nothing changed: no commit" in capsys.readouterr().out


def test_zero_gpu(hub, commit, tmp_path):
    folder = tmp_path / "space"
    assert space("--zero-gpu", "--dry-run", str(folder)) == 0
    data = front_matter((folder / "README.md").read_text())
    assert (data["suggested_hardware"], data["python_version"]) == ("zero-a10g", "3.12")
    requirements = (folder / "requirements.txt").read_text()
    assert "torch==2.11.*" in requirements.splitlines()
    assert "whl/cpu" not in requirements
    # What ZeroGPU gives: a package `spaces`, imported before torch, that wants one function.
    (folder / "spaces.py").write_text(
        "import sys\nassert 'torch' not in sys.modules\n"
        "def GPU(function):\n    print('decorated', function.__name__)\n    return function\n"
        "class zero:\n    startup = lambda: print('reported')\n"
    )
    (folder / "app.py").write_text("def main(argv): print('started', *argv); return 0\n")
    done = subprocess.run(
        [sys.executable, "start.py"], cwd=folder, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == [
        "decorated unused",
        "reported",
        f"started --model {MODEL}@{commit}",
    ]
    (folder / "spaces.py").unlink()
    done = subprocess.run(
        [sys.executable, "start.py"], cwd=folder, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == [f"started --model {MODEL}@{commit}"]
    assert space("--zero-gpu") == 0
    assert hub.repo(SPACE, "spaces").settings["hardware"] == "zero-a10g"


def test_a_private_model_is_not_preloaded(hub, commit):
    HfApi().update_repo_settings(MODEL, private=True)
    assert space("--private") == 0
    assert hub.repo(SPACE, "spaces").private
    card = on_hub(hub)["README.md"].decode()
    assert "preload_from_hub" not in front_matter(card)
    assert "secret `HF_TOKEN`" in card


def test_a_public_space_is_not_taken_for_a_private_one(hub, commit, capsys):
    space()
    HfApi().delete_file("start.py", SPACE, repo_type="space")
    before = hub.repo(SPACE, "spaces").resolve()
    assert space("--private") == 1
    assert f"{SPACE} exists and is public" in capsys.readouterr().err
    assert hub.repo(SPACE, "spaces").resolve() == before


def test_mistakes(hub, commit, capsys, tmp_path):
    api = HfApi()
    api.create_repo("user/empty")
    api.create_repo("user/other", repo_type="space", space_sdk="gradio")
    api.upload_file(
        path_or_fileobj=b"1", path_in_repo="app.py", repo_id="user/other", repo_type="space"
    )
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    cases = {
        (SPACE, "user/nothing"): "neither a folder here nor a model on the Hub",
        (SPACE, "user/empty"): "is not a model of mnist_cnn: it has no config.json",
        (SPACE, str(BUNDLED)): "a Space takes its weights from the Hub: push",
        ("no/such/name", MODEL): "not a Hub repo id",
        ("user/other", MODEL): "user/other holds another app",
        (SPACE, MODEL, "--dry-run", str(tmp_path / "full")): "is not empty: pass a new folder",
    }
    for (name, model, *flags), message in cases.items():
        assert main(["space", name, "--model", model, *flags]) == 1
        assert message in capsys.readouterr().err
    assert not hub.repo(SPACE, "spaces").exists


def test_the_app_runs_from_the_spaces_folder_alone(hub, commit, tmp_path, browser, capsys):
    """In a fresh virtual environment with no more than the Space's requirements ask for: this
    project must come from the folder."""
    folder, home = tmp_path / "space", tmp_path / "home"
    assert space("--dry-run", str(folder)) == 0
    python = fresh_environment(tmp_path / "venv", (folder / "requirements.txt").read_text())
    data = front_matter((folder / "README.md").read_text())
    (preloaded,) = data["preload_from_hub"]
    repo_id, names, pinned = preloaded.split()
    for name in names.split(","):  # what the platform does while it builds the Space
        HfApi().hf_hub_download(repo_id, name, revision=pinned, cache_dir=home / "hub")
    hub.requests.clear()
    port = free_port()
    environment = hub.environment(home) | {
        "GRADIO_SERVER_NAME": "127.0.0.1",  # a Space sets this to 0.0.0.0
        "GRADIO_SERVER_PORT": str(port),
    }
    app = subprocess.Popen(
        [python, data["app_file"]],
        cwd=folder,
        env={k: v for k, v in environment.items() if k != "PYTHONPATH"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        wait_until_up(f"http://127.0.0.1:{port}", app)
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{port}")
        page.wait_for_selector("canvas")
        wait_for_weights(page, f"{MODEL} at commit {commit}")
        draw(page, SEVEN)
        wait_for_answer(page, "7")
        page.close()
    finally:
        app.terminate()
        app.wait(20)
    assert hub.requests == []  # it woke up without the Hub


def fresh_environment(folder: Path, requirements: str) -> Path:
    """The Python of a new virtual environment with what pip would install for the requirements, as
    links to the packages that are installed here: torch alone would take minutes."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    (site,) = folder.glob("lib/python*/site-packages")
    packages = asked_for([line for line in requirements.splitlines() if line[0] not in "-#"])
    assert {"torch", "gradio"} <= packages
    assert not {"torchvision", "accelerate", "albumentations", "matplotlib"} & packages
    for package in map(distribution, packages):
        for top in {file.parts[0] for file in package.files} - {"..", "__pycache__"}:
            if not (site / top).exists():  # several share a folder of namespaces
                (site / top).symlink_to(package.locate_file(top))
    python = folder / "bin" / "python"
    finds = "import importlib.util as i; print(i.find_spec('mnist_cnn'), i.find_spec('matplotlib'))"
    found = subprocess.run([python, "-I", "-c", finds], capture_output=True, text=True, check=True)
    assert found.stdout == "None None\n"
    return python


def asked_for(requirements: list[str]) -> set[str]:
    """The names of the packages that requirements ask for, of those that they need, and so on."""
    found, wanted = set(), [Requirement(line) for line in requirements]
    while wanted:
        one = wanted.pop()
        if str(one) in found:
            continue
        found |= {str(one), canonicalize_name(one.name)}
        for needed in map(Requirement, distribution(one.name).requires or ()):
            extras = one.extras or {""}
            if not needed.marker or any(needed.marker.evaluate({"extra": x}) for x in extras):
                wanted.append(needed)
    return {name for name in found if re.fullmatch(r"[a-z0-9-]+", name)}
