"""Data sets and augmentation."""

from typing import TYPE_CHECKING

from mnist_cnn.data.augmentation import Augmentation
from mnist_cnn.data.datasets import (
    FOLDER,
    check,
    class_names,
    is_folder,
    load,
    statistics,
    title,
    warning,
)
from mnist_cnn.data.named import DATASETS, DIGITS, digest
from mnist_cnn.lazy import lazily

if TYPE_CHECKING:
    from mnist_cnn.data.augmenter import Augmenter

__all__ = [
    "DATASETS",
    "DIGITS",
    "FOLDER",
    "Augmentation",
    "Augmenter",
    "check",
    "class_names",
    "digest",
    "is_folder",
    "load",
    "statistics",
    "title",
    "warning",
]

__getattr__, __dir__ = lazily(__name__, {"augmenter": ["Augmenter"]})
