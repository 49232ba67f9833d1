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
import numpy as np
from PIL import ImageFont

from mnist_cnn.data.drawn.glyphs import read_glyphs
from mnist_cnn.data.drawn.strokes import Brush, Change, Digits, Hand, draw, paint, write
from mnist_cnn.data.drawn.wear import noise
from mnist_cnn.ink import crop, find_ink, frame, stroke_width

Kind = Callable[[np.random.Generator, Digits | None], np.ndarray]

LETTER_WIDTHS = (0.6, 1.1)
SHAPE_WIDTHS = (0.9, 1.2)
# Parts of digits that are no digits themselves: from where to where, in shares of the height.
PIECES = {0: (0.55, 1.0), 2: (0.6, 1.0), 8: (0.3, 0.68)}


def nondigit(
    rng: np.random.Generator,
    real: Digits | None = None,
    held_out: bool = False,
    kind: str | None = None,
) -> np.ndarray:
    """Ink of something that is no digit, `(H, W)` float32 in [0, 1].

    Args:
        rng: decides everything.
        real: digits of MNIST; half of the pieces and pairs are made of them. In
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
    return (KINDS | HELD_OUT_KINDS)[kind](rng, real)


def nondigit_frames(
    n: int,
    seed: int,
    real: Digits | None = None,
    held_out: bool = False,
    change: Change | None = None,
) -> np.ndarray:
    """`(n, 28, 28)` uint8 frames of non-digits; the arguments are those of `nondigit` and of
    `strokes.draw_frames`."""
    rng = np.random.default_rng(seed)
    frames = np.zeros((n, 28, 28), np.uint8)
    for index in range(n):
        while not frames[index].any():  # damage may leave nothing, and nothing is another answer
            ink = nondigit(rng, real, held_out)
            frames[index] = frame(change(ink, rng) if change else ink)
    return frames


def _letter_of(kind: str) -> Kind:
    def letter(rng: np.random.Generator, real: Digits | None) -> np.ndarray:
        return _glyph(read_glyphs("letters")[kind], Hand.random(rng, LETTER_WIDTHS), rng)

    return letter


def _shape_of(kind: str) -> Kind:
    def shape(rng: np.random.Generator, real: Digits | None) -> np.ndarray:
        # A square that is narrow or leans is a 0.
        hand = replace(Hand.random(rng, SHAPE_WIDTHS), slant=0.0)
        return _glyph(read_glyphs("shapes")[kind], hand, rng)

    return shape


def _letters() -> dict[str, str]:
    return read_glyphs("letters")["capital"] | read_glyphs("letters")["small"]


def _glyph(glyphs: dict[str, str], hand: Hand, rng: np.random.Generator) -> np.ndarray:
    glyph = glyphs[str(rng.choice(list(glyphs)))]
    return paint(write(glyph, hand, rng), Brush.random(rng, fattest=0.13), rng)


def _printed_of(glyphs: Callable[[], list[np.ndarray]]) -> Kind:
    def printed(rng: np.random.Generator, real: Digits | None) -> np.ndarray:
        """A glyph of a font, bent as by a hand; half of the wide ones as an outline."""
        choice = glyphs()  # not before it is asked for: fonts take a while to open
        ink: np.ndarray = np.pad(choice[rng.integers(len(choice))], 12).astype(np.float32) / 255
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
        ((a * x + b * y + strength * np.sin(u * x + v * y + p) + 0.5) * len(ink)).astype(np.float32)
        for (a, b), (u, v), p in zip(bend, wave, phase, strict=True)
    ]
    return cv2.remap(ink, places[0], places[1], cv2.INTER_LINEAR)


@lru_cache(maxsize=1)
def _printed_letters() -> list[np.ndarray]:
    codes = sorted({ord(name[0]) for name in _letters()})
    fonts = read_glyphs("printed")["letters"]["fonts"]
    return [glyph for font in fonts for glyph in _glyphs_of(font, codes)]


@lru_cache(maxsize=1)
def _printed_symbols() -> list[np.ndarray]:
    symbols = read_glyphs("printed")["symbols"]
    codes = [code for first, last in symbols["ranges"] for code in range(first, last + 1)]
    return _glyphs_of(symbols["font"], codes)


def _glyphs_of(name: str, codes: list[int]) -> list[np.ndarray]:
    """Square uint8 pictures of those codes that the font has and that are not narrow."""
    import matplotlib
    from matplotlib.ft2font import FT2Font

    file = str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{name}.ttf")
    narrow = read_glyphs("printed")["narrow"]
    there, font = FT2Font(file).get_charmap(), ImageFont.truetype(file, 84)
    glyphs = []
    for code in codes:
        if code not in there:
            continue
        mask = font.getmask(chr(code))
        glyph = np.array(mask, np.uint8).reshape(mask.size[::-1])
        glyph = crop(glyph, 100) if (glyph > 100).any() else glyph
        if glyph.shape[1] > narrow * glyph.shape[0]:
            glyphs.append(_squared(glyph))
    return glyphs


def _squared(glyph: np.ndarray) -> np.ndarray:
    height, width = glyph.shape
    side = max(glyph.shape)
    top, left = (side - height) // 2, (side - width) // 2
    return np.pad(glyph, ((top, side - height - top), (left, side - width - left)))


def _sign(rng: np.random.Generator, real: Digits | None) -> np.ndarray:
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


def _figure(rng: np.random.Generator, real: Digits | None) -> np.ndarray:
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


def _picture(rng: np.random.Generator, real: Digits | None) -> np.ndarray:
    """What the ink finder makes of a photo of things."""
    while True:
        ink = find_ink(_things(rng)).levels
        high, wide = (np.ptp(np.flatnonzero(ink.any(axis))) if ink.any() else 0 for axis in (1, 0))
        if wide > high / 2:  # a thin bar is a 1
            return ink


def _things(rng: np.random.Generator, side: int = 96) -> np.ndarray:
    """`(side, side, 3)` uint8: filled shapes of any colour, more or less in focus."""
    scene: np.ndarray = np.full((side, side, 3), rng.uniform(0, 255, 3), np.float32)
    for _ in range(rng.integers(3, 20)):
        colour = tuple(rng.uniform(0, 255, 3))
        if rng.random() < 0.5:
            centre = rng.integers(0, side, 2).tolist()
            axes = rng.integers(3, side // 2, 2).tolist()
            cv2.ellipse(scene, centre, axes, rng.uniform(0, 180), 0, 360, colour, -1, cv2.LINE_AA)
        else:
            corners = rng.integers(0, side, (rng.integers(3, 6), 2)).astype(np.int32)
            cv2.fillPoly(scene, [corners], colour, cv2.LINE_AA)
    scene = cv2.GaussianBlur(scene, (0, 0), rng.uniform(0.3, 3))
    noisy = (scene + rng.normal(0, rng.uniform(0, 12), scene.shape)).astype(np.float32)
    return np.clip(noisy, 0, 255).astype(np.uint8)


def _word(rng: np.random.Generator, real: Digits | None) -> np.ndarray:
    """Two to five letters in a row, by one hand."""
    hand = Hand.random(rng, LETTER_WIDTHS)
    letters = _letters()
    names = rng.choice(list(letters), rng.integers(2, 6))
    return paint(_row([letters[str(n)] for n in names], hand, rng), Brush.random(rng), rng)


def _row(glyphs: list[str], hand: Hand, rng: np.random.Generator) -> list[np.ndarray]:
    strokes, right = [], 0.0
    for glyph in glyphs:
        written = write(glyph, hand, rng)
        left = min(stroke[:, 0].min() for stroke in written)
        written = [stroke + np.array([right - left, 0]) for stroke in written]
        right = max(stroke[:, 0].max() for stroke in written) + rng.uniform(0.02, 0.3)
        strokes += written
    return strokes


def _scribble(rng: np.random.Generator, real: Digits | None) -> np.ndarray:
    """A pen that wanders: through random places, or in overlapping loops."""
    n = rng.integers(13, 28)
    if rng.random() < 0.5:
        return _pen(_words(rng.integers(0, 100, (n, 2))), rng)
    t = np.linspace(0, 1, 3 * n)
    angle = 2 * np.pi * rng.uniform(4, 9) * t
    drift = rng.uniform(130, 300)  # loops that stay in one place make a 0
    places = np.stack([np.sin(angle) * 40 + drift * t, np.cos(angle) * 45], 1)
    return _pen(_words((places + rng.normal(0, 6, places.shape)).astype(int)), rng)


def _zigzag(rng: np.random.Generator, real: Digits | None) -> np.ndarray:
    n = rng.integers(7, 14)
    sides = np.where(np.arange(n) % 2, 100, 0) + rng.normal(0, 8, n)
    along = np.linspace(0, rng.uniform(60, 200), n) + rng.normal(0, 3, n)
    places = np.stack([along, sides] if rng.random() < 0.5 else [sides, along], 1).astype(int)
    return _pen(" | ".join(_words(places).split()), rng)


def _hatching(rng: np.random.Generator, real: Digits | None) -> np.ndarray:
    """Parallel lines, often crossed by others."""
    strokes = []
    for turned in range(rng.integers(1, 3)):
        n = rng.integers(4, 10)
        at, start = np.linspace(0, 100, n), rng.normal(0, 7, n)
        lines = np.stack([at + rng.normal(0, 3, n), start, at, 100 + rng.normal(0, 7, n)], 1)
        lines = lines.astype(int)[:, [1, 0, 3, 2] if turned else [0, 1, 2, 3]]
        strokes += [f"{a},{b} {c},{d}" for a, b, c, d in lines]
    return _pen("; ".join(strokes), rng)


def _lines_and_dots(rng: np.random.Generator, real: Digits | None) -> np.ndarray:
    """Dots, or several lines at random, or both."""
    # Two lines may make a 7 or a flagged 1, three a 4; more at random places make nothing.
    lines = int(rng.choice([0, 4, 5, 6]))
    strokes = [_words(rng.integers(0, 100, (2, 2))) for _ in range(lines)]
    for x, y in rng.integers(0, 100, (rng.integers(0 if strokes else 3, 9), 2)):
        strokes.append(f"{x},{y} {x + 2},{y + 1}")
    return _pen("; ".join(strokes), rng)


def _dash(rng: np.random.Generator, real: Digits | None) -> np.ndarray:
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


def _blob(rng: np.random.Generator, real: Digits | None) -> np.ndarray:
    """Stains: random areas, one large or many small ones."""
    field = noise((84, 84), [int(rng.integers(3, 7))] * 2, rng)
    return np.clip((field - rng.uniform(0.2, 0.8)) * 8 + 0.5, 0, 1)


def _texture(rng: np.random.Generator, real: Digits | None) -> np.ndarray:
    """Noise, grain, stripes and checks that fill the picture."""
    kind = rng.integers(4)
    if kind == 0:
        return (rng.random((56, 56)) ** rng.uniform(0.5, 6)).astype(np.float32)
    if kind == 1:
        return np.clip(
            noise((84, 84), [int(rng.integers(8, 20))] * 2, rng) + rng.uniform(-0.3, 0.5), 0, 1
        )
    y, x = np.mgrid[:84, :84] / 84
    turn, waves = rng.uniform(0, np.pi), rng.uniform(3, 8)
    stripes = np.sin(2 * np.pi * waves * (x * np.cos(turn) + y * np.sin(turn)))
    if kind == 3:
        stripes *= np.sin(2 * np.pi * waves * (y * np.cos(turn) - x * np.sin(turn)))
    return np.clip(stripes * rng.uniform(1, 4), 0, 1).astype(np.float32)


def _digits(digits: np.ndarray, rng: np.random.Generator, real: Digits | None) -> list[np.ndarray]:
    """Cropped ink of each digit, 80 pixels high: drawn by one brush, or real ones."""
    chosen = real if real is not None and rng.random() < 0.5 else None
    brush = Brush.random(rng, fattest=0.12)
    brush = replace(brush, width=max(brush.width, 0.04))  # a row is framed at a third of its size
    inks = []
    for digit in digits:
        if chosen:
            frames, labels = chosen
            ink = frames[rng.choice(np.flatnonzero(labels == digit))].astype(np.float32) / 255
        else:
            ink = draw(digit, rng, brush=brush)
        ink = crop(ink, 0.3)
        width = max(4, round(80 * ink.shape[1] / ink.shape[0]))
        inks.append(np.clip(cv2.resize(ink, (width, 80), interpolation=cv2.INTER_CUBIC), 0, 1))
    return inks


def _piece(rng: np.random.Generator, real: Digits | None) -> np.ndarray:
    digit = int(rng.choice(list(PIECES)))
    (ink,) = _digits(np.array([digit]), rng, real)
    top, bottom = (int(share * len(ink)) for share in PIECES[digit])
    return ink[top:bottom]


def _several(n: int) -> Kind:
    def several(rng: np.random.Generator, real: Digits | None) -> np.ndarray:
        """Digits side by side, some of them touching."""
        digits = rng.integers(0, 10, n)
        ink, *others = _digits(digits, rng, real)
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


def _stacked(rng: np.random.Generator, real: Digits | None) -> np.ndarray:
    """One digit above another: a fraction without its line."""
    above, below = _digits(rng.integers(2, 8, 2), rng, real)
    return np.rot90(_beside(np.rot90(_wide(above)), np.rot90(_wide(below)), 10), -1).copy()


def _wide(ink: np.ndarray) -> np.ndarray:
    return cv2.resize(ink, (80, 80), interpolation=cv2.INTER_AREA)


def _crossed_out(rng: np.random.Generator, real: Digits | None) -> np.ndarray:
    """A digit under a large cross or a zigzag."""
    (ink,) = _digits(rng.integers(0, 10, 1), rng, real)
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
    "capital letter": _letter_of("capital"),
    "small letter": _letter_of("small"),
    "shape": _shape_of("shape"),
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
    "foreign letter": _letter_of("foreign"),
    "doodle": _shape_of("doodle"),
    "four digits": _several(4),
    "stacked digits": _stacked,
}
