"""Which parts of a mask of ink are the digit, or several of them, and which are something else."""

from dataclasses import dataclass

import cv2
import numpy as np

# Lengths are shares of the picture's longer side.
GAP = 0.012  # components nearer than this are one
SMALLEST = 0.04  # a digit is at least this long …
SMALLEST_DRAWN = 0.02  # … or on a drawing, which has less that could be mistaken for one
NEAR = 0.3  # of the digit's length: parts farther away belong to something else
BODY = 0.3  # of its length: what touches the border and is narrower is a line or an edge
STAIN = 0.45  # of its length: what is wider is no stroke
BOLD = 0.55  # mean strength: no shadow is as dark as ink may be
UNDERLINE = 3  # times as long as high, or longer, is a flat stroke
BASE_GAP = 0.1  # of the digit's height: no farther below it lies the base of a broken 2 …
BASE_WIDTH = 1.3  # … nor is it so many times as wide as the rest
SAME_PEN = 2.2  # times the width of the digit's strokes: what is wider is of another pen
SAME_HAND = 1.25  # times the width and the strength of the digit's strokes, or less apart
FAR_LONGER = 2  # times as long as a digit found: a digit, of which that one is a part …
LONGER = 1.2  # … or so much longer, if the same hand wrote it
AS_STRONG = 0.6  # of the mean strength of a photo's digit: the others are no weaker
SAME_INK = 0.75  # of its strength on a drawing: what is weaker is of another colour
SCRAP = 0.1  # of the digit's height: what is shorter is a speck …
SCRAP_INK = 0.02  # … and so is what has less of its ink
ALIKE = 0.5  # of the digit's height: what is lower is no second digit
SQUARE = 0.9  # of the box around it: a shape that fills so much of it is a rectangle
IN_BOX = 0.15  # of a rectangular hole's height: what is so high is written in it …
IN_CIRCLE = 0.5  # … and of any other's
CONVEX = 0.95  # of its convex hull: boxes, circles, sheets and badges fill so much of it
NARROW_BOX = 0.7  # width per height: a bare stroke in it may be a 1
BARE = 0.25  # width per length of a stroke without turns


@dataclass(frozen=True, eq=False)
class _Parts:
    """Connected parts of a mask, of which those nearer than a gap count as one; the first is none.

    Lengths are in pixels.
    """

    window: tuple[slice, slice]  # where in the mask they all lie
    labels: np.ndarray  # of the window's pixels: which part each belongs to
    boxes: np.ndarray  # (n, 4): left, top, right, bottom
    sides: np.ndarray  # (n,): how many of the picture's borders each touches
    inwards: np.ndarray  # (n,): how far it reaches into the picture from there
    lengths: np.ndarray  # (n,): the box's longer side
    widths: np.ndarray  # (n,): of its strokes
    area: np.ndarray  # (n,): pixels
    ink: np.ndarray  # (n,): the same, each pixel by its strength

    @classmethod
    def of(cls, mask: np.ndarray, strength: np.ndarray, joint: int) -> "_Parts":
        window = _around(mask, joint)
        part, strength = mask[window], strength[window]
        wide = cv2.dilate(part, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (joint, joint)))
        n, labels, stats, _ = cv2.connectedComponentsWithStats(wide, connectivity=8)
        corner, size = stats[:, :2] + (window[1].start, window[0].start), stats[:, 2:4]
        at_start, at_end = corner <= 0, corner + size >= mask.shape[::-1]
        on, depth = part > 0, cv2.distanceTransform(part, cv2.DIST_L2, 5)
        area, ink, depth = (
            np.bincount(labels[on], by if by is None else by[on], n)
            for by in (None, strength, depth)
        )
        return cls(
            window,
            labels,
            np.concatenate([corner, corner + size], axis=1),
            sides=at_start.sum(1) + at_end.sum(1),
            inwards=np.where(at_start | at_end, size, max(mask.shape)).min(1),
            lengths=size.max(1) - joint + 1,
            widths=4 * depth / np.maximum(area, 1),
            area=area,
            ink=ink,
        )

    @property
    def strength(self) -> np.ndarray:
        """The mean strength of the ink of each, `(n,)`."""
        return self.ink / np.maximum(self.area, 1)

    @property
    def turning(self) -> np.ndarray:
        """Which are neither a line nor an edge, `(n,)`."""
        size = self.boxes[:, 2:] - self.boxes[:, :2]
        return size.min(1) > BODY * size.max(1)


def writing(mask: np.ndarray, strength: np.ndarray, drawn: bool) -> np.ndarray:
    """The parts of a mask that make up the digit, or several of them.

    The part with the longest strokes is a digit, and so is every other that is about as high. With
    each goes what lies close to it and is not too small against it: a detached hat, the part beyond
    a gap. In a photo, what no pen of the same width drew is a stain, a shadow or a reflection, and
    what is much weaker is of another ink; on a drawing, what is both, and at the border, is.
    """
    mask = _without_frames(mask) if drawn else mask
    # Of a drawn strip (a row of digits) the height counts; a photo is seldom one.
    side = min(max(mask.shape), 2 * min(mask.shape)) if drawn else max(mask.shape)
    found, kept = _Parts.of(mask, strength, round(GAP * side) | 1), np.zeros_like(mask)
    able, most = _able(found, max(mask.shape), drawn)
    if not able.any():
        return kept
    # Ink by width is length.
    main = int(np.argmax(able * found.ink / np.maximum(found.widths, 1)))
    same_ink = (found.sides == 0) | (found.strength >= SAME_INK * found.strength[main])
    same_pen = (found.widths <= SAME_PEN * found.widths[main]) | (drawn & same_ink)
    body = same_pen & _bodies(found, main) & (drawn | _slender(found))
    if (body & ~able).any():
        able, main = able | body, int(np.argmax(body * found.ink))
    # Heights compare: digits that run together are as high as one, but longer.
    height = found.boxes[:, 3] - found.boxes[:, 1]
    as_strong = drawn | (found.strength >= AS_STRONG * found.strength[main])
    digits = np.flatnonzero(able & same_pen & as_strong & (height >= ALIKE * height[main]))
    part = np.any([_near(found, digit) for digit in digits], axis=0) & same_pen
    part &= (found.lengths >= SCRAP * height[main]) & (
        found.ink >= SCRAP_INK * np.median(found.ink[digits])
    )
    part &= (found.sides <= (max(most, 2) if drawn else most)) | able
    part[0] = False
    if len(digits) == 1:
        part &= ~_underlines(found, main)
    kept[found.window] = part[found.labels] * mask[found.window]
    return kept


def _able(found: _Parts, side: int, drawn: bool) -> tuple[np.ndarray, int]:
    """Which parts may be a digit, and how many of the picture's borders they may touch.

    What touches a border is no digit (a finger, the table, a shadow, a dark scanner lid) if
    anything of a digit's size does not; on a drawn picture it may still be a part of one. What
    hardly reaches into the picture is the rest of a line or an edge. In a photo, broad strokes may
    touch two borders if they turn, and are bold.
    """
    slender = drawn | _slender(found)
    # Specks are able only where there is nothing larger.
    for smallest in (SMALLEST, SMALLEST_DRAWN) if drawn else (SMALLEST,):
        for most in (0, 2, 4) if drawn else (0, 1, 2):
            able = np.minimum(found.lengths, found.inwards) >= smallest * side
            able &= found.sides <= most
            able[0] = False
            if not drawn and most == 2:
                able &= slender & found.turning & (found.strength > BOLD)
            if able.any():
                return (able & slender if (able & slender).any() else able), most
    return able, most


def _bodies(found: _Parts, hat: int) -> np.ndarray:
    """Which parts may be the digit of which one is but the hat or the dot, `(n,)`.

    For a hat may be all of a digit that stays clear of the picture's border.
    """
    longer = found.lengths / found.lengths[hat]
    longer = (longer > FAR_LONGER) | ((longer > LONGER) & _of_one_hand(found, hat))
    bodies = longer & found.turning & (found.sides <= 2) & _near(found, hat)
    bodies[0] = False
    return bodies


def _underlines(found: _Parts, digit: int) -> np.ndarray:
    """Which parts are rules below a digit, `(n,)`; the base of a 2 is nearer and narrower."""
    left, top, right, bottom = found.boxes.T
    width, height = right - left, bottom - top
    far = top - bottom[digit] > BASE_GAP * height[digit]
    wide = (width > BASE_WIDTH * width[digit]) & (top + bottom > 2 * bottom[digit])
    return (width > UNDERLINE * height) & (far | wide)


def _of_one_hand(found: _Parts, digit: int) -> np.ndarray:
    """Which parts have strokes as wide and as strong as those of a digit, `(n,)`."""
    ratios = np.array([of / of[digit] for of in (found.widths, found.strength)])
    return ((ratios > 1 / SAME_HAND) & (ratios < SAME_HAND)).all(0)


def _slender(found: _Parts) -> np.ndarray:
    """Which parts are no stains, `(n,)`."""
    return found.widths <= STAIN * found.lengths


def _near(found: _Parts, digit: int) -> np.ndarray:
    """Which parts lie close to a digit, `(n,)`."""
    return _gaps(found.boxes, found.boxes[digit]) <= NEAR * found.lengths[digit]


def _gaps(boxes: np.ndarray, box: np.ndarray) -> np.ndarray:
    """How far boxes lie from a box; 0 if they overlap."""
    apart = np.maximum(boxes[:, :2] - box[2:], box[:2] - boxes[:, 2:])
    return np.hypot(*np.maximum(apart, 0).T)


def _around(mask: np.ndarray, margin: int) -> tuple[slice, slice]:
    """The part of a picture that holds all of a mask and, where there is as much, a margin."""
    left, top, width, height = cv2.boundingRect(mask)
    return (
        slice(max(top - margin, 0), top + height + margin),
        slice(max(left - margin, 0), left + width + margin),
    )


def _without_frames(mask: np.ndarray) -> np.ndarray:
    """The mask of a drawing without what stands around something else: a box or a circle."""
    contours, tree = cv2.findContours(mask, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)
    parents = tree[0, :, 3] if tree is not None else np.zeros(0, int)
    inner = np.flatnonzero((parents >= 0) & (parents[parents] >= 0))  # in the hole of another part
    least = SMALLEST_DRAWN * max(mask.shape)
    framed = [
        i
        for i in inner
        if _is_framed(contours[i], contours[parents[i]], least)
        and is_convex(contours[parents[parents[i]]], CONVEX)
    ]
    if not framed:
        return mask
    _, labels = cv2.connectedComponents(mask, connectivity=8)
    frames = [contours[parents[parents[i]]][0, 0] for i in framed]  # x, y of a pixel of each
    return mask * ~np.isin(labels, [labels[y, x] for x, y in frames])


def _is_framed(inner: np.ndarray, hole: np.ndarray, least: float) -> bool:
    """Whether a part in a hole of another is written in it; both are contours.

    The dot or the slash in a 0 is a part of the digit, and what is lower than `least` a speck.
    """
    (_, _, _, high), (_, _, width, height) = cv2.boundingRect(inner), cv2.boundingRect(hole)
    sides = cv2.minAreaRect(inner)[1]
    is_bare = min(sides) < BARE * max(sides)
    if is_rectangle(hole):
        return high > max(IN_BOX * height, least) and not (is_bare and width < NARROW_BOX * height)
    return high > max(IN_CIRCLE * height, least) and not is_bare


def is_rectangle(contour: np.ndarray) -> bool:
    """Whether a contour fills most of the box around it; contours run through pixels' centres."""
    _, _, width, height = cv2.boundingRect(contour)
    return cv2.contourArea(contour) > SQUARE * (width - 1) * (height - 1)


def is_convex(contour: np.ndarray, least: float) -> bool:
    """Whether a contour fills at least such a share of its convex hull."""
    return cv2.contourArea(contour) > least * cv2.contourArea(cv2.convexHull(contour))
