"""From anyone's picture to ink, and from ink to a frame."""

from mnist_cnn.ink.decoding import PictureError, decode, header_size
from mnist_cnn.ink.find import (
    SIDE,
    VISIBLE,
    WORK_SIDE,
    Ink,
    crop,
    find_ink,
    frame,
    open_picture,
    stroke_width,
)

__all__ = [
    "SIDE",
    "VISIBLE",
    "WORK_SIDE",
    "Ink",
    "PictureError",
    "crop",
    "decode",
    "find_ink",
    "frame",
    "header_size",
    "open_picture",
    "stroke_width",
]
