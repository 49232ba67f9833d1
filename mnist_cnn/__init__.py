"""Reads handwritten digits: `load_model().predict("seven.png").digit`."""

from mnist_cnn.model import MnistCNN, load_model
from mnist_cnn.network import FLAGSHIP, PRESETS, Config
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
