"""Digits and non-digits that the program draws."""

from mnist_cnn.data.drawn import lines, nondigits, strokes
from mnist_cnn.data.drawn.lines import candidate_frames
from mnist_cnn.data.drawn.nondigits import nondigit_frames
from mnist_cnn.data.drawn.reink import reink_frames
from mnist_cnn.data.drawn.wear import damage

__all__ = [
    "candidate_frames",
    "damage",
    "lines",
    "nondigit_frames",
    "nondigits",
    "reink_frames",
    "strokes",
]
