"""Data sets and augmentation."""

from mnist_cnn.data.augment import Augmentation, Augmenter
from mnist_cnn.data.datasets import (
    DATASETS,
    DIGITS,
    FOLDER,
    check,
    class_names,
    digest,
    is_folder,
    load,
    statistics,
    title,
    warning,
)

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
