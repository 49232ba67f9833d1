"""Folders of pictures as data sets: one sub-folder a class."""

import hashlib
import logging
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mnist_cnn.ink import find_ink, frame

logger = logging.getLogger(__name__)

TEST_SHARE = 0.1  # of a folder's pictures, when it is not split into train/ and test/
LISTED = 20  # files that cannot be used and are named in a message


def class_folders(folder: Path, train: bool) -> list[Path]:
    """The sub-folders of a folder, one a class, in the order of their names."""
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder: --dataset folder:DIR needs one")
    if _is_split(folder):
        folder = folder / ("train" if train else "test")
    classes = sorted(path for path in folder.iterdir() if path.is_dir() and path.name[0] != ".")
    if len(classes) < 2:
        raise ValueError(
            f"{folder} has {len(classes)} sub-folders: it needs two or more, one for each class, "
            "named after it and holding its pictures"
        )
    return classes


def _is_split(folder: Path) -> bool:
    return (folder / "train").is_dir() and (folder / "test").is_dir()


def load_pictures(folder: Path, train: bool, skip_unreadable: bool) -> tuple[Tensor, Tensor]:
    """Frames and labels of one part; see `datasets.load`."""
    classes = class_folders(folder, train)
    if _is_split(folder):
        names = [{path.name for path in class_folders(folder, part)} for part in (True, False)]
        if names[0] != names[1]:
            raise ValueError(
                f"{folder}/train and {folder}/test must hold the same classes; only one of them "
                f"has {', '.join(sorted(names[0] ^ names[1]))}"
            )
    files = {path: _files(path) for path in classes}
    empty = [path.name for path, found in files.items() if not found]
    if empty:
        raise ValueError(
            f"no pictures of class {', '.join(empty)} in {folder}: add some, or delete the folder"
        )
    frames, labels, problems = [], [], []
    for label, (path, found) in enumerate(files.items()):
        for file in found if _is_split(folder) else _part(found, path, train):
            try:
                frames.append(_frame_of(file))
                labels.append(label)
            except ValueError as error:
                problems.append(f"{file}: {str(error).removeprefix(f'{file}: ')}")
    _report(problems, skip_unreadable)
    lost = [path.name for label, path in enumerate(classes) if label not in labels]
    if lost:
        raise ValueError(f"no picture of class {', '.join(lost)} in {folder} can be used")
    return torch.from_numpy(np.stack(frames)), torch.tensor(labels)


def _files(folder: Path) -> list[Path]:
    return sorted(f for f in folder.rglob("*") if f.is_file() and not f.name.startswith("."))


def _part(files: list[Path], folder: Path, train: bool) -> list[Path]:
    """The training or the test files of a class that is not split; always the same ones."""
    if len(files) < 2:
        raise ValueError(f"{folder} holds one picture: it needs two, one of them for the test")
    # By name, so that what was trained on is not tested on when pictures are added.
    places = {file: _place(file.relative_to(folder).as_posix()) for file in files}
    tested = {file for file in files if places[file] < TEST_SHARE}
    if not tested or len(tested) == len(files):
        tested = {min(files, key=places.__getitem__)}
    return [file for file in files if (file in tested) != train]


def _place(name: str) -> float:
    """A number in [0, 1) that depends on a name alone."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4]) / 2**32


def _frame_of(file: Path) -> np.ndarray:
    found = frame(find_ink(file))
    if not found.any():
        raise ValueError("no ink was found")
    return found


def _report(problems: list[str], skip_unreadable: bool) -> None:
    if not problems:
        return
    more = [f"… and {len(problems) - LISTED} more"] if len(problems) > LISTED else []
    listed = "\n".join([*problems[:LISTED], *more])
    if not skip_unreadable:
        raise ValueError(
            f"{len(problems)} files cannot be used; delete them, or pass --skip-unreadable:\n"
            + listed
        )
    logger.warning("%d files left out:\n%s", len(problems), listed)
