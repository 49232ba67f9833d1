"""Which parts of a mask of ink are the digit, or several of them, and which are something else."""

from dataclasses import dataclass

import cv2
import numpy as np

from mnist_cnn.ink.geometry import distances


@dataclass(frozen=True)
class Writing:
    """What a digit is, and what lies beside it. Lengths are shares of the picture's longer side.

    Set by hand, and checked as a whole with all slices of benchmarks/photos.py.
    """

    gap: float = 0.012  # components nearer than this are one
    smallest: float = 0.04  # a digit is at least this long …
    smallest_drawn: float = 0.02  # … or on a drawing, which has less that could be mistaken for one
    near: float = 0.3  # of the digit's length: parts farther away belong to something else
    body: float = 0.3  # of its length: what touches the border and is narrower is a line or an edge
    stain: float = 0.45  # of its length: what is wider is no stroke
    bold: float = 0.55  # mean strength: no shadow is as dark as ink may be
    underline: int = 3  # times as long as high, or longer, is a flat stroke
    base_gap: float = (
        0.1  # of the digit's height: no farther below it lies the base of a broken 2 …
    )
    base_width: float = 1.3  # … nor is it so many times as wide as the rest
    same_pen: float = 2.2  # times the width of the digit's strokes: what is wider is of another pen
    same_hand: float = (
        1.25  # times the width and the strength of the digit's strokes, or less apart
    )
    far_longer: int = 2  # times as long as a digit found: a digit, of which that one is a part …
    longer: float = 1.2  # … or so much longer, if the same hand wrote it
    as_strong: float = 0.6  # of the mean strength of a photo's digit: the others are no weaker
    same_ink: float = 0.75  # of its strength on a drawing: what is weaker is of another colour
    scrap: float = 0.1  # of the digit's height: what is shorter is a speck …
    scrap_ink: float = 0.02  # … and so is what has less of its ink
    alike: float = 0.5  # of the digit's height: what is lower is no second digit
    square: float = 0.9  # of the box around it: a shape that fills so much of it is a rectangle
    in_box: float = 0.15  # of a rectangular hole's height: what is so high is written in it …
    in_circle: float = 0.5  # … and of any other's
    convex: float = 0.95  # of its convex hull: boxes, circles, sheets and badges fill so much of it
    narrow_box: float = 0.7  # width per height: a bare stroke in it may be a 1
    bare: float = 0.25  # width per length of a stroke without turns


WRITING = Writing()


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
        on, depth = part > 0, distances(part)
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
        return np.asarray(self.ink / np.maximum(self.area, 1))

    @property
    def turning(self) -> np.ndarray:
        """Which are neither a line nor an edge, `(n,)`."""
        size = self.boxes[:, 2:] - self.boxes[:, :2]
        return np.asarray(size.min(1) > WRITING.body * size.max(1))


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
    found, kept = _Parts.of(mask, strength, round(WRITING.gap * side) | 1), np.zeros_like(mask)
    able, most = _able(found, max(mask.shape), drawn)
    if not able.any():
        return kept
    # Ink by width is length.
    main = int(np.argmax(able * found.ink / np.maximum(found.widths, 1)))
    same_ink = (found.sides == 0) | (found.strength >= WRITING.same_ink * found.strength[main])
    same_pen = (found.widths <= WRITING.same_pen * found.widths[main]) | (drawn & same_ink)
    body = same_pen & _bodies(found, main) & (drawn | _slender(found))
    if (body & ~able).any():
        able, main = able | body, int(np.argmax(body * found.ink))
    # Heights compare: digits that run together are as high as one, but longer.
    height = found.boxes[:, 3] - found.boxes[:, 1]
    as_strong = drawn | (found.strength >= WRITING.as_strong * found.strength[main])
    digits = np.flatnonzero(able & same_pen & as_strong & (height >= WRITING.alike * height[main]))
    part = np.any([_near(found, digit) for digit in digits.tolist()], axis=0) & same_pen
    part &= (found.lengths >= WRITING.scrap * height[main]) & (
        found.ink >= WRITING.scrap_ink * np.median(found.ink[digits])
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
    for smallest in (WRITING.smallest, WRITING.smallest_drawn) if drawn else (WRITING.smallest,):
        for most in (0, 2, 4) if drawn else (0, 1, 2):
            able = np.minimum(found.lengths, found.inwards) >= smallest * side
            able &= found.sides <= most
            able[0] = False
            if not drawn and most == 2:
                able &= slender & found.turning & (found.strength > WRITING.bold)
            if able.any():
                return (able & slender if (able & slender).any() else able), most
    return able, most


def _bodies(found: _Parts, hat: int) -> np.ndarray:
    """Which parts may be the digit of which one is but the hat or the dot, `(n,)`.

    For a hat may be all of a digit that stays clear of the picture's border.
    """
    longer = found.lengths / found.lengths[hat]
    longer = (longer > WRITING.far_longer) | ((longer > WRITING.longer) & _of_one_hand(found, hat))
    bodies: np.ndarray = longer & found.turning & (found.sides <= 2) & _near(found, hat)
    bodies[0] = False
    return bodies


def _underlines(found: _Parts, digit: int) -> np.ndarray:
    """Which parts are rules below a digit, `(n,)`; the base of a 2 is nearer and narrower."""
    left, top, right, bottom = found.boxes.T
    width, height = right - left, bottom - top
    far = top - bottom[digit] > WRITING.base_gap * height[digit]
    wide = (width > WRITING.base_width * width[digit]) & (top + bottom > 2 * bottom[digit])
    return np.asarray((width > WRITING.underline * height) & (far | wide))


def _of_one_hand(found: _Parts, digit: int) -> np.ndarray:
    """Which parts have strokes as wide and as strong as those of a digit, `(n,)`."""
    ratios = np.array([of / of[digit] for of in (found.widths, found.strength)])
    return np.asarray(((ratios > 1 / WRITING.same_hand) & (ratios < WRITING.same_hand)).all(0))


def _slender(found: _Parts) -> np.ndarray:
    """Which parts are no stains, `(n,)`."""
    return np.asarray(found.widths <= WRITING.stain * found.lengths)


def _near(found: _Parts, digit: int) -> np.ndarray:
    """Which parts lie close to a digit, `(n,)`."""
    gaps = _gaps(found.boxes, found.boxes[digit])
    return np.asarray(gaps <= WRITING.near * found.lengths[digit])


def _gaps(boxes: np.ndarray, box: np.ndarray) -> np.ndarray:
    """How far boxes lie from a box; 0 if they overlap."""
    apart = np.maximum(boxes[:, :2] - box[2:], box[:2] - boxes[:, 2:])
    return np.asarray(np.hypot(*np.maximum(apart, 0).T))


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
    least = WRITING.smallest_drawn * max(mask.shape)
    framed = [
        i
        for i in inner.tolist()
        if _is_framed(contours[i], contours[parents[i]], least)
        and is_convex(contours[parents[parents[i]]], WRITING.convex)
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
    is_bare = min(sides) < WRITING.bare * max(sides)
    if is_rectangle(hole):
        return high > max(WRITING.in_box * height, least) and not (
            is_bare and width < WRITING.narrow_box * height
        )
    return high > max(WRITING.in_circle * height, least) and not is_bare


def is_rectangle(contour: np.ndarray) -> bool:
    """Whether a contour fills most of the box around it; contours run through pixels' centres."""
    _, _, width, height = cv2.boundingRect(contour)
    return cv2.contourArea(contour) > WRITING.square * (width - 1) * (height - 1)


def is_convex(contour: np.ndarray, least: float) -> bool:
    """Whether a contour fills at least such a share of its convex hull."""
    return cv2.contourArea(contour) > least * cv2.contourArea(cv2.convexHull(contour))
