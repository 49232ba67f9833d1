"""What several stages do with levels `(H, W)`: sizes, margins, distances, widths of strokes."""

from collections.abc import Iterator
from contextlib import contextmanager

import cv2
import numpy as np

VISIBLE = 0.15  # ink under this is taken for noise when a digit's box is measured


@contextmanager
def portable() -> Iterator[None]:
    """The same numbers on every machine: without Intel's IPP, which only builds for x86 have.

    With it, distances differ in the sixth digit, and so do enlarged drawings. Whether it is used is
    a setting of each thread, so other threads notice nothing; afterwards it is as it was.
    """
    used = cv2.ipp.useIPP()
    cv2.ipp.setUseIPP(False)
    try:
        yield
    finally:
        cv2.ipp.setUseIPP(used)


@portable()
def distances(mask: np.ndarray, reach: int = 5) -> np.ndarray:
    """How far each pixel of a mask lies from the nearest one outside it, float32 pixels.

    Args:
        mask: `(H, W)` uint8, 0 outside.
        reach: pixels: the side of the square in which steps are measured (Borgefors 1986), 3 or 5.
    """
    return cv2.distanceTransform(mask, cv2.DIST_L2, reach)


def resized(levels: np.ndarray, scale: float, way: int = cv2.INTER_AREA) -> np.ndarray:
    """A picture at another size; a side keeps at least one pixel."""
    height, width = levels.shape[:2]
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return cv2.resize(levels, size, interpolation=way)


def padded(levels: np.ndarray, margin: int) -> np.ndarray:
    """The same with zeros around it. `np.pad` takes ten times as long for a digit."""
    return cv2.copyMakeBorder(levels, *(margin,) * 4, cv2.BORDER_CONSTANT)


def crop(ink: np.ndarray, least: float) -> np.ndarray:
    """The part of the ink that holds all pixels above `least`, of which there must be one."""
    left, top, width, height = cv2.boundingRect((ink > least).view(np.uint8))
    return ink[top : top + height, left : left + width]


def stroke_width(ink: np.ndarray) -> float:
    """The mean stroke width in pixels: four times a bar's mean distance to its edge."""
    mask = padded((ink > 0.5).astype(np.uint8), 1)
    if not mask.any():
        return 1.0
    distance = distances(mask)
    # The distance runs to the middle of the first pixel outside, half a pixel beyond the edge.
    return 4 * max(float(distance[mask > 0].mean()) - 0.5, 0.25)
