"""Data sets as tensors in memory: `(N, 28, 28)` uint8 frames and `(N,)` int64 labels."""

from pathlib import Path
from typing import TYPE_CHECKING

from mnist_cnn.data.named import DATASETS

if TYPE_CHECKING:  # what only names a data set, as --help does, waits for none of it
    from torch import Tensor

FOLDER = "folder:"  # what a data set's name begins with when it is a folder of pictures


def load(
    name: str, data_dir: str | Path, train: bool, skip_unreadable: bool = False
) -> "tuple[Tensor, Tensor]":
    """One split of a data set.

    Args:
        name: one of `DATASETS`, or `folder:DIR` with one sub-folder of pictures for each class
            (or these under DIR/train and DIR/test; else about a tenth is for the test).
        data_dir: where the files of a named data set lie or are to be downloaded to.
        train: the training split, else the test split.
        skip_unreadable: leave out pictures of a folder that cannot be read.

    Raises:
        ValueError: unknown name; files that are missing and cannot be downloaded, or damaged; a
            class without pictures; pictures that cannot be read or are blank.
    """
    check(name)
    if is_folder(name):
        from mnist_cnn.data.folder import load_pictures

        return load_pictures(folder_of(name), train, skip_unreadable)
    return DATASETS[name].load(Path(data_dir), train)


def check(name: str) -> None:
    """Refuse a name that is no data set."""
    if name not in DATASETS and not is_folder(name):
        raise ValueError(
            f"unknown dataset {name!r}; choose one of {', '.join(DATASETS)}, or folder:DIR"
        )


def is_folder(name: str) -> bool:
    return name.startswith(FOLDER)


def folder_of(name: str) -> Path:
    return Path(name.removeprefix(FOLDER)).expanduser()


def title(name: str) -> str:
    """The data set's name as people write it; of a folder, its last part."""
    return folder_of(name).resolve().name if is_folder(name) else DATASETS[name].title


def class_names(name: str) -> tuple[str, ...]:
    """What the labels 0, 1, … stand for."""
    check(name)
    if is_folder(name):
        from mnist_cnn.data.folder import class_folders

        return tuple(folder.name for folder in class_folders(folder_of(name), train=True))
    return DATASETS[name].class_names


def warning(name: str) -> str:
    """What to know before quoting figures; "" if there is nothing."""
    return "" if is_folder(name) else DATASETS[name].warning


def statistics(frames: "Tensor") -> tuple[float, float]:
    """Mean and standard deviation of frames scaled to [0, 1], with four digits as usual."""
    import torch

    counts = torch.bincount(frames.flatten(), minlength=256).double()
    values, total = torch.arange(256).double() / 255, frames.numel()
    mean = (counts * values).sum() / total
    variance = (counts * (values - mean) ** 2).sum() / total
    return round(mean.item(), 4), round(variance.sqrt().item(), 4)
