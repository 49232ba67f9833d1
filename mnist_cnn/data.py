"""Data sets as tensors in memory: `(N, 28, 28)` uint8 frames and `(N,)` int64 labels."""

import hashlib
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from mnist_cnn import strokes

DATASETS = ("mnist", "synthetic")
SYNTHETIC_SIZES = {True: 4000, False: 1000}

# SHA-256 of the pixels and labels as torchvision returns them.
_MNIST_SHA256 = {
    True: "d18cfd466eb143ac1097fde604dba9eec4116885869d04cc648b510949f9e88c",
    False: "a0863a96c44e5666edbb30c4071ee79ca0514c621e6349c5967fc78e7305c891",
}


def load(name: str, data_dir: str | Path, train: bool) -> tuple[Tensor, Tensor]:
    """One split of a data set.

    Args:
        name: one of `DATASETS`. "synthetic" is drawn by the program and needs no files.
        data_dir: where `MNIST/raw/` lies or is to be downloaded to.
        train: the training split, else the test split.

    Raises:
        ValueError: unknown name; files that are missing and cannot be downloaded, or damaged.
    """
    if name not in DATASETS:
        raise ValueError(f"unknown data set {name!r}; choose one of {', '.join(DATASETS)}")
    if name == "synthetic":
        frames, labels = strokes.draw_frames(SYNTHETIC_SIZES[train], seed=0 if train else 1)
        return torch.from_numpy(frames), torch.from_numpy(labels)
    return _mnist(Path(data_dir), train)


def _mnist(data_dir: Path, train: bool) -> tuple[Tensor, Tensor]:
    # Imported here because torchvision takes a second to import and prediction does not need it.
    from torchvision.datasets import MNIST

    try:
        with _unpacking(data_dir) as root:
            dataset = MNIST(root, train=train, download=True)
    except (RuntimeError, OSError, ValueError, AssertionError, EOFError, zlib.error) as error:
        raise ValueError(
            f"MNIST is not complete in {data_dir / 'MNIST' / 'raw'} and could not be downloaded. "
            "Without a network, put the four files train-images-idx3-ubyte.gz, "
            "train-labels-idx1-ubyte.gz, t10k-images-idx3-ubyte.gz and t10k-labels-idx1-ubyte.gz "
            f"there, or pass --data-dir. ({type(error).__name__}: {error})"
        ) from error
    frames, labels = dataset.data, dataset.targets
    digest = hashlib.sha256(frames.numpy().tobytes() + labels.numpy().tobytes()).hexdigest()
    if digest != _MNIST_SHA256[train]:
        raise ValueError(
            f"the MNIST files in {data_dir / 'MNIST' / 'raw'} are damaged: the SHA-256 of the "
            f"{'training' if train else 'test'} split is {digest[:12]}…, expected "
            f"{_MNIST_SHA256[train][:12]}…. Delete that folder to download them again."
        )
    return frames, labels


@contextmanager
def _unpacking(data_dir: Path) -> Iterator[Path]:
    """Where torchvision may unpack: `data_dir`, or a copy so that packed files stay as they are."""
    packed = list((data_dir / "MNIST" / "raw").glob("*-ubyte.gz"))
    if not packed or list((data_dir / "MNIST" / "raw").glob("*-ubyte")):
        yield data_dir
        return
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / "MNIST" / "raw"
        raw.mkdir(parents=True)
        for file in packed:
            shutil.copyfile(file, raw / file.name)
        yield Path(folder)
