"""Printed lines, as of ruled and squared paper, and how they are erased from a mask of ink."""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from mnist_cnn.ink.geometry import distances, resized
from mnist_cnn.ink.writing import WRITING


@dataclass(frozen=True)
class Printed:
    """What a printed line is. Lengths are shares of the picture's longer side.

    Set by hand, and checked as a whole with the ruled slices of benchmarks/photos.py.
    """

    thickness: float = 0.016  # how thick a line is
    thickest: float = 0.04  # and how thick at most
    grid: int = 2  # pixels: on so fine a grid the ends of lines are compared
    at_border: float = 0.03  # of a line: so near the picture's border it must still be seen
    present: float = 0.2  # of a line's length: less of it in the ink is a stroke upon the line
    darker: float = 1.4  # times the strength of the printed lines: what is stronger is ink on them
    through: float = 0.85  # of a line is seen if it runs through the whole picture …
    half_through: float = 0.5  # … and so much if through half of it
    length: float = 0.3  # at least so long a stretch of a printed line is seen …
    across: float = 0.6  # … or such a share of a narrow picture's width, …
    others: int = 4  # … if there are so many others: fewer may be the stems of a line of digits
    longest_gap: float = (
        0.25  # of a line's length: longer ones part a stroke from what it points at
    )
    faintest: float = 0.07  # contrast: fainter lines count as so strong
    all_strong: float = 0.7  # of a component's pixels: so many are stronger if it is a stroke
    on_line: float = 0.9  # of a component's pixels: what lies so much on a line belongs to it
    slope: float = 0.3  # of a line: it lies along one side of the picture or the other


PRINTED = Printed()


def without_lines(mask: np.ndarray, faint: np.ndarray, strength: np.ndarray) -> np.ndarray:
    """Erase the printed lines that `faint` shows from a mask of ink.

    As in the removal of staff lines from music (Dalitz et al. 2008), a line's pixel is erased where
    the ink across the line is no thicker than a line, so that strokes that cross it stay whole. So
    do strokes along it if they are clearly stronger than it is.
    """
    lines = _printed_lines(faint)
    if not lines.size:
        return mask
    upright = np.abs(lines[:, 1] - lines[:, 0]) @ (-1, 1) > 0
    pieces = lines[~upright], lines[upright]
    peak = cv2.dilate(strength.astype(np.float32), np.ones((3, 3)))
    usual = np.array([float(np.median(values)) for values in _along(lines, peak)])
    strong = strength > PRINTED.darker * max(float(np.median(usual)), PRINTED.faintest)
    thin = _thickness(lines, faint)
    # Within a pixel, by which the transform may miss a thin line.
    near = cv2.dilate(mask, np.ones((3, 3)))
    seen = np.array([values.mean() > PRINTED.present for values in _along(lines, near)], bool)
    lines, upright, usual = lines[seen], upright[seen], usual[seen]
    # What is seen of lines in the mask may be strokes that lie on some; all lines are as thick.
    thick = min(_thickness(lines, mask), thin)
    darker = _long(mask * (strength > PRINTED.darker * usual.max(initial=0)).astype(np.uint8))
    for group, across in ((lines[~upright], (thick + 2, 1)), (lines[upright], (1, thick + 2))):
        strokes = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones(across, np.uint8))
        erased = (_drawn(group, mask.shape, thick + 4) > 0) & ~darker
        mask = np.where(erased, strokes, mask)
    return _without_pieces(mask, strong, pieces, thick)


def _thickness(lines: np.ndarray, mask: np.ndarray) -> int:
    """How thick lines usually are in a mask, in pixels."""
    depth = cv2.dilate(distances(mask, 3), np.ones((5, 5)))
    depth = depth[(_drawn(lines, mask.shape, 3) & mask) > 0]
    return 2 * round(float(np.median(depth))) if depth.size else 1


def _without_pieces(
    mask: np.ndarray, strong: np.ndarray, lines: tuple[np.ndarray, ...], thick: int
) -> np.ndarray:
    """Drop what lies wholly on a line, and along it: the lying lines, the upright ones.

    But not what is as long as a stroke and nearly all of it stronger than lines are.
    """
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    width, height = stats[:, 2], stats[:, 3]
    kept = np.ones(count, bool)
    for group, long, short in zip(lines, (width, height), (height, width), strict=True):
        wide = _drawn(group, mask.shape, thick + 4)
        share = np.bincount(labels.ravel(), wide.ravel(), count) / np.bincount(labels.ravel())
        kept &= (share < PRINTED.on_line) | (short > 2 * thick + 4 + PRINTED.slope * long)
    share = np.bincount(labels.ravel(), strong.ravel(), count) / np.bincount(labels.ravel())
    kept |= (share > PRINTED.all_strong) & (
        np.maximum(width, height) >= WRITING.smallest * max(mask.shape)
    )
    kept_pixels: np.ndarray = kept[labels]
    return mask * kept_pixels.astype(np.uint8)


def _long(mask: np.ndarray) -> np.ndarray:
    """The components that are as long as a stroke; shorter ones may be crossings of two lines."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    long = stats[:, 2:4].max(1) >= WRITING.smallest * max(mask.shape)
    long[0] = False
    pixels: np.ndarray = long[labels]
    return pixels


def _along(lines: np.ndarray, levels: np.ndarray) -> Iterator[np.ndarray]:
    """What a picture holds along each of `(n, 2, 2)` lines; one by one, for noise has thousands."""
    part = np.linspace(0, 1, max(levels.shape))[:, None]
    for start, end in lines:
        x, y = np.round(start + part * (end - start)).astype(int).T
        yield levels[y, x]


def _drawn(lines: np.ndarray, shape: tuple[int, int], thick: int) -> np.ndarray:
    """A mask of `(n, 2, 2)` lines."""
    mask = np.zeros(shape, np.uint8)
    cv2.polylines(mask, [*lines.astype(np.int32)], False, 1, thick)
    return mask


def _printed_lines(mask: np.ndarray) -> np.ndarray:
    """Lines from border to border, `(n, 2, 2)` as x, y, that are printed and not written.

    A thin straight line is printed if it runs through the whole picture, or through half of it,
    without a long gap, and beside another. In a narrow picture, strokes run through all of it, too:
    there it must be one of many. A thicker one, as a close look at ruled paper shows it, must leave
    the picture at both ends, for strokes may be as thick and as long.
    """
    thin, covered, gaps, _ = _straight_lines(mask, PRINTED.thickness)
    apart, parallel = _beside_each_other(thin)
    spaces = apart // (3 * PRINTED.thickness * max(mask.shape))
    beside = parallel & (spaces > 0)
    seen = covered * np.linalg.norm(thin[:, 1] - thin[:, 0], axis=1)
    long = seen >= PRINTED.length * max(mask.shape)
    through, partly = (
        covered > PRINTED.through,
        (covered > PRINTED.half_through) & (gaps < PRINTED.longest_gap),
    )
    # The transform finds a line again and again, at almost the same place.
    others = [len(set(row[there])) for row, there in zip(spaces, beside & through, strict=True)]
    many = np.array(others, int) >= PRINTED.others
    thin = thin[(through & (long | many)) | (partly & long & (beside & partly).any(1))]
    # Thick lines are as well seen, and sooner found, at half the size.
    half = resized(mask, 0.5)
    thick, covered, _, whole = _straight_lines(half, PRINTED.thickest)
    lines = np.concatenate([thin, 2 * thick[(covered > PRINTED.through) & whole]])
    _, first = np.unique(lines // PRINTED.grid, axis=0, return_index=True)
    return lines[first]


def _straight_lines(mask: np.ndarray, widest: float) -> tuple[np.ndarray, ...]:
    """Straight lines in a mask, by the Hough transform (Matas et al. 2000), to the border and back.

    Returns:
        lines: `(n, 2, 2)` int, the ends of each on the picture's border, as x, y.
        covered: `(n,)`, the share of each that is in the mask.
        gaps: `(n,)`, the share of each that lies in its longest gap between two covered parts.
        whole: `(n,)` bool, whether the mask covers both its ends.
    """
    side = max(mask.shape)
    thick = max(2, round(widest * side))
    shortest = round(min(PRINTED.length * side, PRINTED.across * min(mask.shape)))
    thin = cv2.subtract(mask, cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((thick + 1,) * 2)))
    votes = max(1, shortest // 2)
    found = cv2.HoughLinesP(thin, 1, np.pi / 360, votes, None, shortest, side // 2)
    if found is None:
        return np.zeros((0, 2, 2), int), np.zeros(0), np.zeros(0), np.zeros(0, bool)
    ends = found.reshape(-1, 2, 2).astype(np.float64)  # (n, 2, 2)
    middle, along = ends.mean(1), ends[:, 1] - ends[:, 0]
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    reach = np.arange(-2 * side, 2 * side, 2)[:, None]
    points = np.round(middle[:, None] + along[:, None] * reach).astype(int)  # (n, 2 side, 2)
    inside = ((points >= 0) & (points < mask.shape[::-1])).all(2)
    x, y = np.where(inside[..., None], points, 0).transpose(2, 0, 1)
    inked = inside & (cv2.dilate(mask, np.ones((3, 3)))[y, x] > 0)
    lines, gaps, whole = [], [], []
    for place, there, ink in zip(points, inside, inked, strict=True):
        lines.append(place[there][[0, -1]])
        ink = ink[there]
        gaps.append((np.diff(np.flatnonzero(ink)).max(initial=1) - 1) / len(ink))
        near = max(1, round(PRINTED.at_border * len(ink)))
        whole.append(ink[:near].any() and ink[-near:].any())
    return np.array(lines), inked.sum(1) / inside.sum(1), np.array(gaps), np.array(whole)


def _beside_each_other(lines: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How far the middle of each line lies from every other, and which are parallel; `(n, n)`."""
    middle, along = lines.mean(1), (lines[:, 1] - lines[:, 0]).astype(np.float64)
    along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1)
    apart = middle[:, None] - middle  # (n, n, 2)
    apart = np.abs(apart[..., 0] * along[:, 1, None] - apart[..., 1] * along[:, 0, None])
    return apart, np.abs(along @ along.T) > np.cos(np.radians(5))
