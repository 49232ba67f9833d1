"""Digits and non-digits that the program draws."""

from mnist_cnn.data.drawn import nondigits, rows, strokes
from mnist_cnn.data.drawn.nondigits import nondigit_frames
from mnist_cnn.data.drawn.reink import reink_frames
from mnist_cnn.data.drawn.rows import candidate_frames
from mnist_cnn.data.drawn.wear import damage

__all__ = [
    "candidate_frames",
    "damage",
    "nondigit_frames",
    "nondigits",
    "reink_frames",
    "rows",
    "strokes",
]
