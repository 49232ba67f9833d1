"""From anyone's picture to ink, and from ink to a frame."""

from mnist_cnn.ink.decoding import PictureError, decode, header_size
from mnist_cnn.ink.finding import Ink, find_ink
from mnist_cnn.ink.framing import SIDE, frame
from mnist_cnn.ink.geometry import VISIBLE, crop, stroke_width
from mnist_cnn.ink.picture import WORK_SIDE, open_picture

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
