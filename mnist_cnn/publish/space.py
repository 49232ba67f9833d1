"""A Hugging Face Space that runs this app on the weights of a Hub repo: `write` it or `push` it."""

import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jinja2
import yaml
from huggingface_hub import HfApi, SpaceCard, SpaceCardData, SpaceHardware
from huggingface_hub.errors import RepositoryNotFoundError
from huggingface_hub.hf_api import RepoFile

from mnist_cnn import hub
from mnist_cnn.model import load_model
from mnist_cnn.publish.weights import CARD, Push, compare, operations
from mnist_cnn.report import Report
from mnist_cnn.run import HUB_DATASETS

CHECKOUT = Path(__file__).parent.parent.parent
PACKAGE = Path(__file__).parent.parent.name
TRAINING_ONLY = ("torchvision", "accelerate", "albumentations", "matplotlib", "tqdm")

# ZeroGPU patches torch, and does so for the releases that its documentation lists: 2.11 was the
# last one in November 2026.
ZERO_GPU_TORCH, ZERO_GPU_PYTHON = "torch==2.11.*", "3.12"


def files(model: str, *, zero_gpu: bool = False) -> dict[str, bytes]:
    """The Space's files by their paths: this app as it lies here, pinned to one commit of `model`.

    Args:
        model: Hub repo `USER/NAME` or `USER/NAME@REVISION`; its weights are loaded to be sure.
        zero_gpu: for ZeroGPU instead of a CPU.

    Raises:
        ValueError: no such repo, no weights of ours, or this is not a checkout.
        ConnectionError: the Hub could not be reached.
    """
    app, requirements = CHECKOUT / "app.py", CHECKOUT / "requirements.txt"
    if not app.is_file() or not requirements.is_file():
        raise ValueError(f"{CHECKOUT} has no app.py: run this in a checkout of the project")
    if Path(model).is_dir():
        raise ValueError(f"a Space takes its weights from the Hub: push {model} and pass its repo")
    repo_id, revision = hub.split_repo_id(model)
    report = load_model(model).report
    with hub.explained(repo_id, revision):
        info = HfApi().model_info(repo_id, revision=revision)
    commit = str(info.sha)
    start = jinja2.Template(
        Path(__file__).with_name("start.py.jinja").read_text(), trim_blocks=True
    )
    package = {
        str(file.relative_to(CHECKOUT)): file.read_bytes()
        for file in sorted((CHECKOUT / PACKAGE).rglob("*"))
        if file.is_file() and "__pycache__" not in file.parts
    }
    return package | {
        "app.py": app.read_bytes(),
        "start.py": start.render(model=f"{repo_id}@{commit}", zero_gpu=zero_gpu).encode(),
        "requirements.txt": _requirements(requirements.read_text(), zero_gpu).encode(),
        CARD: _card(repo_id, commit, bool(info.private), zero_gpu, report).encode(),
    }


def write(folder: str | Path, model: str, *, zero_gpu: bool = False) -> Path:
    """Write a Space's files into a new or empty folder."""
    folder = Path(folder)
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(f"{folder} is not empty: pass a new folder")
    for path, content in files(model, zero_gpu=zero_gpu).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return folder


def push(
    space_id: str,
    model: str,
    *,
    private: bool = False,
    zero_gpu: bool = False,
    dry_run: bool = False,
    token: str | None = None,
) -> Push:
    """Create or update a Space in one commit; nothing changed is no commit.

    What people changed in the Space's README stays, but for the keys that make the app run.

    Raises:
        ValueError: malformed id, no right to write, or the Space holds another app; as `files`.
        ConnectionError: the Hub could not be reached, or somebody else pushed in the meantime.
    """
    if hub.split_repo_id(space_id)[1]:
        raise ValueError(f"a Space has no revisions: pass {space_id.partition('@')[0]}")
    ours = files(model, zero_gpu=zero_gpu)
    api = HfApi(token=token)
    with hub.explained(space_id, kind="space"):
        parent, tree, is_private = _look(api, space_id)
        if CARD in tree:
            theirs = api.hf_hub_download(space_id, CARD, repo_type="space", revision=parent)
            ours[CARD] = _merged(Path(theirs).read_text(encoding="utf-8"), ours[CARD].decode())
    if tree.keys() - {".gitattributes", CARD} and f"{PACKAGE}/__init__.py" not in tree:
        raise ValueError(f"{space_id} holds another app: pass the name of a new Space")
    if private and parent and not is_private:
        raise ValueError(f"{space_id} exists and is public: change that on its settings page")
    unwanted = {path for path in tree if path.startswith(f"{PACKAGE}/") and path not in ours}
    changes = compare(ours, tree, unwanted)
    title = f"Run {model}"
    if dry_run or all(change.what == "same" for change in changes):
        return Push(title, changes, None)
    with hub.explained(space_id, kind="space"):
        if parent is None:
            api.create_repo(
                space_id,
                repo_type="space",
                space_sdk="gradio",
                space_hardware=SpaceHardware.ZERO_A10G if zero_gpu else None,
                private=private,
                exist_ok=True,
            )
            parent = api.space_info(space_id).sha
        commit = api.create_commit(
            space_id,
            operations(ours, changes),
            commit_message=title,
            repo_type="space",
            parent_commit=parent,
        )
    return Push(title, changes, commit.commit_url)


def _look(api: HfApi, space_id: str) -> tuple[str | None, dict[str, RepoFile], bool]:
    """The Space's commit, files and whether it is private; None if there is no Space yet."""
    try:
        info = api.space_info(space_id)
    except RepositoryNotFoundError:
        return None, {}, False
    listed = api.list_repo_tree(space_id, repo_type="space", revision=info.sha, recursive=True)
    files = {file.path: file for file in listed if isinstance(file, RepoFile)}
    return info.sha, files, bool(info.private)


def _requirements(text: str, zero_gpu: bool) -> str:
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    lines = [line for line in lines if not line.startswith(TRAINING_ONLY)]
    if zero_gpu:
        lines = [ZERO_GPU_TORCH if line.startswith("torch>") else line for line in lines]
    else:  # wheels without CUDA: a tenth of the size
        lines = ["--extra-index-url https://download.pytorch.org/whl/cpu", *lines]
    return "\n".join(lines) + "\n"


def _card(repo_id: str, commit: str, private: bool, zero_gpu: bool, report: Report | None) -> str:
    trained_on = HUB_DATASETS.get(report.dataset) if report else None
    # Fetched while the Space is built, so that it wakes up without a request; the platform does so
    # without a token.
    preloaded = f"{repo_id} {','.join(hub.WEIGHTS)} {commit}"
    data = SpaceCardData(
        title="Handwritten digits",
        emoji="✍️",
        colorFrom="yellow",
        colorTo="red",
        sdk="gradio",
        sdk_version=version("gradio"),
        python_version=ZERO_GPU_PYTHON if zero_gpu else ".".join(map(str, sys.version_info[:2])),
        app_file="start.py",
        suggested_hardware=SpaceHardware.ZERO_A10G.value if zero_gpu else "cpu-basic",
        short_description="Draw a digit and see it read by a small network",
        license="mit",
        models=[repo_id],
        datasets=[trained_on] if trained_on else None,
        preload_from_hub=None if private else [preloaded],
    )
    facts: dict[str, Any] = {"repo_id": repo_id, "commit": commit, "private": private}
    template = str(Path(__file__).with_name("space_card.md.jinja"))
    return f"{SpaceCard.from_template(data, template, **facts)}\n"


def _merged(theirs: str, ours: str) -> bytes:
    """Their README with our values of the keys that say what runs and what it learned from."""
    try:
        edited, new = SpaceCard(theirs), SpaceCard(ours)
    except (ValueError, yaml.YAMLError) as error:
        raise ValueError(f"the metadata of the Space's README cannot be read: {error}") from error
    if not edited.text.strip() or "sdk_version" not in edited.data.to_dict():
        return ours.encode()  # the stub of a new Space
    ours_alone = ("sdk", "sdk_version", "python_version", "app_file", "models", "datasets")
    for key in (*ours_alone, "preload_from_hub"):
        value = new.data.get(key)
        if value is None:
            edited.data.pop(key)
        else:
            edited.data[key] = value
    return str(edited).encode()
