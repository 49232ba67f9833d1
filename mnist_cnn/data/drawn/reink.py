"""MNIST digits drawn again from their skeletons, by another pen."""

from functools import lru_cache

import cv2
import numpy as np

from mnist_cnn.data.drawn.strokes import BRUSHES, Brush, Change, paint_lines, wobble
from mnist_cnn.ink import frame

FINE = 4  # pixels of the skeleton's picture per frame pixel
PENS = tuple(kind for kind in BRUSHES if kind != "tapered")  # a skeleton has no first and last


def reink(old: np.ndarray, rng: np.random.Generator, brush: Brush | None = None) -> np.ndarray:
    """Ink of a digit like that of a `(28, 28)` uint8 frame, with a line of another width."""
    fine = cv2.resize(old, None, fx=FINE, fy=FINE, interpolation=cv2.INTER_CUBIC)
    fine = cv2.GaussianBlur(fine, (0, 0), FINE / 4)
    lines = skeleton_lines(thin(fine > 110))
    if not len(lines):
        return np.zeros((FINE * 28, FINE * 28), np.float32)
    # A brush as fat as drawn digits may have would fill the loops of a small skeleton.
    brush = brush or Brush.random(rng, PENS, fattest=0.13)
    along = np.full(len(lines), 0.5)
    return paint_lines(_warped(lines / (FINE * 20), rng), along, brush, rng)


def reink_frames(frames: np.ndarray, seed: int, change: Change | None = None) -> np.ndarray:
    """A frame for each of `(n, 28, 28)` uint8 frames: their digits by other pens.

    `change` is what happens to the ink before it is framed, as in `strokes.draw_frames`.
    """
    rng = np.random.default_rng(seed)
    inks = (reink(old, rng) for old in frames)
    again = [frame(change(ink, rng) if change else ink) for ink in inks]
    return np.array(again, np.uint8).reshape(-1, 28, 28)


def thin(mask: np.ndarray) -> np.ndarray:
    """The skeleton of a mask, one pixel wide (Zhang and Suen 1984)."""
    mask = np.pad(mask.astype(np.uint8), 1)
    while True:
        before = int(mask.sum())
        for table in _tables():
            neighbours = cv2.filter2D(mask, cv2.CV_8U, _PLACES, borderType=cv2.BORDER_CONSTANT)
            mask &= cv2.LUT(neighbours, table)
        if int(mask.sum()) == before:
            return mask[1:-1, 1:-1].astype(bool)


def skeleton_lines(skeleton: np.ndarray) -> np.ndarray:
    """A skeleton as `(n, 2, 2)` short lines between neighbouring pixels, its steps smoothed."""
    near = cv2.boxFilter(skeleton.astype(np.float32), -1, (5, 5), normalize=False)
    rows, columns = np.indices(skeleton.shape, np.float32)
    places = np.stack(
        [
            cv2.boxFilter(at * skeleton, -1, (5, 5), normalize=False) / np.maximum(near, 1)
            for at in (columns, rows)
        ],
        axis=2,
    )
    height, width = skeleton.shape
    lines = [np.repeat(places[skeleton & (near == 1)][:, None], 2, 1)]  # dots
    for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
        left = max(-right, 0)
        one = slice(0, height - down), slice(left, width - max(right, 0))
        other = slice(down, height), slice(left + right, width - left if right < 0 else width)
        both = skeleton[one] & skeleton[other]
        lines.append(np.stack([places[one][both], places[other][both]], 1))
    return np.concatenate(lines).astype(np.float64)


def _warped(lines: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A little of another hand: slant, proportions, a slow wobble."""
    wave = wobble(lines, rng, fastest=6)
    lines = lines + rng.uniform(0, 0.025) * wave
    return lines @ np.array([[rng.uniform(0.85, 1.15), 0], [rng.normal(0, 0.08), 1]])


# Which bit stands for which neighbour: clockwise from the one above, as in the paper.
_PLACES = np.array([[128, 1, 2], [64, 0, 4], [32, 16, 8]], np.float32)


@lru_cache(maxsize=1)
def _tables() -> tuple[np.ndarray, np.ndarray]:
    """For both half-steps: 0 where a pixel with these neighbours goes, else 1."""
    bits = (np.arange(256)[:, None] >> np.arange(8)) & 1  # (256, 8): P2 … P9
    count = bits.sum(1)
    changes = ((bits == 0) & (np.roll(bits, -1, 1) == 1)).sum(1)
    goes = (count >= 2) & (count <= 6) & (changes == 1)
    p2, p4, p6, p8 = bits[:, 0], bits[:, 2], bits[:, 4], bits[:, 6]
    first = goes & (p2 * p4 * p6 == 0) & (p4 * p6 * p8 == 0)
    second = goes & (p2 * p4 * p8 == 0) & (p2 * p6 * p8 == 0)
    return tuple((~table).astype(np.uint8) for table in (first, second))
