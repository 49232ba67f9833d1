"""Lines of digits written by the program, with space between the digits or touching.

`candidate_frames` shows a network what `mnist_cnn.read` will ask it about: whole digits cut out of
such lines, with the scars that a cut leaves, and what is less or more than one digit.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from mnist_cnn.data.drawn.strokes import Brush, Change, Digits, draw
from mnist_cnn.ink import crop
from mnist_cnn.reading import INKED, Candidate, Page, candidates, find_pieces

Labelled = tuple[np.ndarray, int]  # a frame and its label

NOBODY = -1  # the owner of a pixel without ink, and the label of a frame that is no digit


@dataclass(frozen=True)
class LineRules:
    """How lines are written, and which of their candidates are digits; set by hand."""

    # Share of the ink of a digit and a candidate that is common to both. Of the candidates for a
    # digit the best is that digit, if it has so much, …
    whole: float = 0.6
    # … and what has no more than this in common with any is none. Between, nobody can tell.
    broken: float = 0.45
    bare: float = 0.4  # width : height; a narrower fragment may be a whole 1 in another hand
    touching: float = 0.7  # share of the lines whose digits touch
    nested: float = 0.5  # of a digit's width: no more of it lies over what was written before
    # Pixels: of the digits in a sketch or a photo of a page, small ones as often.
    heights: tuple[float, float] = (20, 110)


RULES = LineRules()


@dataclass(frozen=True, eq=False)
class WrittenLine:
    """A line of digits."""

    ink: np.ndarray  # (H, W) float32 in [0, 1]
    owners: np.ndarray  # (H, W) int16: the index of the digit that a pixel belongs to, or NOBODY
    labels: tuple[int, ...]  # from left to right
    boxes: tuple[tuple[int, int, int, int], ...]  # x, y, width, height of each digit


def write_line(
    rng: np.random.Generator,
    length: int,
    height: float,
    touching: bool,
    real: Digits | None = None,
    brush: Brush | None = None,
) -> WrittenLine:
    """A line of digits by one hand.

    Args:
        rng: decides everything.
        length: how many digits.
        height: of a digit in pixels, about.
        touching: whether neighbours touch, or nearly; otherwise there is white between them.
        real: digits to write with; by default they are drawn.
        brush: what draws them; by default one for the whole line.
    """
    brush = brush or Brush.random(rng, fattest=0.12)
    ink = np.zeros((round(2.2 * height), round(height * 2.2 * length) + 20), np.float32)
    owners = np.full(ink.shape, NOBODY, np.int16)
    wobble, climb = rng.uniform(0, 0.08) * height, rng.normal(0, 0.03)
    labels: list[int] = []
    boxes: list[tuple[int, int, int, int]] = []
    for index in range(length):
        label, digit = _digit(rng, height, real, brush)
        base = 1.7 * height + rng.normal() * wobble + climb * (boxes[-1][0] if boxes else 0)
        top = int(np.clip(base - len(digit), 0, len(ink) - len(digit)))
        left = _left(ink, digit, top, height, _white(rng, height, touching)) if boxes else 5
        place = np.s_[top : top + digit.shape[0], left : left + digit.shape[1]]
        digit = digit[:, : ink[place].shape[1]]
        owners[place] = np.where((digit > ink[place]) & (digit > 0), index, owners[place])
        ink[place] = np.maximum(ink[place], digit)
        labels.append(label)
        boxes.append((left, top, digit.shape[1], digit.shape[0]))
    return WrittenLine(ink, owners, tuple(labels), tuple(boxes))


def _digit(
    rng: np.random.Generator, height: float, real: Digits | None, brush: Brush
) -> tuple[int, np.ndarray]:
    """A digit and its ink, cropped, about `height` pixels high."""
    if real is None:
        label = int(rng.integers(10))
        ink = draw(label, rng, max(32, round(height * 1.2)), brush=brush)
    else:
        frames, labels = real
        index = rng.integers(len(frames))
        label, ink = int(labels[index]), frames[index].astype(np.float32) / 255
    ink = crop(ink, 0.3)
    scale = height * rng.uniform(0.85, 1.15) / ink.shape[0]
    # A digit that lies on its side would come out huge.
    scale = min(scale, 1.3 * height / ink.shape[1])
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    ink = cv2.resize(ink, None, fx=scale, fy=scale, interpolation=way)
    return label, crop(np.clip(ink, 0, 1), 0.3)


def _white(rng: np.random.Generator, height: float, touching: bool) -> float:
    """Pixels between a digit and the next, by their nearest ink; below 0 they overlap."""
    if not touching:
        return max(2.0, rng.uniform(0.06, 0.6) * height)
    if rng.random() < 0.6:
        return -rng.uniform(0, 0.08) * height
    return max(2.0, rng.uniform(0.03, 0.15) * height)


def _left(ink: np.ndarray, digit: np.ndarray, top: int, height: float, white: float) -> int:
    """Where the next digit starts."""
    reach = max(1, round(0.05 * height))  # touching counts a little above and below as well
    before = cv2.dilate(ink, np.ones((2 * reach + 1, 1)))[top : top + len(digit)] > 0.3
    right = np.where(before.any(1), before.shape[1] - before[:, ::-1].argmax(1), -(10**6))
    start = np.where((digit > 0.3).any(1), (digit > 0.3).argmax(1), 10**6)
    touching = int((right - start).max())
    end = int(np.flatnonzero((ink > 0.3).any(0))[-1]) + 1
    if touching < end - 2 * height:  # they miss each other: one is far above the other
        touching = end
    # A bar may reach over a neighbour, but nobody writes a digit into another.
    return max(touching + round(white), end - round(RULES.nested * digit.shape[1]), 0)


def candidate_frames(
    n: int, seed: int, real: Digits | None = None, change: Change | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Frames of what `mnist_cnn.read` takes for possible digits in lines, half of them digits.

    Args:
        n: how many.
        seed: decides everything.
        real: digits that half of the lines are made of; in training these must be training frames.
        change: what happens to a line's ink before it is cut; it must keep the ink in its place.

    Returns:
        frames: `(n, 28, 28)` uint8.
        labels: `(n,)` int64; `NOBODY` for what is less or more than one digit.
    """
    rng = np.random.default_rng(seed)
    digits: list[Labelled] = []
    others: list[Labelled] = []
    while len(digits) < n - n // 2 or len(others) < n // 2:
        length, height = int(rng.integers(2, 6)), math.exp(rng.uniform(*np.log(RULES.heights)))
        chosen = real if rng.random() < 0.5 else None
        line = write_line(rng, length, height, rng.random() < RULES.touching, chosen)
        ink = change(line.ink, rng) if change else line.ink
        whole, broken = _sorted_candidates(line, ink)
        digits += whole
        others += [broken[i] for i in rng.permutation(len(broken))[: max(len(whole), 1)]]
    picked = digits[: n - n // 2] + others[: n // 2]
    frames = np.array([frame for frame, _ in picked], np.uint8).reshape(-1, 28, 28)
    return frames, np.array([label for _, label in picked], np.int64)


def _sorted_candidates(line: WrittenLine, ink: np.ndarray) -> tuple[list[Labelled], list[Labelled]]:
    """The candidates that are a digit, and those that are none, as frames with their labels."""
    page = find_pieces(ink)
    found = candidates(page, ink)
    if not found:
        return [], []
    shares = np.array([_shares(c, page, line, ink) for c in found])  # (candidates, digits)
    whole = [
        (found[best].frame, line.labels[digit])
        for digit, best in enumerate(shares.argmax(0))
        if shares[best, digit] >= RULES.whole
    ]
    broken = [
        (candidate.frame, NOBODY)
        for candidate, share in zip(found, shares.max(1), strict=True)
        if share <= RULES.broken and candidate.width > RULES.bare * candidate.height
    ]
    return whole, broken


def _shares(candidate: Candidate, page: Page, line: WrittenLine, ink: np.ndarray) -> np.ndarray:
    """For each digit of the line, the common ink as a share of all ink of digit and candidate.

    Ink that damage has added is nobody's and does not count: blur doubles a thin stroke's width.
    """
    run = page.lines[candidate.line].pieces[candidate.start : candidate.stop]
    inked = (ink > INKED) & (line.owners >= 0)
    own = inked & (page.numbers >= run[0].number) & (page.numbers <= run[-1].number)
    every, common = (
        np.bincount(line.owners[part], minlength=len(line.labels)) for part in (inked, own)
    )
    return common / np.maximum(every + own.sum() - common, 1)
