"""From ink to a frame: MNIST's size, place and width of strokes."""

from dataclasses import dataclass

import cv2
import numpy as np

from mnist_cnn.ink.finding import Ink
from mnist_cnn.ink.geometry import VISIBLE, crop, distances, padded, portable, resized, stroke_width

SIDE = 28  # pixels of a frame


@dataclass(frozen=True)
class Mnist:
    """Where a digit lies in a frame (LeCun et al. 1998), and how thick it is, in frame pixels."""

    box: int = 20  # the digit's longer side
    centre: int = 14  # row and column of its centre of mass, not 13.5: counted from 0
    stroke: tuple[float, float] = (1.9, 3.3)  # where the middle two thirds of MNIST's widths lie
    fine: int = 4  # strokes are measured and changed at so many pixels per frame pixel


MNIST = Mnist()


@portable()
def frame(ink: Ink | np.ndarray) -> np.ndarray:
    """Bring ink to MNIST's size and place: a `(28, 28)` uint8 frame, all zero if there is no ink.

    Ink that already lies as in MNIST comes back as it is, bit for bit. Other ink is cropped, its
    stroke is brought into MNIST's range of widths, its longer side is scaled to 20 pixels, and its
    centre of mass is moved onto pixel (14, 14).

    Args:
        ink: what `find_ink` found, or its levels alone: `(H, W)` float in [0, 1].
    """
    levels = ink.levels if isinstance(ink, Ink) else ink
    if levels.shape == (SIDE, SIDE) and _lies_as_in_mnist(levels):
        return np.round(levels * 255).astype(np.uint8)
    if not (levels > VISIBLE).any():
        return np.zeros((SIDE, SIDE), np.uint8)
    levels = _scaled(crop(levels, VISIBLE), MNIST.box * MNIST.fine)
    if levels.max() < 0.5:  # a hairline, which fades as it is made smaller
        levels = levels / levels.max()
    levels = crop(_with_usual_stroke(levels), VISIBLE)
    return _centred(_scaled(levels, MNIST.box))


def _lies_as_in_mnist(ink: np.ndarray) -> bool:
    if not (ink > 0).any():
        return False
    longer = max(crop(ink, 0).shape)  # one record in some thousands lacks a pixel
    return longer in (MNIST.box - 1, MNIST.box) and _centre_of_mass(ink) == (
        MNIST.centre,
        MNIST.centre,
    )


def _centre_of_mass(ink: np.ndarray) -> tuple[int, int]:
    """Row and column, to the nearest pixel."""
    total = ink.sum(dtype=np.float64)
    row = (ink.sum(1, dtype=np.float64) @ np.arange(ink.shape[0])) / total
    column = (ink.sum(0, dtype=np.float64) @ np.arange(ink.shape[1])) / total
    return int(np.floor(row + 0.5)), int(np.floor(column + 0.5))


def _with_usual_stroke(ink: np.ndarray) -> np.ndarray:
    """Thicken a thin stroke, thin a thick one, up to the nearest width that MNIST has."""
    width = stroke_width(ink) / MNIST.fine
    grow = MNIST.fine * (np.clip(width, *MNIST.stroke) - width) / 2  # pixels on either side
    if abs(grow) < 0.25:
        return ink
    if grow > 0:
        margin = int(np.ceil(grow)) + 1
        ink = padded(ink, margin)
        outside = distances((ink <= 0.5).astype(np.uint8))
        grown: np.ndarray = np.maximum(ink, np.clip(grow + 1 - outside, 0, 1))
        return grown.astype(np.float32)
    inside = distances((ink > 0.5).astype(np.uint8))
    # The ridge of the distance is the stroke's middle: it stays, so thinning never breaks a stroke.
    ridge = (inside > 0) & (inside >= cv2.dilate(inside, np.ones((3, 3))) - 0.1)
    kept = distances((~ridge).astype(np.uint8))
    core = np.clip(MNIST.fine * MNIST.stroke[0] / 2 + 0.5 - kept, 0, 1)
    thinned: np.ndarray = np.maximum(np.clip(inside + grow + 0.5, 0, 1), core) * ink
    return thinned.astype(np.float32)


def _scaled(ink: np.ndarray, longer: int) -> np.ndarray:
    """Resize so that the longer side is `longer` pixels."""
    scale = longer / max(ink.shape)
    return resized(ink, scale, cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)


def _centred(ink: np.ndarray) -> np.ndarray:
    """Place ink, at most 20 pixels long, in a frame by its centre of mass."""
    row, column = _centre_of_mass(ink)
    # A digit whose mass lies far from its middle is moved no further than the frame's edge.
    top = min(max(MNIST.centre - row, 0), SIDE - ink.shape[0])
    left = min(max(MNIST.centre - column, 0), SIDE - ink.shape[1])
    placed = np.zeros((SIDE, SIDE), np.uint8)
    area = placed[top : top + ink.shape[0], left : left + ink.shape[1]]
    area[:] = np.round(np.clip(ink, 0, 1) * 255)
    return placed
