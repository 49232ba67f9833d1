"""From whatever people pass as a picture to its pixels."""

import os
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mnist_cnn.ink.decoding import LIMITS, check_size, decode
from mnist_cnn.ink.geometry import resized

# Larger pictures are reduced to this many pixels: a quarter of a usual 12-megapixel photo, which
# JPEG can be decoded at.
WORK_SIDE = 1000


def pixels_of(image: Any) -> tuple[np.ndarray, tuple[int, int]]:
    """`(H, W, 1 | 3 | 4)` float32 in [0, 1], at most `WORK_SIDE` long; and the size as given.

    What is taken and raised is stated in `find_ink`.
    """
    size = None
    if isinstance(image, str | os.PathLike | bytes):
        image, size = _decoded(image)
    if isinstance(image, Image.Image):
        image, size = _pixels(image), size or image.size
    return _checked(image), size or image.shape[1::-1]


def open_picture(source: str | os.PathLike[str] | bytes) -> Image.Image:
    """Decode a picture's file; large JPEGs come at a reduced size. Errors as `find_ink`."""
    return _decoded(source)[0]


def _decoded(source: str | os.PathLike[str] | bytes) -> tuple[Image.Image, tuple[int, int]]:
    """The picture of a file, and its size as given."""
    if isinstance(source, bytes):
        return decode(source, "the picture", WORK_SIDE)
    path = Path(source)
    if path.is_dir():
        raise ValueError(f"{source}: is a folder: pass a picture's file, or each file in it")
    if not path.is_file():
        raise ValueError(f"{source}: no such file")
    try:
        with path.open("rb") as file:
            # One byte more than is read tells that there are more.
            content = file.read(LIMITS.file_bytes + 1)
    except OSError as error:
        raise ValueError(f"{source}: cannot be read: {error.strerror}") from error
    return decode(content, str(source), WORK_SIDE)


def _pixels(image: Image.Image) -> np.ndarray:
    """The pixels of a PIL image as an array that `_checked` takes."""
    check_size(image, "the picture")
    if image.mode.startswith("I;16"):
        return np.asarray(image).astype(np.uint16)
    if image.mode == "I":  # how some 16-bit files arrive
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 65535:
            raise ValueError("a picture of mode I must hold values from 0 to 65535")
        return values.astype(np.uint16)
    if image.mode == "F":
        return np.asarray(image)
    if image.has_transparency_data:
        return np.asarray(image.convert("RGBA"))
    return np.asarray(image.convert("L" if image.mode in ("1", "L") else "RGB"))


def _checked(array: Any) -> np.ndarray:
    if not isinstance(array, np.ndarray):
        what = "None" if array is None else f"a {type(array).__name__}"
        raise ValueError(
            f"cannot read {what} as a picture: pass a path, bytes, a PIL image, a numpy array or a "
            "tensor; for several pictures a list of them"
        )
    shape = array.shape
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4) or 0 in array.shape:
        raise ValueError(
            f"a picture must be (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), got {shape}; "
            "for several pictures pass a list"
        )
    scales = {"bool": 1, "uint8": 255, "uint16": 65535, "float16": 1, "float32": 1, "float64": 1}
    if array.dtype.name not in scales:
        raise ValueError(
            f"a picture must be bool, uint8, uint16 or float in [0, 1], got {array.dtype}"
        )
    if array.dtype.kind == "f":
        low, high = array.min(), array.max()
        if not (low >= 0 and high <= 1):
            raise ValueError(
                f"a float picture must lie in [0, 1], got {low} to {high}; divide by its maximum "
                "or pass uint8"
            )
    if array.shape[2] == 3 and _is_grey(array):
        array = array[..., :1]  # grey, as most drawings are: a third of the work
    small = _reduced(array if array.dtype.name in ("uint8", "uint16") else array.astype(np.float32))
    return small.astype(np.float32) / scales[small.dtype.name]


def _is_grey(array: np.ndarray) -> bool:
    """Whether the three channels are the same; in a photo a part of it tells that they are not."""
    return all((part == part[..., :1]).all() for part in (array[::16], array))


def _reduced(array: np.ndarray) -> np.ndarray:
    longer = max(array.shape[:2])
    if longer <= WORK_SIDE:
        return array
    small = resized(array, WORK_SIDE / longer)
    return small.reshape(*small.shape[:2], -1)
