"""Reads handwritten digits: `load_model().predict("seven.png").digit`."""

from typing import TYPE_CHECKING

from mnist_cnn.lazy import lazily

if TYPE_CHECKING:
    from mnist_cnn.config import FLAGSHIP, PRESETS, Config
    from mnist_cnn.model import MnistCNN, load_model
    from mnist_cnn.reading import Prediction, ReadDigit, Reading

__all__ = [
    "FLAGSHIP",
    "PRESETS",
    "Config",
    "MnistCNN",
    "Prediction",
    "ReadDigit",
    "Reading",
    "load_model",
]

__getattr__, __dir__ = lazily(
    __name__,
    {
        "config": ["FLAGSHIP", "PRESETS", "Config"],
        "model": ["MnistCNN", "load_model"],
        "reading": ["Prediction", "ReadDigit", "Reading"],
    },
)
