"""Ink that no sensible reader takes for a digit: letters, signs, shapes, scribbles, pieces.

Signs that are digits to some reader are left out: O o D I l i j Z z S s B b g q y and their like, a
bare line (a 1), a closed ring (a 0).
"""

import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from matplotlib.ft2font import FT2Font
from PIL import ImageFont

from mnist_cnn.data.drawn.strokes import Brush, Change, Hand, draw, paint, write
from mnist_cnn.ink import crop, find_ink, frame, stroke_width

Source = tuple[np.ndarray, np.ndarray] | None  # MNIST's frames (N, 28, 28) and labels (N,)
Kind = Callable[[np.random.Generator, Source], np.ndarray]

# Written as in `strokes.ALLOGRAPHS`.
CAPITALS = {
    "A": "5,100 50,0 | 95,100; 22,62 80,62",
    "A, round": "8,100 12,40 50,0 88,40 92,100; 12,62 88,58",
    "C": "94,20 62,0 18,18 4,54 24,92 62,100 96,78",
    "E": "90,0 10,0 | 10,100 | 92,100; 10,50 75,50",
    "E, round": "92,10 34,6 8,50 32,94 94,94; 12,50 72,48",
    "E, as an epsilon": "86,16 50,0 14,18 46,46 | 8,76 50,100 94,82",
    "F": "92,0 12,0 | 10,100; 12,46 78,46",
    "F, curved": "4,12 40,0 98,4; 56,4 46,78 12,96; 26,52 80,46",
    "G": "90,18 58,0 16,20 4,58 32,98 78,94 92,60 | 54,58",
    "G, with a spur": "90,18 58,0 16,20 4,58 32,96 86,78; 54,56 92,54 | 92,102",
    "H": "10,0 10,100; 90,0 90,100; 10,50 90,50",
    "J": "14,4 98,2; 62,3 60,80 36,100 6,82",
    "K": "12,0 12,100; 90,0 14,56; 36,42 92,100",
    "K, curved": "12,0 12,100; 92,4 70,30 14,54; 36,48 60,70 68,96 98,98",
    "L": "14,0 12,100 | 90,100",
    "M": "5,100 12,0 | 50,70 | 88,0 | 95,100",
    "M, round": "4,100 8,8 36,10 48,66 | 62,10 90,8 96,100",
    "N": "10,100 10,0 | 90,100 | 90,0",
    "N, round": "4,92 18,6 34,20 66,84 82,96 96,4",
    "P": "14,0 14,100; 14,4 60,0 90,26 60,52 14,54",
    "Q": "50,0 10,20 4,60 40,96 86,82 94,34 50,0; 56,62 104,106",
    "R": "14,0 14,100; 14,4 60,0 88,24 60,48 14,52 | 92,100",
    "R, in one stroke": "14,100 16,2 | 62,0 88,22 60,46 20,50 | 60,66 94,100",
    "T": "2,2 98,2; 50,2 50,100",
    "U": "6,0 8,66 40,100 76,92 92,62 | 94,0",
    "V": "5,0 50,100 | 95,0",
    "W": "0,0 25,100 | 50,25 | 75,100 | 100,0",
    "W, round": "2,4 10,84 32,92 50,30 | 68,92 90,84 98,2",
    "X": "5,0 95,100; 95,0 5,100",
    "Y": "4,0 50,48 | 96,0; 50,48 50,100",
}
SMALL = {
    "a": "80,26 50,8 14,34 14,78 44,98 78,72; 82,8 80,82 100,98",
    "a, with a roof": "14,24 46,2 78,16 82,60 86,98; 82,44 40,46 10,72 24,98 58,94 82,72",
    "c": "88,24 56,4 16,28 10,72 50,100 92,82",
    "d": "80,62 50,44 14,60 16,94 50,100 80,80; 82,0 82,100",
    "e": "12,58 88,52 70,14 36,6 8,50 30,98 90,84",
    "f": "88,10 66,0 46,16 44,100; 14,42 82,42",
    "f, long": "84,8 58,2 48,30 42,74 26,100 4,92; 18,42 82,40",
    "h": "14,0 14,100; 14,66 48,46 82,62 84,100",
    "k": "16,0 16,100; 78,40 18,72; 36,62 84,100",
    "m": "5,20 5,100; 5,40 28,18 48,40 48,100; 48,40 72,18 95,40 95,100",
    "n": "10,15 10,100; 10,45 50,14 88,40 88,100",
    "p": "16,4 14,100; 16,24 52,4 88,24 66,56 18,54",
    "r": "20,12 22,100; 22,50 48,16 86,20",
    "t": "48,0 46,80 60,100 86,90; 12,28 88,28",
    "t, as a cross": "52,0 50,100; 10,34 92,30",
    "u": "10,0 10,70 45,98 84,66; 86,0 88,100",
    "v": "5,0 48,100 | 95,0",
    "w": "2,5 10,80 30,95 50,60 | 70,95 90,80 98,5",
    "x": "8,0 88,100; 92,0 8,100",
    "x, of two arcs": "6,8 34,4 48,44 36,90 4,98; 94,2 62,12 50,46 62,92 96,94",
}
LETTERS = CAPITALS | SMALL
# Other alphabets; training sees none of them.
FOREIGN = {
    "Zhe": "50,0 50,100; 5,0 40,50 5,100; 95,0 60,50 95,100",
    "Sha": "5,0 5,100 | 95,100 | 95,0; 50,0 50,100",
    "Yu": "8,0 8,100; 8,50 42,50; 68,0 42,50 68,100 96,50 68,0",
    "Ya": "86,0 86,100; 86,4 42,0 14,24 42,48 86,50; 52,50 8,100",
    "pi": "2,8 98,4; 30,6 22,100; 70,6 74,90 92,96",
    "lambda": "12,0 34,6 88,100; 46,38 8,100",
    "Omega": "2,98 36,96 | 8,50 30,6 70,6 92,50 64,96 | 98,98",
    "tree": "5,28 95,28; 50,0 50,100; 48,30 5,82; 52,30 95,82",
    "big": "5,35 95,35; 50,0 45,50 5,100; 52,40 95,100",
    "ta": "5,15 60,15; 38,0 10,100; 50,45 90,45; 46,72 60,95 94,92",
    "aleph": "10,0 90,100; 88,0 82,30 62,48; 34,32 14,60 18,100",
}
SHAPES = {
    "circle with a cross": "50,0 0,50 50,100 100,50 50,0; 50,-6 50,106; -6,50 106,50",
    "square": "2,0 0,100 | 100,100 | 100,0 | 2,0",
    "square with a cross": "0,0 0,100 | 100,100 | 100,0 | 0,0; 0,0 100,100; 100,0 0,100",
    "triangle": "50,0 0,96 | 100,96 | 50,0",
    "star": "50,0 20,100 | 98,36 | 2,38 | 82,100 | 50,0",
    "heart": "50,26 24,0 0,30 50,100 | 100,30 76,0 50,26",
    "arrow": "0,50 100,50; 68,20 100,50 | 68,80",
    "double arrow": "0,50 100,50; 70,24 100,50 | 70,76; 30,24 0,50 | 30,76",
    "spiral": "50,50 58,44 64,54 50,64 36,52 46,32 72,36 80,60 54,82 20,68 20,30 54,12 94,34"
    " 96,74 60,100",
    "plus": "50,0 50,100; 0,50 100,50",
    "tick": "0,60 34,100 | 100,0",
    "hash": "32,0 26,100; 74,0 68,100; 0,32 100,30; 0,70 100,68",
    "question mark": "14,22 40,0 80,12 76,36 50,52 48,74; 48,97 49,100",
    "percent": "18,0 2,14 16,30 34,16 18,0; 92,0 8,100; 82,70 66,84 82,100 98,86 82,70",
    "smiley": "50,0 0,50 50,100 100,50 50,0; 33,34 33,37; 67,34 67,37; 25,64 50,80 75,64",
    "house": "0,100 0,45 | 50,0 | 100,45 | 100,100 | 0,100; 40,100 40,68 | 62,68 | 62,100",
    "sun": "50,28 28,50 50,72 72,50 50,28; 50,16 50,0; 50,84 50,100; 16,50 0,50; 84,50 100,50;"
    " 74,26 88,12; 26,26 12,12; 26,74 12,88; 74,74 88,88",
    "equals": "0,30 100,28; 0,72 100,70",
    "division": "0,50 100,50; 50,18 51,20; 50,80 51,82",
    "asterisk": "50,0 50,100; 8,24 92,76; 92,24 8,76",
    "grid": "0,0 0,100 | 100,100 | 100,0 | 0,0; 33,0 33,100; 67,0 67,100; 0,33 100,33; 0,67 100,67",
    "stick man": "50,0 36,10 50,22 64,10 50,0; 50,22 50,64; 18,40 82,40; 50,64 24,100;"
    " 50,64 76,100",
    "wave": "0,50 16,20 34,80 50,20 66,80 84,20 100,50",
    "cloud": "12,80 0,58 22,46 26,18 58,14 70,36 98,44 94,78 12,80",
    "unfinished 4": "30,0 8,60 | 95,58",
    "ampersand": "98,100 24,30 30,2 62,6 58,30 8,66 14,96 50,100 92,52",
    "dollar": "92,18 52,6 12,24 46,50 92,74 52,94 6,82; 52,-8 48,108",
    "at": "66,38 44,32 32,52 48,68 66,40 | 70,66 90,60 94,28 56,2 12,22 6,66 40,98 84,90",
    "euro": "92,14 60,0 26,24 22,76 58,100 92,88; 4,40 70,40; 4,60 66,60",
}  # fmt: skip
# Shapes that training does not see.
DOODLES = {
    "fish": "0,50 40,18 78,48 100,78 | 98,22 | 78,52 40,82 0,50; 24,42 25,44",
    "lamp": "30,0 8,44 | 92,44 | 70,0 | 30,0; 50,44 50,96; 20,98 80,98",
    "fir": "50,0 10,40 | 34,38 | 0,78 | 100,78 | 66,38 | 90,40 | 50,0; 50,78 50,100",
    "bicycle": "24,58 4,78 24,98 44,78 24,58; 76,58 56,78 76,98 96,78 76,58; 24,78 40,36 70,36"
    " 76,78; 40,36 54,78 70,36; 32,28 48,28",
    "envelope": "0,15 0,85 | 100,85 | 100,15 | 0,15; 0,15 50,58 | 100,15",
    "kite": "50,0 14,34 | 50,72 | 86,34 | 50,0 | 50,72 60,84 46,92 58,104; 14,34 86,34",
    "umbrella": "0,50 22,10 50,0 78,10 100,50 | 75,42 50,50 25,42 0,50; 50,50 50,90 38,100 28,88",
    "car": "0,70 4,46 | 26,42 38,16 | 72,16 84,44 | 100,50 100,72 | 0,70;"
    " 22,72 14,84 24,96 34,84 22,72; 76,72 68,84 78,96 88,84 76,72",
    "note": "30,86 10,78 4,94 22,98 30,86 | 30,0 | 90,10 | 90,80 70,74 66,92 84,94 90,80",
    "crossed circles": "34,0 2,40 34,80 68,40 34,0; 66,20 32,60 66,100 98,60 66,20",
    "angry face": "4,2 0,98 | 98,98 | 98,2 | 4,2; 20,26 40,40; 80,26 60,40; 24,76 50,62 76,76",
    "ladder": "20,0 8,100; 80,0 92,100; 18,20 82,20; 14,48 86,48; 11,76 89,76",
}  # fmt: skip

# Printed letters and symbols are from the fonts that come with Matplotlib.
LETTER_FONTS = (
    "DejaVuSans",
    "DejaVuSerif",
    "DejaVuSerif-Italic",
    "DejaVuSansMono",
    "STIXGeneral",
    "STIXGeneralItalic",
    "cmmi10",
    "cmss10",
    "cmtt10",
)
SYMBOL_FONT = "DejaVuSans"
# Arrows, mathematics, plane figures, pictures. Left out are rings, those that are drawn as
# `DOODLES`, and what some reader takes for a digit.
SYMBOLS = (
    (0x2190, 0x21AE), (0x21B2, 0x21FF),
    (0x2200, 0x2200), (0x2206, 0x2207), (0x220E, 0x2214), (0x221F, 0x2226), (0x2234, 0x223E),
    (0x2240, 0x2281), (0x2284, 0x228B), (0x228F, 0x2294), (0x229E, 0x22BF), (0x22C4, 0x22CD),
    (0x22D0, 0x22F9), (0x25A0, 0x25AD), (0x25B0, 0x25C5),
    (0x2600, 0x2601), (0x2603, 0x2606), (0x260E, 0x2613), (0x2615, 0x2638), (0x2654, 0x2661),
    (0x2663, 0x2665), (0x2667, 0x2668), (0x266D, 0x2685), (0x268A, 0x26A1), (0x26B9, 0x26BC),
    (0x2701, 0x2708), (0x270A, 0x274C), (0x274E, 0x275A), (0x2761, 0x2767), (0x2794, 0x27BE),
)  # fmt: skip
NARROW = 0.5  # width : height; a narrower sign may be a 1

LETTER_WIDTHS = (0.6, 1.1)
SHAPE_WIDTHS = (0.9, 1.2)
# Parts of digits that are no digits themselves: from where to where, in shares of the height.
PIECES = {0: (0.55, 1.0), 2: (0.6, 1.0), 8: (0.3, 0.68)}


def nondigit(
    rng: np.random.Generator, source: Source = None, held_out: bool = False, kind: str | None = None
) -> np.ndarray:
    """Ink of something that is no digit, `(H, W)` float32 in [0, 1].

    Args:
        rng: decides everything.
        source: frames and labels of MNIST; half of the pieces and pairs are made of them. In
            training these must be training frames.
        held_out: one of the kinds that are never drawn without it.
        kind: one of `KINDS` or `HELD_OUT_KINDS`; by default a random one.
    """
    kinds = HELD_OUT_KINDS if held_out else KINDS
    kind = kind or str(rng.choice(list(kinds)))
    if kind not in KINDS | HELD_OUT_KINDS:
        raise ValueError(
            f"unknown kind {kind!r}; choose one of {', '.join(KINDS | HELD_OUT_KINDS)}"
        )
    return (KINDS | HELD_OUT_KINDS)[kind](rng, source)


def nondigit_frames(
    n: int,
    seed: int,
    source: Source = None,
    held_out: bool = False,
    change: Change | None = None,
) -> np.ndarray:
    """`(n, 28, 28)` uint8 frames of non-digits; the arguments are those of `nondigit` and of
    `strokes.draw_frames`."""
    rng = np.random.default_rng(seed)
    frames = np.zeros((n, 28, 28), np.uint8)
    for index in range(n):
        while not frames[index].any():  # damage may leave nothing, and nothing is another answer
            ink = nondigit(rng, source, held_out)
            frames[index] = frame(change(ink, rng) if change else ink)
    return frames


def _letter_of(glyphs: dict[str, str]) -> Kind:
    def letter(rng: np.random.Generator, source: Source) -> np.ndarray:
        return _glyph(glyphs, Hand.random(rng, LETTER_WIDTHS), rng)

    return letter


def _shape_of(glyphs: dict[str, str]) -> Kind:
    def shape(rng: np.random.Generator, source: Source) -> np.ndarray:
        # A square that is narrow or leans is a 0.
        hand = replace(Hand.random(rng, SHAPE_WIDTHS), slant=0.0)
        return _glyph(glyphs, hand, rng)

    return shape


def _glyph(glyphs: dict[str, str], hand: Hand, rng: np.random.Generator) -> np.ndarray:
    glyph = glyphs[str(rng.choice(list(glyphs)))]
    return paint(write(glyph, hand, rng), Brush.random(rng, fattest=0.13), rng)


def _printed_of(glyphs: Callable[[], list[np.ndarray]]) -> Kind:
    def printed(rng: np.random.Generator, source: Source) -> np.ndarray:
        """A glyph of a font, bent as by a hand; half of the wide ones as an outline."""
        choice = glyphs()  # not before it is asked for: fonts take a while to open
        ink = np.pad(choice[rng.integers(len(choice))], 12).astype(np.float32) / 255
        if rng.random() < 0.5 and stroke_width(ink) > 0.12 * min(ink.shape):
            pen = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (int(rng.integers(3, 8)),) * 2)
            ink = cv2.morphologyEx(ink, cv2.MORPH_GRADIENT, pen)
        return _bent(ink, rng)

    return printed


def _bent(ink: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    y, x = np.indices(ink.shape, np.float32) / len(ink) - 0.5
    turn = rng.normal(0, 0.12)
    bend = np.array([[1, rng.normal(0, 0.12)], [rng.normal(0, 0.12), 1]]) @ np.array(
        [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
    )
    wave, phase = rng.uniform(2, 7, (2, 2)), rng.uniform(0, 2 * np.pi, 2)
    strength = rng.uniform(0, 0.04)
    places = [
        (a * x + b * y + strength * np.sin(u * x + v * y + p) + 0.5) * len(ink)
        for (a, b), (u, v), p in zip(bend, wave, phase, strict=True)
    ]
    return cv2.remap(ink, *(at.astype(np.float32) for at in places), cv2.INTER_LINEAR)


@lru_cache(maxsize=1)
def _printed_letters() -> list[np.ndarray]:
    codes = sorted({ord(letter[0]) for letter in LETTERS})
    return [glyph for font in LETTER_FONTS for glyph in _glyphs_of(font, codes)]


@lru_cache(maxsize=1)
def _printed_symbols() -> list[np.ndarray]:
    codes = [code for first, last in SYMBOLS for code in range(first, last + 1)]
    return _glyphs_of(SYMBOL_FONT, codes)


def _glyphs_of(name: str, codes: list[int]) -> list[np.ndarray]:
    """Square uint8 pictures of those codes that the font has and that are not narrow."""
    file = str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{name}.ttf")
    there, font = FT2Font(file).get_charmap(), ImageFont.truetype(file, 84)
    glyphs = []
    for code in codes:
        if code not in there:
            continue
        mask = font.getmask(chr(code))
        glyph = np.array(mask, np.uint8).reshape(mask.size[::-1])
        glyph = crop(glyph, 100) if (glyph > 100).any() else glyph
        if glyph.shape[1] > NARROW * glyph.shape[0]:
            glyphs.append(_squared(glyph))
    return glyphs


def _squared(glyph: np.ndarray) -> np.ndarray:
    height, width = glyph.shape
    side = max(glyph.shape)
    top, left = (side - height) // 2, (side - width) // 2
    return np.pad(glyph, ((top, side - height - top), (left, side - width - left)))


def _sign(rng: np.random.Generator, source: Source) -> np.ndarray:
    """A letter of no alphabet: four to seven strokes between the places of a grid.

    Fewer strokes too often make a 1, 4 or 7; and three in four signs are their own mirror image,
    as letters often are and digits are not, but for 0 and 8, which are round.
    """
    mirrored = rng.random() < 0.75
    strokes = []
    for _ in range(rng.integers(2, 4) if mirrored else rng.integers(4, 8)):
        places = rng.integers(0, 5, (rng.integers(2, 4), 2)) * 25
        while (np.ptp(places, axis=0) < 25).all():
            places = rng.integers(0, 5, (len(places), 2)) * 25
        corners = " | " if rng.random() < 0.4 else " "
        for x in [places[:, 0], 100 - places[:, 0]] if mirrored else [places[:, 0]]:
            strokes.append(corners.join(_words(np.stack([x, places[:, 1]], 1)).split()))
    hand = replace(Hand.random(rng, LETTER_WIDTHS), warp=0.03)
    return paint(write("; ".join(strokes), hand, rng), Brush.random(rng, fattest=0.1), rng)


def _figure(rng: np.random.Generator, source: Source) -> np.ndarray:
    """A doodle of rings, polygons, lines and dots of many sizes, often with a mirror image."""
    strokes = []
    for _ in range(rng.integers(4, 9)):
        corners = int(rng.choice([1, 2, 3, 4, 5, 12]))
        angles = 2 * np.pi * (np.arange(corners + 1) / corners + rng.random())
        radius = 2 if corners == 1 else math.exp(rng.uniform(math.log(6), math.log(50)))
        ring = radius * np.stack([np.cos(angles) * rng.uniform(0.4, 1), np.sin(angles)], 1)
        places = (ring + rng.uniform(radius, max(100 - radius, radius + 1), 2)).astype(int)
        joint = " " if corners == 12 else " | "
        strokes.append(joint.join(_words(places).split()))
        if rng.random() < 0.3:
            places[:, 0] = 100 - places[:, 0]
            strokes.append(joint.join(_words(places).split()))
    return _pen("; ".join(strokes), rng)


def _picture(rng: np.random.Generator, source: Source) -> np.ndarray:
    """What the ink finder makes of a photo of things."""
    while True:
        ink = find_ink(_things(rng)).levels
        high, wide = (np.ptp(np.flatnonzero(ink.any(axis))) if ink.any() else 0 for axis in (1, 0))
        if wide > high / 2:  # a thin bar is a 1
            return ink


def _things(rng: np.random.Generator, side: int = 96) -> np.ndarray:
    """`(side, side, 3)` uint8: filled shapes of any colour, more or less in focus."""
    scene = np.full((side, side, 3), rng.uniform(0, 255, 3), np.float32)
    for _ in range(rng.integers(3, 20)):
        colour = tuple(rng.uniform(0, 255, 3))
        if rng.random() < 0.5:
            centre, axes = rng.integers(0, side, 2), rng.integers(3, side // 2, 2)
            cv2.ellipse(scene, centre, axes, rng.uniform(0, 180), 0, 360, colour, -1, cv2.LINE_AA)
        else:
            corners = rng.integers(0, side, (rng.integers(3, 6), 2)).astype(np.int32)
            cv2.fillPoly(scene, [corners], colour, cv2.LINE_AA)
    scene = cv2.GaussianBlur(scene, (0, 0), rng.uniform(0.3, 3))
    scene += rng.normal(0, rng.uniform(0, 12), scene.shape)
    return np.clip(scene, 0, 255).astype(np.uint8)


def _word(rng: np.random.Generator, source: Source) -> np.ndarray:
    """Two to five letters in a row, by one hand."""
    hand = Hand.random(rng, LETTER_WIDTHS)
    names = rng.choice(list(LETTERS), rng.integers(2, 6))
    return paint(_row([LETTERS[str(n)] for n in names], hand, rng), Brush.random(rng), rng)


def _row(glyphs: list[str], hand: Hand, rng: np.random.Generator) -> list[np.ndarray]:
    strokes, right = [], 0.0
    for glyph in glyphs:
        written = write(glyph, hand, rng)
        left = min(stroke[:, 0].min() for stroke in written)
        written = [stroke + np.array([right - left, 0]) for stroke in written]
        right = max(stroke[:, 0].max() for stroke in written) + rng.uniform(0.02, 0.3)
        strokes += written
    return strokes


def _scribble(rng: np.random.Generator, source: Source) -> np.ndarray:
    """A pen that wanders: through random places, or in overlapping loops."""
    n = rng.integers(13, 28)
    if rng.random() < 0.5:
        return _pen(_words(rng.integers(0, 100, (n, 2))), rng)
    t = np.linspace(0, 1, 3 * n)
    angle = 2 * np.pi * rng.uniform(4, 9) * t
    drift = rng.uniform(130, 300)  # loops that stay in one place make a 0
    places = np.stack([np.sin(angle) * 40 + drift * t, np.cos(angle) * 45], 1)
    return _pen(_words((places + rng.normal(0, 6, places.shape)).astype(int)), rng)


def _zigzag(rng: np.random.Generator, source: Source) -> np.ndarray:
    n = rng.integers(7, 14)
    sides = np.where(np.arange(n) % 2, 100, 0) + rng.normal(0, 8, n)
    along = np.linspace(0, rng.uniform(60, 200), n) + rng.normal(0, 3, n)
    places = np.stack([along, sides] if rng.random() < 0.5 else [sides, along], 1).astype(int)
    return _pen(" | ".join(_words(places).split()), rng)


def _hatching(rng: np.random.Generator, source: Source) -> np.ndarray:
    """Parallel lines, often crossed by others."""
    strokes = []
    for turned in range(rng.integers(1, 3)):
        n = rng.integers(4, 10)
        at, start = np.linspace(0, 100, n), rng.normal(0, 7, n)
        lines = np.stack([at + rng.normal(0, 3, n), start, at, 100 + rng.normal(0, 7, n)], 1)
        lines = lines.astype(int)[:, [1, 0, 3, 2] if turned else [0, 1, 2, 3]]
        strokes += [f"{a},{b} {c},{d}" for a, b, c, d in lines]
    return _pen("; ".join(strokes), rng)


def _lines_and_dots(rng: np.random.Generator, source: Source) -> np.ndarray:
    """Dots, or several lines at random, or both."""
    # Two lines may make a 7 or a flagged 1, three a 4; more at random places make nothing.
    lines = int(rng.choice([0, 4, 5, 6]))
    strokes = [_words(rng.integers(0, 100, (2, 2))) for _ in range(lines)]
    for x, y in rng.integers(0, 100, (rng.integers(0 if strokes else 3, 9), 2)):
        strokes.append(f"{x},{y} {x + 2},{y + 1}")
    return _pen("; ".join(strokes), rng)


def _dash(rng: np.random.Generator, source: Source) -> np.ndarray:
    """A lying line, straight or wavy."""
    rise = rng.integers(-12, 13, rng.integers(2, 6))
    places = np.stack([np.linspace(0, 100, len(rise)), rise], 1).astype(int)
    return paint(write(_words(places), _STEADY, rng), Brush.random(rng), rng)


def _words(places: np.ndarray) -> str:
    return " ".join(f"{x},{y}" for x, y in places)


# These signs are random as they are; a hand that bends them would add nothing.
_STEADY = Hand(warp=0.01, jitter=0.005)


def _pen(glyph: str, rng: np.random.Generator) -> np.ndarray:
    return paint(write(glyph, _STEADY, rng), Brush.random(rng, fattest=0.1), rng)


def _blob(rng: np.random.Generator, source: Source) -> np.ndarray:
    """Stains: random areas, one large or many small ones."""
    field = _noise(rng, rng.integers(3, 7))
    return np.clip((field - rng.uniform(0.2, 0.8)) * 8 + 0.5, 0, 1)


def _texture(rng: np.random.Generator, source: Source) -> np.ndarray:
    """Noise, grain, stripes and checks that fill the picture."""
    kind = rng.integers(4)
    if kind == 0:
        return (rng.random((56, 56)) ** rng.uniform(0.5, 6)).astype(np.float32)
    if kind == 1:
        return np.clip(_noise(rng, rng.integers(8, 20)) + rng.uniform(-0.3, 0.5), 0, 1)
    y, x = np.mgrid[:84, :84] / 84
    turn, waves = rng.uniform(0, np.pi), rng.uniform(3, 8)
    stripes = np.sin(2 * np.pi * waves * (x * np.cos(turn) + y * np.sin(turn)))
    if kind == 3:
        stripes *= np.sin(2 * np.pi * waves * (y * np.cos(turn) - x * np.sin(turn)))
    return np.clip(stripes * rng.uniform(1, 4), 0, 1).astype(np.float32)


def _noise(rng: np.random.Generator, cells: int) -> np.ndarray:
    """`(84, 84)` float32 smooth noise with mean 0 and deviation 1."""
    coarse = rng.standard_normal((cells, cells), np.float32)
    return cv2.resize(coarse, (84, 84), interpolation=cv2.INTER_CUBIC)


def _digits(digits: np.ndarray, rng: np.random.Generator, source: Source) -> list[np.ndarray]:
    """Cropped ink of each digit, 80 pixels high: drawn by one brush, or from the source."""
    from_source = source is not None and rng.random() < 0.5
    brush = Brush.random(rng, fattest=0.12)
    brush = replace(brush, width=max(brush.width, 0.04))  # a row is framed at a third of its size
    inks = []
    for digit in digits:
        if from_source:
            frames, labels = source
            ink = frames[rng.choice(np.flatnonzero(labels == digit))].astype(np.float32) / 255
        else:
            ink = draw(digit, rng, brush=brush)
        ink = crop(ink, 0.3)
        width = max(4, round(80 * ink.shape[1] / ink.shape[0]))
        inks.append(np.clip(cv2.resize(ink, (width, 80), interpolation=cv2.INTER_CUBIC), 0, 1))
    return inks


def _piece(rng: np.random.Generator, source: Source) -> np.ndarray:
    digit = int(rng.choice(list(PIECES)))
    (ink,) = _digits([digit], rng, source)
    top, bottom = (int(share * len(ink)) for share in PIECES[digit])
    return ink[top:bottom]


def _several(n: int) -> Kind:
    def several(rng: np.random.Generator, source: Source) -> np.ndarray:
        """Digits side by side, some of them touching."""
        digits = rng.integers(0, 10, n)
        ink, *others = _digits(digits, rng, source)
        for pair, other in zip(itertools.pairwise(digits), others, strict=True):
            # A 1 that touches a round digit can make another digit: 01 a 9, 10 a 6.
            least = 14 if 1 in pair else -8
            ink = _beside(ink, other, int(rng.integers(least, 24)))
        return ink

    return several


def _beside(left: np.ndarray, right: np.ndarray, gap: int) -> np.ndarray:
    gap = max(gap, -min(left.shape[1], right.shape[1]) // 3)
    ink = np.zeros((80, left.shape[1] + gap + right.shape[1]), np.float32)
    ink[:, : left.shape[1]] = left
    at = left.shape[1] + gap
    ink[:, at:] = np.maximum(ink[:, at:], right)
    return ink


def _stacked(rng: np.random.Generator, source: Source) -> np.ndarray:
    """One digit above another: a fraction without its line."""
    above, below = _digits(rng.integers(2, 8, 2), rng, source)
    return np.rot90(_beside(np.rot90(_wide(above)), np.rot90(_wide(below)), 10), -1).copy()


def _wide(ink: np.ndarray) -> np.ndarray:
    return cv2.resize(ink, (80, 80), interpolation=cv2.INTER_AREA)


def _crossed_out(rng: np.random.Generator, source: Source) -> np.ndarray:
    """A digit under a large cross or a zigzag."""
    (ink,) = _digits(rng.integers(0, 10, 1), rng, source)
    ink = np.pad(ink, ((10, 10), (20, 20)))
    height, width = ink.shape
    if rng.random() < 0.5:
        places = np.array([[[0, 0], [1, 1]], [[1, 0], [0, 1]]], float)
    else:
        n = rng.integers(5, 9)
        places = np.stack([np.arange(n) % 2, np.linspace(0.1, 0.9, n)], 1)[None]
    places = (places + rng.normal(0, 0.05, places.shape)) * [width, height]
    points = list(np.round(places * 16).astype(np.int32))
    over = np.zeros(ink.shape, np.uint8)
    cv2.polylines(over, points, False, 255, int(rng.integers(3, 9)), cv2.LINE_AA, shift=4)
    return np.maximum(ink, over.astype(np.float32) / 255)


KINDS: dict[str, Kind] = {
    "capital letter": _letter_of(CAPITALS),
    "small letter": _letter_of(SMALL),
    "shape": _shape_of(SHAPES),
    "printed letter": _printed_of(_printed_letters),
    "printed symbol": _printed_of(_printed_symbols),
    "sign": _sign,
    "figure": _figure,
    "picture": _picture,
    "word": _word,
    "scribble": _scribble,
    "zigzag": _zigzag,
    "hatching": _hatching,
    "lines and dots": _lines_and_dots,
    "dash": _dash,
    "blob": _blob,
    "texture": _texture,
    "piece": _piece,
    "two digits": _several(2),
    "three digits": _several(3),
    "crossed out": _crossed_out,
}
HELD_OUT_KINDS: dict[str, Kind] = {
    "foreign letter": _letter_of(FOREIGN),
    "doodle": _shape_of(DOODLES),
    "four digits": _several(4),
    "stacked digits": _stacked,
}
