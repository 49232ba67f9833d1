"""What a run keeps in its folder while it trains, so that it can go on."""

import dataclasses
import io
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mnist_cnn.config import Config
from mnist_cnn.data import Augmentation
from mnist_cnn.files import write_whole
from mnist_cnn.training.engine import AMP_NAMES, Amp
from mnist_cnn.training.recipes import Recipe, Run
from mnist_cnn.training.state import Training

LEFT_AT_START = {"checkpoints", "tracking"}  # in a run folder, before the first step


@dataclass(frozen=True)
class Checkpoint:
    """What `checkpoints/last.pt` holds."""

    run: Run
    data: str  # the digest of the training data
    amp: Amp  # precision
    state: dict[str, Any]  # for `Training.load`


def last_of(folder: Path) -> Path:
    """Where a run's last checkpoint is."""
    return folder / "checkpoints" / "last.pt"


def best_of(folder: Path) -> Path:
    """Where the weights of its best epoch are, a folder such as `load_model` takes."""
    return folder / "checkpoints" / "best"


def is_unused(folder: Path) -> bool:
    """Whether a folder holds no more than a run leaves that was stopped before its first step."""
    return not (last_of(folder).exists() or {f.name for f in folder.iterdir()} - LEFT_AT_START)


def save(training: Training, digest: str, folder: Path) -> None:
    """Put a checkpoint in the place of the last one.

    Raises:
        FloatingPointError: the weights are not finite; the last checkpoint stays.
        OSError: it cannot be written; the last checkpoint stays.
    """
    training.refuse_infinite_weights()
    content = io.BytesIO()
    amp = str(training.engine.amp)
    run = dataclasses.asdict(training.run)
    torch.save(training.state() | {"run": run, "data": digest, "amp": amp}, content)
    file = last_of(folder)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, content.getbuffer(), durable=True)
    except OSError as error:
        raise OSError(
            f"cannot write {file}: {error.strerror}. The checkpoint before it is whole: make "
            "room, then go on with --resume."
        ) from error


def read(folder: Path) -> Checkpoint:
    """The last checkpoint of a run that is not finished.

    Raises:
        ValueError: there is none, the run is finished, or another version wrote it.
    """
    file = last_of(folder)
    if (folder / "report.json").exists():
        raise ValueError(
            f"{folder} is finished: pass --init-from {folder} to train its weights on, or publish "
            f"them with python -m mnist_cnn push {folder} USER/NAME"
        )
    if not file.exists():
        raise ValueError(f"nothing to resume: {file} does not exist (it is written as steps begin)")
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)  # from any device
        kept = state["run"]
        run = Run(
            name=kept["name"],
            seed=kept["seed"],
            recipe=Recipe(**kept["recipe"]),
            config=Config(**kept["config"]),
            augmentation=Augmentation(**kept["augmentation"]),
        )
        return Checkpoint(run, state["data"], AMP_NAMES[state["amp"]], state)
    except (
        RuntimeError,
        EOFError,
        LookupError,
        TypeError,
        ValueError,
        pickle.UnpicklingError,
    ) as error:
        raise ValueError(
            f"{file} is damaged, or no checkpoint of this version of train.py: "
            f"{type(error).__name__}: {error}"
        ) from error
