"""Digits drawn by the program as pen strokes, as people around the world write them.

A *glyph* is a way to write one sign; a *hand* bends it as one person would; a *brush* paints it.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from mnist_cnn.data.drawn.glyphs import read_glyphs
from mnist_cnn.ink import frame

Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]  # of ink, to ink

Digits = tuple[np.ndarray, np.ndarray]  # (N, 28, 28) uint8 frames and their (N,) labels

BRUSHES = ("round", "uneven", "tapered", "chisel")
HELD_OUT_BRUSHES = ("square",)

CANVAS = 96  # pixels; `ink.frame` works at 80
STEPS = 6  # points of a curve from one point of a glyph to the next
# Width : height of a digit's box. A wide 1 has a flat flag, and a flat flag makes it a 7; a narrow
# 7 is a 1; a wide 6 hides its stem in its loop.
WIDTHS = {1: (0.3, 0.8), 6: (0.42, 1.0), 7: (0.6, 1.2)}
USUAL_WIDTHS = (0.42, 1.2)


@dataclass(frozen=True)
class Hand:
    """How one writer bends a glyph; lengths are shares of its height."""

    slant: float = 0.0  # to the right for one unit up
    turn: float = 0.0  # radians
    width: float = 1.0  # of the box
    waist: float = 1.0  # above 1 the upper part grows, below 1 the lower one
    taper: float = 0.0  # above 0 the top is the wider part, below 0 the bottom
    warp: float = 0.0  # neighbouring points move together …
    jitter: float = 0.0  # … and each one by itself
    lift: float = 0.0  # strokes do not meet exactly where the pen was lifted
    tremor: float = 0.0
    rounding: float = 0.0  # of corners, from 0 (sharp) to 1 (none)
    hook: float = 0.0  # length of what the pen draws as it comes down and leaves
    coarse: int = 1  # every which point is kept: a mouse is asked for its place too rarely

    @classmethod
    def random(cls, rng: np.random.Generator, widths: tuple[float, float] = USUAL_WIDTHS) -> "Hand":
        hurry = rng.random()  # a hurried hand is less exact in all things
        return cls(
            slant=_normal(rng, 0.12, 0.2, 2.4),
            turn=_normal(rng, 0, 0.1, 2.2),
            width=rng.uniform(*widths),
            waist=math.exp(_normal(rng, 0, 0.15, 1.6)),
            taper=rng.uniform(-0.3, 0.3),
            warp=0.02 + rng.exponential(0.025) * (0.5 + hurry),
            jitter=0.006 + 0.024 * hurry,
            lift=0.004 + 0.02 * hurry,
            tremor=rng.exponential(0.004) if rng.random() < 0.25 else 0.0,
            rounding=rng.random() ** 2 * 0.5 * hurry,
            hook=rng.uniform(0.02, 0.11) if rng.random() < 0.3 else 0.0,
            coarse=int(rng.integers(2, 5)) if rng.random() < 0.15 else 1,
        )


def _normal(rng: np.random.Generator, mean: float, deviation: float, most: float) -> float:
    """A normal number, at most so many deviations from its mean."""
    return mean + deviation * min(max(rng.standard_normal(), -most), most)


@dataclass(frozen=True)
class Brush:
    """What draws the line; `width` is a share of the canvas."""

    kind: str = "round"  # one of BRUSHES or HELD_OUT_BRUSHES
    width: float = 0.08
    angle: float = -0.7  # radians; of a chisel's edge
    contrast: float = 0.5  # thinnest : widest, where the width changes

    @classmethod
    def random(
        cls, rng: np.random.Generator, kinds: tuple[str, ...] = BRUSHES, fattest: float = 0.17
    ) -> "Brush":
        return cls(
            kind=kinds[rng.integers(len(kinds))],
            width=math.exp(rng.uniform(math.log(0.018), math.log(fattest))),
            angle=rng.uniform(-1.3, 0.1),
            contrast=rng.uniform(0.25, 0.75),
        )


def draw(
    digit: int,
    rng: np.random.Generator,
    size: int = CANVAS,
    held_out: bool = False,
    brush: Brush | None = None,
) -> np.ndarray:
    """Ink of one digit, `(size, size)` float32 in [0, 1], in a random way, hand and brush.

    With `held_out` the way to write is one that is never drawn without it, and so is, half the
    time, the brush.
    """
    digit = int(digit)
    glyphs = list(ways(digit, held_out).values())
    glyph = glyphs[rng.integers(len(glyphs))]
    kinds = HELD_OUT_BRUSHES if held_out and rng.random() < 0.5 else BRUSHES
    hand = Hand.random(rng, WIDTHS.get(digit, USUAL_WIDTHS))
    # Loops stay open where the digit is narrow; a 1 has none.
    fattest = 0.17 if digit == 1 else min(0.19 * hand.width, 0.17)
    brush = brush or Brush.random(rng, kinds, fattest)
    return paint(write(glyph, hand, rng), brush, rng, size)


def ways(digit: int, held_out: bool = False) -> dict[str, str]:
    """The ways to write a digit that training sees, or the others: name and glyph."""
    return read_glyphs("digits")[str(digit)]["held_out" if held_out else "seen"]


def draw_frames(
    n: int,
    seed: int,
    held_out: bool = False,
    change: Change | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """`(n, 28, 28)` uint8 frames as a network sees them, and their `(n,)` int64 labels.

    Args:
        n: how many; each digit is drawn equally often, give or take one.
        seed: the same frames for the same seed.
        held_out: draw the ways to write that training does not see.
        change: what happens to the ink before it is framed, such as `wear.damage`.
    """
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(n, dtype=np.int64) % 10)
    frames = np.zeros((n, 28, 28), np.uint8)
    for index, digit in enumerate(labels):
        ink = draw(digit, rng, held_out=held_out)
        frames[index] = frame(change(ink, rng) if change else ink)
    return frames, labels


def write(glyph: str, hand: Hand, rng: np.random.Generator) -> list[np.ndarray]:
    """The strokes of a glyph by a hand: dense `(n, 2)` points, one unit high."""
    points, sharp, smooth, ends = _spline(glyph)
    curve = (sharp + hand.rounding * (smooth - sharp)) @ _bent(points, hand, rng)
    if hand.tremor:
        curve += _tremor(len(curve), hand.tremor, rng)
    strokes = np.split(curve, ends[:-1])
    for stroke in strokes[1:]:
        stroke += rng.normal(0, hand.lift, 2)
    if hand.coarse > 1:
        strokes = [np.concatenate([s[: -1 : hand.coarse], s[-1:]]) for s in strokes]
    if hand.hook:
        strokes = [_hooked(stroke, hand.hook, rng) for stroke in strokes]
    return strokes


def paint(
    strokes: list[np.ndarray], brush: Brush, rng: np.random.Generator, size: int = CANVAS
) -> np.ndarray:
    """Ink of strokes, `(size, size)` float32, as large as the canvas allows."""
    points = np.concatenate(strokes)
    lines = np.stack([points[:-1], points[1:]], 1)
    along = np.concatenate([np.arange(len(stroke)) / (len(stroke) - 1) for stroke in strokes])
    drawn = along[:-1] < 1  # nothing is drawn from one stroke's end to the next one's start
    return paint_lines(lines[drawn], along[:-1][drawn], brush, rng, size)


def paint_lines(
    lines: np.ndarray, along: np.ndarray, brush: Brush, rng: np.random.Generator, size: int = CANVAS
) -> np.ndarray:
    """Ink of `(n, 2, 2)` short lines; `along` `(n,)` is how far along its stroke each one lies."""
    width = max(brush.width * size, 1.0)
    low, high = lines.min((0, 1)), lines.max((0, 1))
    # The brush must fit as well, and a dot is not blown up to fill the canvas.
    scale = (size - 1.2 * width - 2) / max(*(high - low), 0.1)
    lines = (lines - low) * scale + (size - 1 - (high - low) * scale) / 2
    ink = np.zeros((size, size), np.uint8)
    if brush.kind == "round":
        _lines(ink, lines, width)
    elif brush.kind in ("chisel", "square"):
        ink = _nib(ink, lines, width, brush)
    else:
        _varied(ink, lines, _pressure(lines, along, brush, rng), width, brush)
    return ink.astype(np.float32) / 255


def _nib(ink: np.ndarray, lines: np.ndarray, width: float, brush: Brush) -> np.ndarray:
    """A chisel's edge is `width` wide, and `contrast` of it thick; a square is a square."""
    thin = max(width * brush.contrast, 1.0) if brush.kind == "chisel" else min(width, 3.4)
    _lines(ink, lines, thin)
    side = round(width - thin) | 1
    edge: np.ndarray = np.ones((side, side), np.uint8)
    if brush.kind == "chisel":
        reach = side // 2 * np.array([np.cos(brush.angle), np.sin(brush.angle)])
        start, end = (tuple(int(v) for v in np.round(side // 2 + s * reach)) for s in (-1, 1))
        edge = cv2.line(np.zeros((side, side), np.uint8), start, end, 1)
    return cv2.dilate(ink, edge)


def _pressure(
    lines: np.ndarray, along: np.ndarray, brush: Brush, rng: np.random.Generator
) -> np.ndarray:
    """From 0 to 1 for each line: strokes that begin or end thinly, or a pen that wavers."""
    if brush.kind == "tapered":
        first, last = rng.uniform(0, 1, 2)
        return 1 - np.maximum(first * (1 - along) ** 2, last * along**2)
    wave, phase = rng.uniform(-0.14, 0.14, 2), rng.uniform(0, 2 * np.pi)
    return 0.5 + 0.5 * np.sin(lines[:, 0] @ wave + phase)


def _varied(
    ink: np.ndarray, lines: np.ndarray, pressure: np.ndarray, width: float, brush: Brush
) -> None:
    levels = 5
    level = np.minimum((pressure * levels).astype(int), levels - 1)
    for at in range(levels):
        share = brush.contrast + (1 - brush.contrast) * at / (levels - 1)
        _lines(ink, lines[level == at], width * share)


def _lines(ink: np.ndarray, lines: np.ndarray, width: float) -> None:
    # OpenCV takes fixed-point coordinates, 4 bits behind the point. Its smooth lines come in steps
    # of two pixels: measured, thickness 1 is 1.4 pixels wide, 2 is 3.4, 4 is 5.4 and so on.
    points = list((lines * 16 + 0.5).astype(np.int32))
    thickness = max(1, 2 * round((width - 1.4) / 2))
    cv2.polylines(ink, points, False, 255, thickness, cv2.LINE_AA, shift=4)


def _bent(points: np.ndarray, hand: Hand, rng: np.random.Generator) -> np.ndarray:
    # No point moves so far that a flag becomes a bar, or a gap closes.
    warp = min(hand.warp, 0.085) * wobble(points, rng)
    points = points + warp + rng.normal(0, hand.jitter, points.shape)
    y = points[:, 1]
    x = (points[:, 0] - 0.5) * hand.width * (1 + hand.taper * (0.5 - y))
    y = np.sign(y) * np.abs(y) ** (1 / hand.waist) - 0.5
    cos, sin = np.cos(hand.turn), np.sin(hand.turn)
    x = x - hand.slant * y
    return np.stack([x * cos - y * sin, x * sin + y * cos], 1)


def wobble(points: np.ndarray, rng: np.random.Generator, fastest: float = 7) -> np.ndarray:
    """A slow wave, in [-1, 1], at each of `(…, 2)` points: neighbours move together."""
    wave, phase = rng.uniform(2, fastest, (2, 2)), rng.uniform(0, 2 * np.pi, 2)
    return np.sin(points @ wave + phase)


def _tremor(n: int, strength: float, rng: np.random.Generator) -> np.ndarray:
    noise = rng.normal(0, strength, (n + 2, 2))
    return noise[:-2] + noise[1:-1] + noise[2:]


def _hooked(stroke: np.ndarray, length: float, rng: np.random.Generator) -> np.ndarray:
    """The stroke with a small bend where the pen leaves, and often where it comes down."""
    parts = [stroke]
    if rng.random() < 0.4:
        parts.insert(0, _tail(stroke[::-1], length, rng)[::-1])
    if rng.random() < 0.7:
        parts.append(_tail(stroke, length, rng))
    return np.concatenate(parts)


def _tail(stroke: np.ndarray, length: float, rng: np.random.Generator) -> np.ndarray:
    ahead = stroke[-1] - stroke[-2]
    ahead = ahead / max(np.hypot(*ahead), 1e-6)
    aside = np.array([-ahead[1], ahead[0]]) * rng.uniform(-1.2, 1.2)
    t = np.array([0.35, 0.7, 1.0])[:, None]
    return stroke[-1] + length * (t * ahead + t**2 * aside)


@lru_cache(maxsize=256)
def _spline(glyph: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """A glyph's points `(p, 2)`, and what turns them into its curve.

    A curve depends linearly on its points, so two matrices `(n, p)` give it: one with its corners
    sharp, the other running through them smoothly. The last array holds where each stroke ends.
    """
    points: list[list[float]] = []
    sharp: list[np.ndarray] = []
    smooth: list[np.ndarray] = []
    for stroke in glyph.split(";"):
        corners = [0]
        for word in stroke.split():
            if word == "|":
                corners.append(len(points) - sum(len(m[0]) for m in smooth) - 1)
            else:
                points.append([int(value) / 100 for value in word.split(",")])
        n = len(points) - sum(len(m[0]) for m in smooth)
        smooth.append(_catmull_rom(n))
        pieces = np.zeros_like(smooth[-1])
        for a, b in zip(corners, [*corners[1:], n - 1], strict=True):
            pieces[a * STEPS : b * STEPS + 1, a : b + 1] = _catmull_rom(b - a + 1)
        sharp.append(pieces)
    ends = np.cumsum([len(matrix) for matrix in sharp])
    return np.array(points), _diagonal(sharp), _diagonal(smooth), ends


def _catmull_rom(n: int) -> np.ndarray:
    """The spline of Catmull and Rom (1974) through `n` points, `((n - 1) * STEPS + 1, n)`."""
    t = np.arange(STEPS)[:, None] / STEPS
    weights = 0.5 * np.hstack(
        [-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, t**3 - t**2]
    )  # (STEPS, 4)
    matrix = np.zeros(((n - 1) * STEPS + 1, n))
    for start in range(n - 1):
        for offset, weight in zip((-1, 0, 1, 2), weights.T, strict=True):
            point = min(max(start + offset, 0), n - 1)
            matrix[start * STEPS : (start + 1) * STEPS, point] += weight
    matrix[-1, -1] = 1
    return matrix


def _diagonal(blocks: list[np.ndarray]) -> np.ndarray:
    whole = np.zeros(np.sum([block.shape for block in blocks], axis=0))
    row = column = 0
    for block in blocks:
        whole[row : row + block.shape[0], column : column + block.shape[1]] = block
        row, column = row + block.shape[0], column + block.shape[1]
    return whole
