"""Digits drawn by the program as pen strokes, as people around the world write them.

A *glyph* is a way to write one sign; a *hand* bends it as one person would; a *brush* paints it.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from mnist_cnn.ink import frame

Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]  # of ink, to ink

# The ways to write each digit: strokes of "x,y" points in percent of the digit's box, y downwards.
# A smooth curve runs through the points; "|" is a sharp corner at the point before it, and ";"
# lifts the pen.
ALLOGRAPHS: dict[int, dict[str, str]] = {
    0: {
        "ring": "50,0 15,20 5,55 20,90 50,100 80,88 95,50 82,15 50,0",
        "overlap": "60,3 25,12 5,50 22,92 52,99 85,80 93,40 75,8 45,2 38,8",
        "clockwise": "32,8 70,3 94,42 84,86 50,100 14,84 6,42 26,12 40,5",
        "upright": "50,0 18,6 6,30 6,70 18,94 50,100 82,94 94,70 94,30 82,6 50,0",
        "lens": "52,0 18,28 12,68 48,100 84,72 86,30 52,0",
        "open": "38,2 14,18 5,55 20,90 50,100 82,87 95,48 84,14 60,3",
        "curl": "44,16 64,8 44,0 14,20 5,58 24,94 55,100 86,80 94,40 76,10 52,2 34,10",
        "slash": "50,0 15,20 5,55 20,90 50,100 80,88 95,50 82,15 50,0; 78,14 22,88",
        "long slash": "50,0 15,20 5,55 20,90 50,100 80,88 95,50 82,15 50,0; 104,-6 -4,106",
        "dot": "50,0 15,20 5,55 20,90 50,100 80,88 95,50 82,15 50,0; 49,47 51,53",
        "long overlap": "74,6 40,4 8,40 14,88 46,100 84,76 92,34 66,5 38,20 32,42",
    },
    1: {
        "bare": "50,0 50,100",
        "leaning": "66,0 34,100",
        "bowed": "56,0 46,45 52,100",
        "short flag": "28,20 44,11 58,0 | 57,100",
        "flag": "16,34 38,20 60,0 | 58,100",
        "long flag": "4,50 62,0 | 60,100",
        "longest flag": "0,64 34,38 66,0 | 66,100",
        "foot": "26,24 54,0 | 54,100; 24,100 86,100",
        "long flag and foot": "6,46 54,0 | 54,100; 22,100 88,100",
        "serif": "34,12 52,1 | 52,100; 30,100 76,100",
        "hooked flag": "10,36 20,35 40,20 60,0 | 58,100",
        "flat flag": "0,30 34,22 62,0 | 62,100",
        "level flag": "0,22 40,20 64,2 | 64,100",
        "level stub": "26,8 62,2 | 67,100",
        "stub": "20,14 42,10 62,0 | 66,100",
        "hanging stub": "22,12 30,4 58,1 | 64,30 66,100",
    },
    2: {
        "plain": "10,22 30,2 65,0 85,25 65,55 5,100 | 95,98",
        "loop": "8,25 30,3 68,2 82,28 55,62 18,88 8,98 15,86 32,82 60,95 95,92",
        "big loop": "8,22 40,0 82,12 78,40 48,74 20,98 4,90 18,76 52,88 95,98",
        "round": "15,15 50,0 85,15 80,40 45,70 10,98 | 90,100",
        "curved base": "15,20 45,0 82,15 76,44 42,74 8,97 | 26,90 60,99 95,90",
        "hooked": "20,34 8,20 30,2 68,0 86,24 66,54 5,100 | 95,100",
        "wide": "6,28 32,3 74,2 92,30 68,60 8,98 | 98,100",
        "small head": "24,18 46,4 68,16 62,40 5,98 | 98,96",
        "swan": "16,22 46,0 80,16 72,46 38,76 8,96 34,90 64,100 96,88",
        "upright": "14,16 48,0 80,18 66,54 30,78 16,98 | 90,98",
        "curled": "32,22 20,30 10,18 40,0 80,14 72,46 36,74 8,96 34,88 62,99 94,84",
    },
    3: {
        "round": "12,15 45,0 80,15 70,40 40,48 | 78,55 88,80 50,100 10,88",
        "soft": "15,10 55,0 82,22 45,46 35,48 60,50 88,75 50,100 10,90",
        "flat top": "10,3 85,3 | 42,40 | 80,52 88,80 50,100 8,88",
        "Z top": "8,4 84,0 | 34,42 | 66,44 90,68 72,96 36,100 8,90",
        "loop": "12,14 50,0 82,20 60,44 36,53 30,45 48,42 85,64 80,92 45,100 8,90",
        "shallow": "10,14 50,0 84,20 58,46 86,76 50,100 8,88",
        "pointed": "14,8 50,0 80,20 24,47 | 86,62 84,92 50,100 10,94",
        "hooked": "18,24 16,8 50,0 80,16 72,40 42,47 | 80,56 88,80 50,100 14,94 14,80",
        "flat top with loop": "10,4 84,2 | 52,40 34,52 30,44 50,42 86,64 78,94 42,100 8,90",
        "flat top and base": "8,4 84,4 | 46,42 | 84,58 84,90 60,98 | 6,98",
        "curled": "26,20 14,22 16,8 50,0 80,16 70,40 42,47 | 78,56 88,80 50,100 14,92 14,78 28,80",
    },
    4: {
        "open": "30,0 8,60 | 95,58; 68,25 62,100",
        "tall open": "35,0 15,50 10,62 | 92,62; 72,0 66,100",
        "square open": "15,0 12,55 | 92,55; 74,2 74,100",
        "long cross": "42,0 2,62 | 112,60; 66,32 64,100",
        "closed": "70,0 5,65 | 95,65; 70,0 68,100",
        "one stroke": "72,100 72,0 | 5,68 | 98,68",
        "lightning": "44,0 8,56 | 92,52; 70,34 52,100",
        "chair": "12,0 12,45 30,52 85,48; 85,0 82,100",
        "sharp chair": "10,2 14,46 | 86,44; 88,0 84,100",
        "chair in one stroke": "10,0 12,42 40,52 84,44 | 88,0 | 84,100",
        "looped corner": "36,0 10,50 4,64 18,60 98,57; 68,22 63,100",
        "short leg": "40,0 8,60 | 92,56; 68,40 60,100",
        "round": "34,0 12,40 16,60 44,64 96,52; 76,26 64,100",
        "low bar": "44,0 6,76 | 96,74; 66,36 64,100",
        "crossed corner": "56,0 14,50 2,66 | 98,60; 62,28 58,100",
        "narrow closed": "64,0 30,30 10,62 | 92,56; 64,0 54,100",
    },
    5: {
        "one stroke": "85,2 22,2 | 15,42 | 50,36 88,62 65,96 10,92",
        "hat last": "22,5 15,42 | 50,36 88,62 65,96 10,92; 22,4 88,2",
        "detached hat": "25,12 16,44 | 52,38 86,64 62,97 8,90; 34,0 92,-3",
        "far hat": "28,16 18,48 | 52,42 86,66 62,98 8,92; 42,0 98,-4",
        "slanted hat": "30,12 18,46 | 52,40 86,64 62,97 8,90; 30,12 94,-8",
        "soft": "92,3 34,3 | 18,40 50,42 86,65 62,98 10,92",
        "no corners": "92,3 45,2 22,14 20,36 52,42 86,66 60,98 10,94",
        "short hat": "66,2 26,3 | 18,44 | 54,38 88,64 64,98 10,90",
        "hooked": "85,2 24,3 | 16,44 | 52,37 88,64 62,98 20,97 10,84",
        "long neck": "86,0 36,0 | 20,54 | 52,46 84,66 74,92 42,100 8,90",
        "leaning hat": "30,6 20,44 | 54,38 84,62 62,97 8,92; 30,6 98,2",
        "small belly": "78,2 26,4 | 24,52 | 56,46 76,64 62,92 16,100",
        "wide belly": "80,0 30,2 | 20,36 | 60,30 98,58 74,96 34,99 4,86",
        "swung hat": "26,12 14,44 | 50,38 86,62 62,98 24,98 12,84; 22,10 48,14 76,2 104,4",
    },
    6: {
        "curved": "75,0 25,35 8,72 35,100 75,92 82,65 50,52 15,70",
        "straight": "60,0 10,75 | 30,100 78,94 82,66 45,55 12,78",
        "soft straight": "58,0 18,62 18,90 50,100 84,84 76,60 42,55 16,74",
        "big loop": "78,-4 22,28 5,65 25,98 70,100 92,72 65,46 26,48 8,68",
        "small loop": "62,0 30,38 18,78 38,100 66,95 70,76 46,70 20,86",
        "hooked top": "85,8 50,0 12,40 10,80 45,100 85,80 75,55 40,52 12,72",
        "crossing": "78,0 28,30 8,68 34,100 78,94 84,66 52,54 6,78",
        "curl": "72,0 24,34 8,70 34,100 74,94 80,66 50,54 28,66 34,80",
        "gap": "70,0 30,24 8,70 34,100 76,92 82,68 54,56 34,66",
        "low loop": "70,0 34,36 10,82 34,100 72,96 80,82 54,68 16,84",
    },
    7: {
        "plain": "8,5 90,3 | 40,100",
        "bar": "8,5 90,3 | 45,100; 30,50 78,48",
        "low bar": "8,4 90,4 | 42,100; 22,60 82,54",
        "hook": "8,22 8,4 | 90,3 | 60,45 45,100",
        "hook and bar": "10,22 8,4 | 90,3 | 42,100; 28,52 76,48",
        "long hook": "10,34 14,4 | 90,4 | 54,100",
        "curved": "5,10 40,3 92,6 62,44 40,100",
        "curved leg": "8,4 90,4 | 60,40 50,100",
        "upright leg": "10,4 84,4 | 70,100",
        "upright leg and bar": "10,4 86,4 | 68,100; 44,48 98,46",
        "wavy": "8,18 14,4 34,2 60,10 92,0 | 44,100",
        "wavy with bar": "6,16 16,2 34,3 62,9 94,0 | 46,100; 30,52 80,46",
        "wide bar": "12,6 88,4 | 48,100; 12,54 96,46",
        "hook and wide bar": "8,26 14,5 | 88,4 | 60,46 46,100; 16,54 96,50",
        "round with bar": "8,14 36,2 84,4 78,26 46,100; 24,54 86,48",
    },
    8: {
        "one stroke": "80,15 45,0 15,20 45,45 82,72 50,100 15,78 45,48 82,22 78,12",
        "from the middle": "50,47 18,22 50,0 82,22 50,47 14,75 50,100 86,75 50,47",
        "leaning": "65,2 25,8 22,32 55,46 85,70 60,98 18,90 18,65 60,42 80,18 62,2",
        "open top": "70,6 44,1 15,20 45,45 82,72 50,100 15,78 45,48 76,30 92,6",
        "crossing": "78,10 48,0 20,16 36,40 78,72 54,100 18,86 26,62 72,32 76,8",
        "two rings": "50,0 22,8 20,38 50,47 80,38 78,8 50,0;"
        " 50,47 12,60 12,90 50,100 88,90 88,60 50,47",
        "two strokes": "50,0 18,20 50,45 82,22 50,0; 50,45 10,72 50,100 90,72 50,45",
        "small head": "50,0 28,8 30,28 50,36 72,28 72,8 50,0;"
        " 50,36 8,60 14,92 50,100 88,90 92,58 50,36",
        "narrow": "72,14 50,0 30,18 50,46 72,76 50,100 28,78 50,48 72,18 70,12",
    },
    9: {
        "straight": "82,15 45,0 12,25 35,50 75,38 85,10 | 80,100",
        "leaning": "84,10 46,0 14,26 36,50 74,38 86,8 | 50,100",
        "curved": "80,18 45,0 12,25 35,50 78,35 82,12 82,60 60,98 15,92",
        "soft": "85,5 40,0 12,28 40,52 80,30 85,5 78,55 60,100",
        "big loop": "86,20 46,0 8,30 34,62 80,46 88,14 82,60 64,100",
        "small loop": "76,12 50,0 28,18 46,38 74,24 78,8 | 74,56 66,100",
        "open loop": "76,8 40,2 14,26 40,48 76,34; 86,2 76,100",
        "hooked tail": "82,16 46,0 14,22 38,46 78,32 84,8 | 82,70 60,99 28,96 16,84",
        "like a g": "82,14 46,0 14,20 36,44 76,32 84,8 | 84,72 62,100 26,98 8,86",
        "flat base": "80,14 45,0 14,20 36,44 76,32 84,8 | 84,74 74,98 | 10,98",
        "small loop, flat base": "70,12 46,0 26,16 44,34 70,24 76,8 | 84,60 76,96 12,96",
        "low tail": "78,16 46,0 16,22 38,46 76,32 82,10 | 80,80 54,98 20,100",
    },
}  # fmt: skip

# Ways to write that training never sees, so that a benchmark can ask for something new.
HELD_OUT: dict[int, tuple[str, ...]] = {
    0: ("dot", "curl"),
    1: ("hooked flag", "long flag and foot"),
    2: ("swan", "small head"),
    3: ("flat top with loop", "hooked"),
    4: ("looped corner", "chair in one stroke"),
    5: ("long neck", "far hat"),
    6: ("curl", "small loop"),
    7: ("wavy", "upright leg and bar"),
    8: ("small head", "crossing"),
    9: ("open loop", "like a g"),
}
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
    names = ways(digit, held_out)
    glyph = ALLOGRAPHS[digit][names[rng.integers(len(names))]]
    kinds = HELD_OUT_BRUSHES if held_out and rng.random() < 0.5 else BRUSHES
    hand = Hand.random(rng, WIDTHS.get(digit, USUAL_WIDTHS))
    # Loops stay open where the digit is narrow; a 1 has none.
    fattest = 0.17 if digit == 1 else min(0.19 * hand.width, 0.17)
    brush = brush or Brush.random(rng, kinds, fattest)
    return paint(write(glyph, hand, rng), brush, rng, size)


def ways(digit: int, held_out: bool = False) -> list[str]:
    """Names of the ways to write a digit that training sees, or of the others."""
    return [name for name in ALLOGRAPHS[digit] if (name in HELD_OUT[digit]) == held_out]


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
        change: what happens to the ink before it is framed, such as `mnist_cnn.damage.damage`.
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
    edge = np.ones((side, side), np.uint8)
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


def _varied(ink, lines, pressure, width, brush, levels: int = 5) -> None:
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
    wave, phase = rng.uniform(2, 7, (2, 2)), rng.uniform(0, 2 * np.pi, 2)
    # No point moves so far that a flag becomes a bar, or a gap closes.
    warp = min(hand.warp, 0.085) * np.sin(points @ wave + phase)
    points = points + warp + rng.normal(0, hand.jitter, points.shape)
    y = points[:, 1]
    x = (points[:, 0] - 0.5) * hand.width * (1 + hand.taper * (0.5 - y))
    y = np.sign(y) * np.abs(y) ** (1 / hand.waist) - 0.5
    cos, sin = np.cos(hand.turn), np.sin(hand.turn)
    x = x - hand.slant * y
    return np.stack([x * cos - y * sin, x * sin + y * cos], 1)


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
    points, sharp, smooth = [], [], []
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
