"""Ink of a photo: the ground changes from pixel to pixel, and so does the light on the ink."""

from dataclasses import dataclass

import cv2
import numpy as np

from mnist_cnn.ink.geometry import distances, padded, resized
from mnist_cnn.ink.printed_lines import without_lines
from mnist_cnn.ink.writing import WRITING, writing


@dataclass(frozen=True)
class Photo:
    """How ink is told from a ground that changes. Lengths are shares of the longer side.

    Set by hand, and checked as a whole with the photographed slices of benchmarks/photos.py.
    """

    side: int = 512  # pixels: photos are looked at in this size; a digit of 1/8 has 64 of them
    ground_side: int = 256  # pixels: the ground changes slowly, so it is estimated at this size
    light_ground: float = 0.42  # on lighter ground ink is dark: paper in dim light, no board
    ground_step: float = 0.06  # of the lightest: between two neighbours of the ground, an edge
    widest: float = 0.25  # twice the width of a fat stroke, so that crossings are narrower too
    pens: int = 4  # strokes cross and run together, but no wider than so many pens …
    least_widest: float = 0.03  # … and than this, or blur would count as light
    hole: int = 5  # pixels: the noise of a photo leaves smaller holes in strokes
    faintest: float = 0.08  # contrast: what is weaker is no ink
    loudest: float = 0.3  # contrast: what is stronger is no noise
    faint_part: float = 0.3  # of the ink's usual contrast: a light pen leaves no less anywhere


PHOTO = Photo()


def ink(pixels: np.ndarray) -> np.ndarray:
    """Ink on a ground that changes across the picture: light, shadow, the paper's own colour."""
    scale = min(1, PHOTO.side / max(pixels.shape[:2]))
    grey = resized(pixels.mean(2), scale)
    contrast, mask = _mask(grey, PHOTO.widest)
    # Now that the pen is known, a second look drops what is much wider: the edges of a shadow.
    pens = max(PHOTO.pens * _pen(mask) / max(mask.shape), PHOTO.least_widest)
    if mask.any() and pens < PHOTO.widest:
        closer, left = _mask(grey, pens)
        # What it finds anew may be the edge of a sheet; but bold ink is not lost, be it that the
        # first look saw nothing but a shadow, or that it had a wrong idea of the pen.
        again = _grown_from(cv2.dilate(mask, np.ones((5, 5))) > 0, left)
        if again.any() or not _is_bold(closer, left):
            left = again
        if left.any() or not _is_bold(contrast, mask):
            contrast, mask = closer, left
    if not mask.any():
        return np.zeros(grey.shape, np.float32)
    # A ramp around half of the ink's strength nearby keeps the stroke's soft edge.
    pen = 2 * round(_pen(mask)) + 1
    nearby = cv2.blur(cv2.dilate(contrast * mask, np.ones((pen, pen))), (pen, pen))
    usual = float(np.quantile(contrast[mask > 0], 0.8))
    soft = np.clip((contrast / np.clip(nearby, PHOTO.faint_part * usual, usual) - 0.2) / 0.5, 0, 1)
    return soft * cv2.dilate(mask, np.ones((3, 3), np.uint8))


def _is_bold(contrast: np.ndarray, mask: np.ndarray) -> bool:
    return bool(mask.any()) and float(contrast[mask > 0].mean()) > WRITING.bold


def _pen(mask: np.ndarray) -> float:
    """The pen's width in pixels: twice the median depth of the strokes' middle lines.

    Long thin strokes have longer middles than stains have, so a stain does not count for much.
    Holes that noise leaves in a stroke are closed, or it would count as several thin ones.
    """
    mask = cv2.morphologyEx(
        padded(mask, PHOTO.hole), cv2.MORPH_CLOSE, np.ones((PHOTO.hole, PHOTO.hole))
    )
    depth = distances(mask)
    middle = (depth > 0) & (depth >= cv2.dilate(depth, np.ones((3, 3))) - 0.1)
    return 2 * float(np.median(depth[middle])) if middle.any() else 0.0


def _mask(grey: np.ndarray, widest: float) -> tuple[np.ndarray, np.ndarray]:
    """The contrast of a photo and a mask of its writing, whose strokes are at most `widest`."""
    contrast = _contrast(grey, widest)
    # Robust noise: 1.48 times the median absolute deviation is a normal deviation.
    noise = 1.48 * float(np.median(np.abs(contrast)))
    # Dense printed lines look like noise, but no noise is as strong as ink.
    floor = max(PHOTO.faintest, min(5 * noise, PHOTO.loudest))
    visible = contrast[contrast > floor]
    if visible.size < 10:
        return contrast, np.zeros(grey.shape, np.uint8)
    strong = _otsu(visible)
    weak = PHOTO.faint_part * float(np.median(visible[visible >= strong]))
    # Faint lines are found whole at a lower level than ink.
    faint = contrast > max(0.5 * PHOTO.faintest, 3 * noise)
    mask, faint = (contrast > max(floor, weak)).astype(np.uint8), faint.astype(np.uint8)
    mask = without_lines(mask, faint, contrast)
    return contrast, writing(_grown_from(contrast > strong, mask), contrast, drawn=False)


def _contrast(grey: np.ndarray, widest: float) -> np.ndarray:
    """How much darker (or on a board lighter) than its ground each pixel is, about 0 for ground.

    The ground under dark ink is a grey-scale closing (Serra 1982) by an element wider than any
    stroke, seen at a small size; a closing leaves the edges of wide shadows where they are. The
    contrast is relative, so that ink in the shadow counts as much as ink in the light.
    """
    height, width = grey.shape
    scale = PHOTO.ground_side / max(height, width)
    small = resized(grey, scale)
    small = np.round(cv2.GaussianBlur(small, (0, 0), 1) * 255).astype(np.uint8)
    light_ink = _ink_is_light(small)
    small = 255 - small if light_ink else small
    reach = round(widest * PHOTO.ground_side) | 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    ground = cv2.morphologyEx(_continued(small, reach), cv2.MORPH_CLOSE, kernel)
    ground = np.ascontiguousarray(ground[reach:-reach, reach:-reach])
    # Beside a step of the ground (a shadow's edge, a sheet's), the step's height tells nothing.
    step = cv2.morphologyEx(ground, cv2.MORPH_GRADIENT, np.ones((3, 3)))
    step = np.maximum(step, round(PHOTO.ground_step * 255)) - round(PHOTO.ground_step * 255)
    ground, step = (
        cv2.resize(level, (width, height), interpolation=cv2.INTER_LINEAR).astype(np.float32) / 255
        for level in (ground, step)
    )
    grey = cv2.GaussianBlur(1 - grey if light_ink else grey, (0, 0), 0.8)
    contrast = (ground - grey) / np.maximum(1 - ground if light_ink else ground, 0.1)
    contrast = contrast - np.median(contrast) - step
    return np.clip(contrast, -1, 1)


def _continued(levels: np.ndarray, margin: int) -> np.ndarray:
    """A picture with a margin in which light that falls off towards the border goes on falling."""
    margins = (margin,) * 4
    edge = cv2.copyMakeBorder(levels, *margins, cv2.BORDER_REPLICATE)
    mirrored = cv2.copyMakeBorder(levels, *margins, cv2.BORDER_REFLECT_101)
    continued: np.ndarray = np.clip(2 * edge.astype(np.int16) - mirrored, 0, edge)
    return continued.astype(np.uint8)


def _ink_is_light(levels: np.ndarray) -> bool:
    """Whether ink is lighter than its ground: never on a light ground, such as paper.

    On a dark one, what stands out from its surroundings decides, by the skewness of the
    difference: ink is a small part of its surroundings, so a wide median is the ground. What
    is light and reaches in from the border, such as a finger, counts only if nothing else of a
    digit's size stands out.
    """
    if np.median(levels) > 255 * PHOTO.light_ground:
        return False
    reach = round(PHOTO.widest * PHOTO.ground_side) | 1
    around = cv2.medianBlur(levels, reach)
    # Where the ground itself has an edge (a sheet on a table, a shadow) nothing is learned.
    edges = cv2.morphologyEx(around, cv2.MORPH_GRADIENT, np.ones((3, 3))) > PHOTO.ground_step * 255
    even = cv2.dilate(edges.astype(np.uint8), np.ones((reach // 2, reach // 2))) == 0
    difference = levels.astype(np.float32) - around
    _, labels = cv2.connectedComponents((difference > PHOTO.faintest * 255).view(np.uint8))
    edge = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    inner = even & ~np.isin(labels, edge[edge > 0])
    clear = (inner & (np.abs(difference) > PHOTO.faintest * 255)).view(np.uint8)
    sizes = cv2.connectedComponentsWithStats(clear)[2][1:, 2:4]
    if (sizes.max(1) >= WRITING.smallest * PHOTO.ground_side).any():
        even = inner
    difference = difference[even]
    return float((difference**3).sum()) > 0


def _otsu(values: np.ndarray) -> float:
    """The threshold between two classes of values in [0, 1] (Otsu 1979)."""
    levels = np.round(np.clip(values, 0, 1) * 255).astype(np.uint8)
    return float(cv2.threshold(levels, 0, 255, cv2.THRESH_OTSU)[0]) / 255


def _grown_from(seeds: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Hysteresis (Canny 1986): the components of a mask that hold a seed."""
    _, labels = cv2.connectedComponents(mask, connectivity=8)
    kept = np.unique(labels[seeds & (mask > 0)])
    return (np.isin(labels, kept) & (mask > 0)).astype(np.uint8)
