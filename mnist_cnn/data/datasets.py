"""Data sets as tensors in memory: `(N, 28, 28)` uint8 frames and `(N,)` int64 labels."""

import hashlib
import logging
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
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mnist_cnn.data.drawn import strokes
from mnist_cnn.ink import find_ink, frame

logger = logging.getLogger(__name__)

DIGITS = tuple(string.digits)
FOLDER = "folder:"  # what a data set's name begins with when it is a folder of pictures
TEST_SHARE = 0.1  # of a folder's pictures, when it is not split into train/ and test/
LISTED = 20  # files that cannot be used and are named in a message
SYNTHETIC_SIZES = {True: 4000, False: 1000}

_SAME_WRITERS = (
    "shares writers and pictures with MNIST's test set (both come from NIST SD 19): "
    "do not quote a figure on MNIST for weights that were trained on it"
)


@dataclass(frozen=True)
class Source:
    """A data set that is known by name."""

    title: str  # as people write it
    class_names: tuple[str, ...]
    load: Callable[[Path, bool], tuple[Tensor, Tensor]]  # of (data_dir, train)
    warning: str = ""  # what to know before quoting figures


def load(
    name: str, data_dir: str | Path, train: bool, skip_unreadable: bool = False
) -> tuple[Tensor, Tensor]:
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
        return _pictures(_folder(name), train, skip_unreadable)
    return DATASETS[name].load(Path(data_dir), train)


def check(name: str) -> None:
    """Refuse a name that is no data set."""
    if name not in DATASETS and not is_folder(name):
        raise ValueError(
            f"unknown dataset {name!r}; choose one of {', '.join(DATASETS)}, or folder:DIR"
        )


def is_folder(name: str) -> bool:
    return name.startswith(FOLDER)


def title(name: str) -> str:
    """The data set's name as people write it; of a folder, its last part."""
    return _folder(name).resolve().name if is_folder(name) else DATASETS[name].title


def class_names(name: str) -> tuple[str, ...]:
    """What the labels 0, 1, … stand for."""
    check(name)
    if is_folder(name):
        return tuple(folder.name for folder in _class_folders(_folder(name), train=True))
    return DATASETS[name].class_names


def warning(name: str) -> str:
    """What to know before quoting figures; "" if there is nothing."""
    return "" if is_folder(name) else DATASETS[name].warning


def statistics(frames: Tensor) -> tuple[float, float]:
    """Mean and standard deviation of frames scaled to [0, 1], with four digits as usual."""
    counts = torch.bincount(frames.flatten(), minlength=256).double()
    values, total = torch.arange(256).double() / 255, frames.numel()
    mean = (counts * values).sum() / total
    variance = (counts * (values - mean) ** 2).sum() / total
    return round(mean.item(), 4), round(variance.sqrt().item(), 4)


def digest(frames: Tensor, labels: Tensor) -> str:
    """SHA-256 of pixels and labels."""
    return hashlib.sha256(frames.numpy().tobytes() + labels.numpy().tobytes()).hexdigest()


# --- by name ------------------------------------------------------------------------------------

# Of the pixels and labels as torchvision returns them.
_MNIST_SHA256 = {
    True: "d18cfd466eb143ac1097fde604dba9eec4116885869d04cc648b510949f9e88c",
    False: "a0863a96c44e5666edbb30c4071ee79ca0514c621e6349c5967fc78e7305c891",
}


def _synthetic(_: Path, train: bool) -> tuple[Tensor, Tensor]:
    frames, labels = strokes.draw_frames(SYNTHETIC_SIZES[train], seed=0 if train else 1)
    return torch.from_numpy(frames), torch.from_numpy(labels)


def _mnist(data_dir: Path, train: bool) -> tuple[Tensor, Tensor]:
    frames, labels = _torchvision("MNIST", data_dir, train)
    found = digest(frames, labels)
    if found != _MNIST_SHA256[train]:
        raise ValueError(
            f"the MNIST files in {data_dir / 'MNIST' / 'raw'} are damaged: the SHA-256 of the "
            f"{'training' if train else 'test'} split is {found[:12]}…, expected "
            f"{_MNIST_SHA256[train][:12]}…. Delete that folder to download them again."
        )
    return frames, labels


def _qmnist(data_dir: Path, train: bool) -> tuple[Tensor, Tensor]:
    frames, labels = _torchvision("QMNIST", data_dir, train)
    return frames, labels[:, 0]  # the other columns tell writer and source


def _emnist(split: str, data_dir: Path, train: bool) -> tuple[Tensor, Tensor]:
    frames, labels = _torchvision("EMNIST", data_dir, train, split=split)
    # EMNIST's files hold pictures column by column; letters are counted from 1.
    return frames.transpose(1, 2).contiguous(), labels - int(split == "letters")


def _usps(data_dir: Path, train: bool) -> tuple[Tensor, Tensor]:
    pictures, labels = _torchvision("USPS", data_dir, train)
    # 16×16 pixels with the digit up to the border; grey on black already, so this is ink.
    frames = np.stack([frame(picture.astype(np.float32) / 255) for picture in pictures])
    return torch.from_numpy(frames), torch.tensor(labels)


def _torchvision(kind: str, data_dir: Path, train: bool, **options: Any) -> tuple[Any, Any]:
    # Imported here because torchvision takes a second to import and prediction does not need it.
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
    "mnist": Source("MNIST", DIGITS, _mnist),
    "fashion-mnist": Source("Fashion-MNIST", _CLOTHES, partial(_torchvision, "FashionMNIST")),
    "kmnist": Source("KMNIST", _KANA, partial(_torchvision, "KMNIST")),
    "qmnist": Source("QMNIST", DIGITS, _qmnist, f"QMNIST {_SAME_WRITERS}"),
    "emnist-digits": Source(
        "EMNIST Digits", DIGITS, partial(_emnist, "digits"), f"EMNIST {_SAME_WRITERS}"
    ),
    "emnist-letters": Source(
        "EMNIST Letters",
        tuple(string.ascii_uppercase),
        partial(_emnist, "letters"),
        f"EMNIST {_SAME_WRITERS}",
    ),
    "emnist-balanced": Source(
        "EMNIST Balanced", _BALANCED, partial(_emnist, "balanced"), f"EMNIST {_SAME_WRITERS}"
    ),
    "usps": Source("USPS", DIGITS, _usps),
    "synthetic": Source("synthetic", DIGITS, _synthetic),
}


# --- a folder of pictures -----------------------------------------------------------------------


def _folder(name: str) -> Path:
    return Path(name.removeprefix(FOLDER)).expanduser()


def _class_folders(folder: Path, train: bool) -> list[Path]:
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


def _pictures(folder: Path, train: bool, skip_unreadable: bool) -> tuple[Tensor, Tensor]:
    classes = _class_folders(folder, train)
    if _is_split(folder):
        names = [{path.name for path in _class_folders(folder, part)} for part in (True, False)]
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
