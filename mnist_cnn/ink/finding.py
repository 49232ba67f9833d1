"""Ink: what stands out from a picture's ground, of one colour or not."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mnist_cnn.ink import drawing, photo
from mnist_cnn.ink.picture import pixels_of


@dataclass(frozen=True, eq=False)
class Ink:
    """The ink of a picture: white strokes on black."""

    levels: np.ndarray = field(repr=False)  # (H, W) float32 in [0, 1]
    size: tuple[int, int]  # width and height in pixels of the picture as given, upright

    @property
    def scale(self) -> tuple[float, float]:
        """Pixels of the picture as given per pixel of the ink, along x and y."""
        height, width = self.levels.shape
        return self.size[0] / width, self.size[1] / height


def find_ink(image: Any) -> Ink:
    """The ink of a picture.

    The ground is the colour along the picture's border, and ink is how far a pixel's colour lies
    from it, so black on white, white on black and red on blue are all the same ink. Where the
    border is not of one colour (a photo), the ground is estimated around every pixel instead, and
    the ink is at most 512 pixels long. Transparent pixels are ground if they are the larger part
    or all opaque pixels have one colour. Printed lines, specks, what reaches in from the border
    and, on a drawing, boxes and circles around digits are dropped; what is left is one digit or
    several.

    Args:
        image: a file's path or bytes (PNG, JPEG, WebP, BMP, GIF; EXIF orientation applied, the
            first frame of an animation), a PIL image of any mode, or a numpy array `(H, W)`,
            `(H, W, 1)`, `(H, W, 3)` or `(H, W, 4)` of bool, uint8, uint16 or float in [0, 1].

    Raises:
        ValueError: not readable as a picture, too large, or an array of another kind.
    """
    pixels, size = pixels_of(image)
    return Ink(_levels(pixels), size)


def _levels(pixels: np.ndarray) -> np.ndarray:
    """The ink of `(H, W, 1 | 3 | 4)` float32 in [0, 1], `(H, W)`."""
    if pixels.shape[2] == 4:
        colours, alpha = pixels[..., :3], pixels[..., 3]
        opaque = alpha > 0.5
        if not opaque.any():
            return np.zeros(alpha.shape, np.float32)
        usual = np.median(colours[opaque], axis=0)
        one_colour = np.abs(colours[opaque] - usual).max() < drawing.DRAWING.one_colour
        if opaque.mean() < 0.5 or (one_colour and not opaque.all()):
            return alpha
        pixels = alpha[..., None] * colours + (1 - alpha[..., None]) * usual
    distance = drawing.from_ground(pixels)
    return photo.ink(pixels) if distance is None else drawing.ink(distance)
