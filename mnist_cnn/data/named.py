"""The data sets that are known by name."""

import hashlib
import shutil
import string
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what only names a data set, as --help does, waits for none of it
    from torch import Tensor

DIGITS = tuple(string.digits)
SYNTHETIC_SIZES = {True: 4000, False: 1000}

_SAME_WRITERS = (
    "shares writers and pictures with MNIST's test set (both come from NIST SD 19): "
    "do not quote a figure on MNIST for weights that were trained on it"
)


@dataclass(frozen=True)
class NamedSet:
    """A data set that is known by name."""

    title: str  # as people write it
    class_names: tuple[str, ...]
    load: Callable[[Path, bool], "tuple[Tensor, Tensor]"]  # of (data_dir, train)
    warning: str = ""  # what to know before quoting figures


def digest(frames: "Tensor", labels: "Tensor") -> str:
    """SHA-256 of pixels and labels."""
    return hashlib.sha256(frames.numpy().tobytes() + labels.numpy().tobytes()).hexdigest()


# Of the pixels and labels as torchvision returns them.
_MNIST_SHA256 = {
    True: "d18cfd466eb143ac1097fde604dba9eec4116885869d04cc648b510949f9e88c",
    False: "a0863a96c44e5666edbb30c4071ee79ca0514c621e6349c5967fc78e7305c891",
}


def _synthetic(_: Path, train: bool) -> "tuple[Tensor, Tensor]":
    import torch

    from mnist_cnn.data.drawn import strokes

    frames, labels = strokes.draw_frames(SYNTHETIC_SIZES[train], seed=0 if train else 1)
    return torch.from_numpy(frames), torch.from_numpy(labels)


def _mnist(data_dir: Path, train: bool) -> "tuple[Tensor, Tensor]":
    frames, labels = _torchvision("MNIST", data_dir, train)
    found = digest(frames, labels)
    if found != _MNIST_SHA256[train]:
        raise ValueError(
            f"the MNIST files in {data_dir / 'MNIST' / 'raw'} are damaged: the SHA-256 of the "
            f"{'training' if train else 'test'} split is {found[:12]}…, expected "
            f"{_MNIST_SHA256[train][:12]}…. Delete that folder to download them again."
        )
    return frames, labels


def _qmnist(data_dir: Path, train: bool) -> "tuple[Tensor, Tensor]":
    frames, labels = _torchvision("QMNIST", data_dir, train)
    return frames, labels[:, 0]  # the other columns tell writer and source


def _emnist(split: str, data_dir: Path, train: bool) -> "tuple[Tensor, Tensor]":
    frames, labels = _torchvision("EMNIST", data_dir, train, split=split)
    # EMNIST's files hold pictures column by column; letters are counted from 1.
    return frames.transpose(1, 2).contiguous(), labels - int(split == "letters")


def _usps(data_dir: Path, train: bool) -> "tuple[Tensor, Tensor]":
    import numpy as np
    import torch

    from mnist_cnn.ink import frame

    pictures, labels = _torchvision("USPS", data_dir, train)
    # 16×16 pixels with the digit up to the border; grey on black already, so this is ink.
    frames = np.stack([frame(picture.astype(np.float32) / 255) for picture in pictures])
    return torch.from_numpy(frames), torch.tensor(labels)


def _torchvision(kind: str, data_dir: Path, train: bool, **options: Any) -> tuple[Any, Any]:
    from torchvision import datasets

    where = data_dir if kind == "USPS" else data_dir / kind / "raw"
    try:
        with unpacking(data_dir, kind) as root:
            dataset = getattr(datasets, kind)(root, train=train, download=True, **options)
    except _FAILED as error:
        damaged = _damaged(getattr(datasets, kind), where)
        raise ValueError(
            f"{kind} is not complete in {where} and could not be downloaded. Without a network, "
            f"put {_FILES[kind]} there, or pass --data-dir. {damaged}"
            f"({type(error).__name__}: {error})"
        ) from error
    if len(dataset.data) != len(dataset.targets):
        raise ValueError(
            f"{kind} in {where} is damaged: {len(dataset.data)} pictures, "
            f"{len(dataset.targets)} labels. Delete its files to download them again."
        )
    return dataset.data, dataset.targets


def _damaged(kind: type, where: Path) -> str:
    """Which of the packed files are there but are not the original ones, in words."""
    sums = getattr(kind, "resources", ())
    pairs = chain.from_iterable(sums.values()) if isinstance(sums, dict) else sums
    files = {where / name.rpartition("/")[2]: md5 for name, md5 in pairs}
    there = {file: md5 for file, md5 in files.items() if file.is_file()}
    wrong = [f.name for f, md5 in there.items() if hashlib.md5(f.read_bytes()).hexdigest() != md5]
    return f"Damaged (their MD5 is not the original's): {', '.join(wrong)}. " if wrong else ""


_FAILED = (
    RuntimeError, OSError, ValueError, AssertionError, EOFError, LookupError, zlib.error,
    zipfile.BadZipFile,
)  # fmt: skip
_FOUR_FILES = (
    "the four files train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz, "
    "t10k-images-idx3-ubyte.gz and t10k-labels-idx1-ubyte.gz"
)
_FILES = {
    "MNIST": _FOUR_FILES,
    "FashionMNIST": _FOUR_FILES,
    "KMNIST": _FOUR_FILES,
    "QMNIST": "qmnist-train-images-idx3-ubyte.gz, qmnist-train-labels-idx2-int.gz, "
    "qmnist-test-images-idx3-ubyte.gz and qmnist-test-labels-idx2-int.gz",
    "EMNIST": "gzip.zip, the archive of all its splits,",
    "USPS": "usps.bz2 and usps.t.bz2",
}


@contextmanager
def unpacking(data_dir: Path, kind: str) -> Iterator[Path]:
    """Where torchvision may unpack: `data_dir`, or a copy so that packed files stay as they are."""
    packed = list((data_dir / kind / "raw").glob("*.gz"))
    if not packed or list((data_dir / kind / "raw").glob("*-ubyte")):
        yield data_dir
        return
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / kind / "raw"
        raw.mkdir(parents=True)
        for file in packed:
            shutil.copyfile(file, raw / file.name)
        yield Path(folder)


_CLOTHES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
    "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
_KANA = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")
# Capitals and small letters of the same shape are one class.
_BALANCED = (*DIGITS, *string.ascii_uppercase, *"abdefghnqrt")

DATASETS = {
    "mnist": NamedSet("MNIST", DIGITS, _mnist),
    "fashion-mnist": NamedSet("Fashion-MNIST", _CLOTHES, partial(_torchvision, "FashionMNIST")),
    "kmnist": NamedSet("KMNIST", _KANA, partial(_torchvision, "KMNIST")),
    "qmnist": NamedSet("QMNIST", DIGITS, _qmnist, f"QMNIST {_SAME_WRITERS}"),
    "emnist-digits": NamedSet(
        "EMNIST Digits", DIGITS, partial(_emnist, "digits"), f"EMNIST {_SAME_WRITERS}"
    ),
    "emnist-letters": NamedSet(
        "EMNIST Letters",
        tuple(string.ascii_uppercase),
        partial(_emnist, "letters"),
        f"EMNIST {_SAME_WRITERS}",
    ),
    "emnist-balanced": NamedSet(
        "EMNIST Balanced", _BALANCED, partial(_emnist, "balanced"), f"EMNIST {_SAME_WRITERS}"
    ),
    "usps": NamedSet("USPS", DIGITS, _usps),
    "synthetic": NamedSet("synthetic", DIGITS, _synthetic),
}
