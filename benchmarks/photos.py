"""Pictures of one digit as people take and draw them, and how many are read: a measuring stick.

    python -m benchmarks.photos --n 100 --data-dir data --sheet mistakes

The pictures are made by the program: MNIST *test* digits and generated pen strokes, re-inked with
a pen of any width, laid on paper, boards and canvases, and photographed. Each slice prints how
many pictures are read, beside how many would be if the ink were known exactly: the difference is
what the ink finder loses, the rest is the network's. With --sheet, every mistake is saved as
picture, true frame and frame found. Same seed, same pictures.
"""

import argparse
import io
import sys
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from mnist_cnn import MnistCNN, data, load_model
from mnist_cnn.data.drawn import strokes
from mnist_cnn.ink import crop, frame, stroke_width
from mnist_cnn.reading.prediction import read_frames

SIDE = 140  # pixels: the size at which a digit's shape is kept
BORDER = 14  # pixels around it
SAME = 0.7  # of all ink of two shapes: having so much in common they are the same one

PEN = strokes.Brush("round", 0.08)  # gives the shape; the pen of the picture draws it again

PAPERS = {
    "white": (245, 245, 242),
    "cream": (243, 234, 208),
    "grey": (190, 190, 188),
    "yellow": (245, 225, 110),
    "pink": (240, 190, 200),
    "green": (180, 225, 180),
    "blue": (175, 205, 235),
    "kraft": (185, 145, 100),
}
BOARDS = {
    "blackboard": (35, 38, 37),
    "greenboard": (40, 75, 60),
    "slate": (70, 75, 82),
    "blueboard": (30, 45, 90),
}
INKS = {
    "black": (25, 25, 30),
    "blue": (30, 50, 150),
    "navy": (20, 25, 70),
    "red": (190, 30, 35),
    "green": (20, 110, 50),
    "purple": (100, 40, 130),
}
PENCIL = (95, 95, 100)
CHALKS = {"white": (235, 235, 230), "yellow": (235, 220, 120), "pink": (235, 160, 170)}
TABLES = {
    "oak": (170, 120, 70),
    "walnut": (90, 60, 40),
    "dark": (40, 38, 40),
    "grey": (120, 120, 120),
    "cloth": (90, 110, 150),
    "red cloth": (150, 60, 55),
    "light wood": (215, 185, 145),
}
LINES = {"blue": (150, 175, 215), "grey": (185, 185, 190), "strong": (110, 140, 190)}
PHOTO_PENS = ("pen", "ballpoint", "pencil", "marker")


@dataclass(frozen=True)
class Kind:
    """What may be in the pictures of a slice; where several are named, each picture takes one."""

    grounds: tuple[str, ...] = ("white", "white", "cream", "grey")
    pens: tuple[str, ...] = PHOTO_PENS
    lines: tuple[str, ...] = ("none",)
    table: float = 0.0  # how often the ground's edge and what lies beyond it are in the picture
    lights: tuple[str, ...] = ("gradient", "vignette", "even")
    finger: float = 0.0  # how often
    dirt: float = 0.2  # how often: specks, creases, bleed-through
    size: tuple[float, float] = (0.2, 0.8)  # of the picture's shorter side
    turn: float = 8.0  # degrees either way
    blur: tuple[float, float] = (0.0, 1.5)  # pixels
    noise: tuple[float, float] = (0.0, 0.03)
    quality: tuple[int, int] = (50, 95)
    contrast: float = 1.0  # of the ink
    digit: bool = True


SLICES: dict[str, Kind] = {
    "camera photo": Kind(table=0.3, dirt=0.4, size=(0.12, 0.9)),
    "coloured paper": Kind(grounds=("yellow", "pink", "green", "blue", "kraft")),
    "lined paper": Kind(lines=("ruled", "ruled and margin")),
    "squared paper": Kind(lines=("squares",)),
    "pencil": Kind(pens=("pencil",), contrast=0.6),
    "shadow": Kind(lights=("hard shadow", "soft shadow", "hand shadow")),
    "glare": Kind(lights=("glare",), grounds=("white", "yellow", "grey")),
    "table": Kind(table=1.0, size=(0.12, 0.6)),
    "finger": Kind(finger=1.0, size=(0.15, 0.6)),
    "small in picture": Kind(size=(0.1, 0.18), turn=15),
    "large in picture": Kind(size=(0.75, 0.95), pens=("marker", "pen")),
    "blurred and noisy": Kind(blur=(1.5, 4.0), noise=(0.02, 0.08), quality=(25, 60)),
    "creased and dirty": Kind(dirt=1.0),
    "whiteboard": Kind(grounds=("white",), pens=("board",), lights=("glare", "gradient"), dirt=0.5),
    "blackboard": Kind(grounds=tuple(BOARDS), pens=("chalk",), dirt=0.3),
    "everything": Kind(
        grounds=(*PAPERS,),
        lines=("none", "ruled", "squares", "ruled and margin"),
        table=0.5,
        lights=("gradient", "hard shadow", "soft shadow", "hand shadow", "glare", "vignette"),
        finger=0.3,
        dirt=0.5,
        size=(0.12, 0.7),
        turn=15,
    ),
}
BLANKS: dict[str, Kind] = {
    "blank paper": Kind(digit=False, dirt=0.0),
    "blank lined": Kind(digit=False, dirt=0.0, lines=("ruled", "squares", "ruled and margin")),
}


# --- The digit


@dataclass(frozen=True)
class Shape:
    """A digit's shape at `SIDE` pixels: how far each pixel lies from its ink, and its skeleton."""

    digit: int
    edge: np.ndarray = field(repr=False)  # (SIDE, SIDE), negative inside the ink
    middle: np.ndarray = field(repr=False)  # (n, 2, 2) line segments from x, y to x, y

    def inked(self, size: int, width: float | None) -> np.ndarray:
        """Ink, `(size, size)`, with a stroke `width` pixels wide or its own."""
        scale = size / SIDE
        if width is None:
            far = cv2.resize(self.edge * scale, (size, size), interpolation=cv2.INTER_CUBIC)
            return np.clip(0.5 - far, 0, 1)
        # Drawn larger where it is thin: OpenCV's lines are a whole number of pixels wide.
        fine = max(1, int(np.ceil(4 / width)))
        ink = np.zeros((size * fine, size * fine), np.uint8)
        lines = np.round((self.middle + 0.5) * scale * fine * 16).astype(np.int32)
        cv2.polylines(ink, [*lines], False, 255, round(width * fine), cv2.LINE_AA, shift=4)
        ink = cv2.resize(ink, (size, size), interpolation=cv2.INTER_AREA)
        return ink.astype(np.float32) / 255

    def is_kept_by_its_skeleton(self) -> bool:
        """Whether a pen that follows the skeleton draws this shape, with its parts and holes.

        A thin or filled digit may lose its loop or gain a spur, and nobody could read it then.
        """
        own = self.inked(SIDE, None)
        again = self.inked(SIDE, stroke_width(own)) > 0.5
        own = own > 0.5
        return (own & again).sum() > SAME * (own | again).sum() and parts(own) == parts(again)


def shape(ink: np.ndarray, digit: int) -> Shape:
    """The shape of ink of any size."""
    ink = crop(ink, 0.3)
    scale = (SIDE - 2 * BORDER) / max(ink.shape)
    size = [max(1, round(side * scale)) for side in ink.shape[::-1]]
    method = cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA
    ink = cv2.GaussianBlur(cv2.resize(ink, size, interpolation=method), (0, 0), 1.5)
    top, left = (SIDE - size[1]) // 2, (SIDE - size[0]) // 2
    whole = np.zeros((SIDE, SIDE), np.float32)
    whole[top : top + size[1], left : left + size[0]] = ink
    mask = (whole > 0.5).astype(np.uint8)
    smooth = (cv2.GaussianBlur(whole, (0, 0), 3) > 0.45).astype(np.uint8)  # fewer spurs
    inside, outside = (cv2.distanceTransform(m, cv2.DIST_L2, 5) for m in (mask, 1 - mask))
    edge = cv2.GaussianBlur(outside - inside, (0, 0), 1)
    return Shape(digit, edge, segments(pruned(skeleton(smooth))))


def parts(mask: np.ndarray) -> tuple[int, int]:
    """How many parts a mask has, and how many its ground: one more than it has holes."""
    ink, ground = mask.astype(np.uint8), np.pad(~mask, 1, constant_values=True).astype(np.uint8)
    ink_count, _ = cv2.connectedComponents(ink)
    ground_count, _ = cv2.connectedComponents(ground, connectivity=4)
    return ink_count - 1, ground_count - 1


def pruned(thin: np.ndarray, length: int = 5) -> np.ndarray:
    """A skeleton without short spurs; its ends are shortened as much."""
    for _ in range(length):
        neighbours = cv2.filter2D(thin, -1, np.ones((3, 3))) - thin
        thin = thin * (neighbours > 1)
    return thin


def segments(thin: np.ndarray) -> np.ndarray:
    """Neighbouring pixels of a skeleton as `(n, 2, 2)` lines, smoothed along the stroke."""
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float32)
    weight = cv2.blur(thin.astype(np.float32), (5, 5)) + 1e-9
    smooth = np.dstack([cv2.blur(thin * axis, (5, 5)) / weight for axis in (x, y)])
    lines = []
    for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
        rows, columns = np.nonzero(thin & np.roll(thin, (-down, -right), (0, 1)))
        ends = smooth[rows, columns], smooth[rows + down, columns + right]
        lines.append(np.stack(ends, axis=1))
    return np.concatenate(lines)


def skeleton(mask: np.ndarray) -> np.ndarray:
    """Thinning by hit-or-miss with eight turned kernels (Gonzalez and Woods, chapter 9)."""
    corner = np.array([[0, -1, -1], [1, 1, -1], [0, 1, 0]])
    side = np.array([[-1, -1, -1], [0, 1, 0], [1, 1, 1]])
    kernels = [np.rot90(kernel, turn) for turn in range(4) for kernel in (side, corner)]
    while True:
        before = mask.sum()
        for kernel in kernels:
            mask = mask - cv2.morphologyEx(mask, cv2.MORPH_HITMISS, kernel.astype(np.int32))
        if mask.sum() == before:
            return mask


class Digits:
    """MNIST test digits and generated strokes, in ways that training does not see, by turns.

    Those whose shape a pen along their skeleton does not draw again are left out.
    """

    def __init__(self, data_dir: str) -> None:
        self.frames, self.labels = data.load("mnist", data_dir, train=False)

    def draw(self, rng: np.random.Generator) -> Shape:
        while not (digit := self._any(rng)).is_kept_by_its_skeleton():
            pass
        return digit

    def _any(self, rng: np.random.Generator) -> Shape:
        if rng.random() < 0.5:
            index = rng.integers(len(self.frames))
            return shape(self.frames[index].numpy() / np.float32(255), int(self.labels[index]))
        digit = int(rng.integers(10))
        return shape(strokes.draw(digit, rng, SIDE, held_out=True, brush=PEN), digit)


# --- Photographs


def clouds(
    height: int, width: int, cells: float, rng: np.random.Generator, stretch: float = 1
) -> np.ndarray:
    """Smooth noise about 0, `(height, width)`, of about `cells` lumps along the longer side."""
    step = max(height, width) / cells
    coarse = max(2, int(height / step * stretch)), max(2, int(width / step))
    noise = rng.standard_normal(coarse, np.float32)
    return cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)


def photograph(digit: Shape, kind: Kind, rng: np.random.Generator) -> tuple[bytes, np.ndarray]:
    """A JPEG file and the true ink of a digit on paper or a board."""
    longer = int(rng.integers(400, 900))
    height, width = longer, int(longer * rng.choice([0.75, 0.5625, 1.0]))
    if rng.random() < 0.5:
        height, width = width, height
    sheet = ground(height, width, kind, rng)
    ink, strength = placed(digit, height, width, kind, rng)
    if kind.digit:
        sheet = written(sheet, strength, pen_colour(kind, rng), rng)
    if rng.random() < kind.dirt:
        sheet = dirty(sheet, min(height, width), rng)
    sheet, ink = seen(sheet, ink, kind, rng)
    sheet = sheet * light(height, width, rng.choice(kind.lights), rng)
    if rng.random() < kind.finger:
        sheet = with_finger(sheet, rng)
    return camera(sheet, kind, rng), ink


def ground(height: int, width: int, kind: Kind, rng: np.random.Generator) -> np.ndarray:
    """Paper or board, `(H, W, 3)` in [0, 1], with its texture and its printed lines."""
    colour = np.array({**PAPERS, **BOARDS}[rng.choice(kind.grounds)], np.float32) / 255
    grain = 1 + rng.uniform(0, 0.012) * clouds(height, width, 200, rng)
    grain += rng.uniform(0, 0.015) * clouds(height, width, 12, rng)
    sheet = colour * grain[..., None]
    side, lines = min(height, width), rng.choice(kind.lines)
    if lines == "none":
        return sheet
    share = np.array(LINES[rng.choice([*LINES])], np.float32) / 255
    step, thick = rng.uniform(0.05, 0.2) * side, max(1, round(rng.uniform(0.002, 0.007) * side))
    mask = np.zeros((height, width), np.float32)
    for y in np.arange(rng.uniform(0, step), height, step):
        cv2.line(mask, (0, int(y)), (width, int(y)), 1, thick)
    if lines == "squares":
        for x in np.arange(rng.uniform(0, step), width, step):
            cv2.line(mask, (int(x), 0), (int(x), height), 1, thick)
    sheet = sheet * (1 - mask[..., None] * (1 - share))
    if lines == "ruled and margin":
        x = int(rng.uniform(0.08, 0.25) * width)
        cv2.line(sheet, (x, 0), (x, height), (0.9, 0.5, 0.5), thick)
    return sheet


def placed(
    digit: Shape, height: int, width: int, kind: Kind, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """The true ink on the sheet, and how strongly the pen covers each pixel."""
    side = min(height, width)
    size = int(rng.uniform(*kind.size) * side * SIDE / (SIDE - 2 * BORDER))
    pen = rng.choice(kind.pens)
    thick = {
        "ballpoint": (0.006, 0.012),
        "pencil": (0.006, 0.015),
        "pen": (0.008, 0.025),
        "marker": (0.03, 0.12),
        "board": (0.02, 0.06),
        "chalk": (0.02, 0.06),
    }[pen]
    stroke = np.clip(rng.uniform(*thick) * side, max(2.0, 0.025 * size), 0.16 * size)
    ink = digit.inked(size, None if rng.random() < 0.2 else stroke)
    whole = np.zeros((height + 2 * size, width + 2 * size), np.float32)
    inner = SIDE / (SIDE - 2 * BORDER)
    slack = [max(0, s - size / inner) for s in (height, width)]
    top, left = (
        int(size + rng.uniform(0.04, 0.96) * s - size * (1 - 1 / inner) / 2) for s in slack
    )
    whole[top : top + size, left : left + size] = ink
    ink = np.ascontiguousarray(whole[size:-size, size:-size])
    return ink, ink * cover(height, width, pen, rng) * kind.contrast


def cover(height: int, width: int, pen: str, rng: np.random.Generator) -> np.ndarray:
    """How much ink a pen leaves: grainy for pencil and chalk, even for the others."""
    gaps = {"pencil": 0.25, "chalk": 0.25, "board": 0.1, "ballpoint": 0.1}.get(pen, 0.04)
    full = {"pencil": 0.8, "chalk": 0.8}.get(pen, 0.9)
    grain = clouds(height, width, 300, rng) + 0.5 * clouds(height, width, 30, rng)
    return np.clip(full + gaps * grain, 0.25, 1)


def pen_colour(kind: Kind, rng: np.random.Generator) -> np.ndarray:
    if "chalk" in kind.pens:
        return np.array(CHALKS[rng.choice([*CHALKS])], np.float32) / 255
    if kind.pens == ("pencil",):
        return np.array(PENCIL, np.float32) / 255
    return np.array(INKS[rng.choice([*INKS])], np.float32) / 255


def written(
    sheet: np.ndarray, strength: np.ndarray, colour: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    strength = strength[..., None]
    return sheet * (1 - strength) + colour * strength


def dirty(sheet: np.ndarray, side: int, rng: np.random.Generator) -> np.ndarray:
    """Specks, a crease, and writing that shines through from the other side."""
    height, width = sheet.shape[:2]
    marks = np.ones((height, width), np.float32)
    for _ in range(rng.integers(1, 30)):
        centre = int(rng.integers(width)), int(rng.integers(height))
        radius = max(1, round(rng.uniform(0.001, 0.006) * side))
        cv2.circle(marks, centre, radius, float(rng.uniform(0.3, 0.9)), -1, cv2.LINE_AA)
    if rng.random() < 0.6:
        ends = rng.uniform(0, 1, (2, 2)) * (width, height)
        across = ends[1] - ends[0]
        y, x = np.mgrid[:height, :width].astype(np.float32)
        far = (x - ends[0, 0]) * across[1] - (y - ends[0, 1]) * across[0]
        far /= np.linalg.norm(across) + 1
        reach = rng.uniform(0.004, 0.02) * side
        marks *= 1 - rng.uniform(0.05, 0.2) * np.sign(far) * np.exp(-np.abs(far) / reach)
    if rng.random() < 0.5:
        other = np.zeros((height, width), np.uint8)
        text = "".join(rng.choice([*"abcdefgh nopqrst"], 14))
        scale = side / 300
        for y in np.arange(0.1, 1.2, rng.uniform(0.1, 0.25)):
            spot = int(-0.1 * width), int(y * height)
            cv2.putText(other, text, spot, cv2.FONT_HERSHEY_SCRIPT_SIMPLEX, scale, 1, 2)
        other = cv2.GaussianBlur(other[:, ::-1].astype(np.float32), (0, 0), 0.004 * side)
        marks *= 1 - rng.uniform(0.04, 0.12) * other
    return sheet * marks[..., None]


def seen(
    sheet: np.ndarray, ink: np.ndarray, kind: Kind, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """The sheet turned and in perspective; beyond its edge, where it shows, lies a table."""
    height, width = ink.shape
    corners = np.float32([[0, 0], [width, 0], [width, height], [0, height]])
    turn = np.radians(rng.uniform(-kind.turn, kind.turn))
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    to = (corners - corners.mean(0)) @ rotation.T + corners.mean(0)
    to += rng.uniform(-0.05, 0.05, (4, 2)) * min(height, width)
    shown = rng.random() < kind.table
    if shown:  # the sheet is drawn in, from some sides or from all
        inward = np.sign(corners.mean(0) - corners)
        drawn = rng.uniform(0.02, 0.2, (2, 2)) * (rng.random((2, 2)) < 0.6)
        for corner in range(4):
            right, low = int(corner in (1, 2)), int(corner in (2, 3))
            to[corner] += inward[corner] * (drawn[0, right] * width, drawn[1, low] * height)
    matrix = cv2.getPerspectiveTransform(corners, to.astype(np.float32))
    size = width, height
    edge = cv2.BORDER_CONSTANT if shown else cv2.BORDER_REFLECT
    out = cv2.warpPerspective(sheet, matrix, size, flags=cv2.INTER_LINEAR, borderMode=edge)
    ink = cv2.warpPerspective(ink, matrix, size, flags=cv2.INTER_LINEAR)
    if shown:
        there = np.ones((height, width), np.float32)
        there = cv2.warpPerspective(there, matrix, size, flags=cv2.INTER_LINEAR)[..., None]
        under = 1 - cv2.GaussianBlur(there, (0, 0), 0.01 * width)[..., None] * 0.4
        out = out + (1 - there) * table(height, width, rng) * under
    return out, ink


def table(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    name = rng.choice([*TABLES])
    colour = np.array(TABLES[name], np.float32) / 255
    if "cloth" in name:
        y, x = np.mgrid[:height, :width]
        step = rng.uniform(3, 9)
        weave = 0.08 * (np.sin(2 * np.pi * x / step) + np.sin(2 * np.pi * y / step))
        return colour * (1 + weave + 0.03 * clouds(height, width, 30, rng))[..., None]
    grain = clouds(height, width, 5, rng, stretch=rng.uniform(4, 30))
    if rng.random() < 0.5:
        grain = clouds(width, height, 5, rng, stretch=rng.uniform(4, 30)).T
    strength = 0.02 if name in ("dark", "grey") else rng.uniform(0.04, 0.12)
    return colour * (1 + strength * grain)[..., None]


def light(height: int, width: int, name: str, rng: np.random.Generator) -> np.ndarray:
    """How brightly each pixel is lit, `(H, W, 3)`; lamps and shadows have a tint."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    x, y = x / width - 0.5, y / height - 0.5
    angle = rng.uniform(0, 2 * np.pi)
    along = np.cos(angle) * x + np.sin(angle) * y
    lit = 1 + rng.uniform(0, 0.6) * along
    if name == "even":
        lit = np.ones_like(along)
    if name == "vignette":
        lit = 1 - rng.uniform(0.3, 1.2) * (x**2 + y**2)
    if name == "glare":
        spot = rng.uniform(-0.5, 0.5, 2)
        reach = rng.uniform(0.01, 0.05)
        glow = np.exp(-((x - spot[0]) ** 2 + (y - spot[1]) ** 2) / reach)
        lit = 0.85 * lit * (1 + rng.uniform(0.2, 0.8) * glow)
    if "shadow" in name:
        if name == "hand shadow":
            spot, reach = rng.uniform(-0.5, 0.5, 2), rng.uniform(0.15, 0.4)
            bumps = 1 + 0.3 * np.sin(3 * np.arctan2(y - spot[1], x - spot[0]) + angle)
            dark = (np.hypot(x - spot[0], y - spot[1]) < reach * bumps).astype(np.float32)
        else:
            dark = (along > rng.uniform(-0.3, 0.3)).astype(np.float32)
            if rng.random() < 0.4:  # a corner
                dark *= -np.sin(angle) * x + np.cos(angle) * y > rng.uniform(-0.3, 0.1)
        soft = (0.002, 0.008) if name == "hard shadow" else (0.01, 0.06)
        dark = cv2.GaussianBlur(dark, (0, 0), rng.uniform(*soft) * max(height, width))
        lit = lit * (1 - rng.uniform(0.2, 0.6) * dark)
    tint = rng.uniform(0.92, 1.0, 3).astype(np.float32)
    return rng.uniform(0.6, 1.05) * lit[..., None] * tint


def with_finger(sheet: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A finger, or two, that holds the sheet at an edge; with its shadow."""
    height, width = sheet.shape[:2]
    side = min(height, width)
    mask = np.zeros((height, width), np.float32)
    edge, along = rng.integers(4), rng.uniform(0.05, 0.95)
    for _ in range(rng.integers(1, 3)):
        start = np.array([(along, 0), (1, along), (along, 1), (0, along)][edge]) * (width, height)
        inward = np.array([(0, 1), (-1, 0), (0, -1), (1, 0)][edge]) * side
        tip = start + inward * rng.uniform(0.02, 0.14) + rng.uniform(-0.05, 0.05, 2) * side
        wide = int(rng.uniform(0.06, 0.14) * side)
        ends = [tuple(int(v) for v in point) for point in (start - inward * 0.1, tip)]
        cv2.line(mask, *ends, 1, wide, cv2.LINE_AA)
        along = np.clip(along + rng.choice([-1, 1]) * 0.13, 0, 1)
    skin = np.array([(225, 180, 150), (190, 140, 105), (120, 80, 60)][rng.integers(3)]) / 255
    round_ = cv2.GaussianBlur(mask, (0, 0), 0.02 * side)[..., None]
    shade = cv2.GaussianBlur(np.roll(mask, (side // 60, side // 80), (0, 1)), (0, 0), 0.01 * side)
    sheet = sheet * (1 - 0.35 * shade[..., None])
    mask = cv2.GaussianBlur(mask, (0, 0), 1.5)[..., None]
    return sheet * (1 - mask) + skin * (0.5 + 0.5 * round_) * mask


def camera(sheet: np.ndarray, kind: Kind, rng: np.random.Generator) -> bytes:
    """Blur, noise, and JPEG."""
    sheet = np.clip(sheet, 0, 1).astype(np.float32)
    blur = rng.uniform(*kind.blur)
    if blur > 0.3:
        sheet = cv2.GaussianBlur(sheet, (0, 0), blur)
    if rng.random() < 0.3 and blur > 0.5:  # a moving hand
        length = max(2, round(3 * blur))
        kernel = np.zeros((length, length), np.float32)
        kernel[[*range(length)], [*range(length)] if rng.random() < 0.5 else length // 2] = 1
        sheet = cv2.filter2D(sheet, -1, kernel / kernel.sum())
    grey, colour = (rng.standard_normal((*sheet.shape[:2], c), np.float32) for c in (1, 3))
    noise = grey + 0.5 * colour
    sheet = sheet + rng.uniform(*kind.noise) * noise
    return encoded(sheet, "JPEG", quality=int(rng.integers(*kind.quality)))


def encoded(pixels: np.ndarray, format_: str = "PNG", **options: int) -> bytes:
    stream = io.BytesIO()
    pixels = np.round(np.clip(pixels, 0, 1) * 255).astype(np.uint8)
    Image.fromarray(pixels).save(stream, format_, **options)
    return stream.getvalue()


# --- Flat pictures: sketches, paint programs, scans


def sketch(digit: Shape, hard: bool, rng: np.random.Generator) -> tuple[bytes, np.ndarray]:
    """A canvas: plain is black on white, hard is anywhere, of any size, brush, colour and turn."""
    side = int(rng.integers(200, 600)) if hard else 400
    share = rng.uniform(0.15, 0.95) if hard else rng.uniform(0.45, 0.75)
    size = int(share * side * SIDE / (SIDE - 2 * BORDER))
    brush = rng.uniform(0.02, 0.2) if hard else rng.uniform(0.05, 0.1)
    ink = digit.inked(size, max(1.5, brush * size))
    if hard:
        turn = cv2.getRotationMatrix2D((size / 2, size / 2), rng.uniform(-15, 15), 1)
        ink = cv2.warpAffine(ink, turn, (size, size))
    ink = on_canvas(ink, side, side, rng, anywhere=hard)
    if rng.random() < 0.3:
        ink = (ink > 0.5).astype(np.float32)  # aliased
    paper, pen = colours(rng) if hard else (np.ones(3), np.zeros(3))
    picture = paper + ink[..., None] * (pen - paper)
    if hard and rng.random() < 0.3:
        return encoded(picture, "JPEG", quality=int(rng.integers(40, 95))), ink
    return encoded(picture), ink


# What may be changed about a sketch that is black on white, in the middle and of middle size.
CHANGES: dict[str, dict] = {
    "as usual": {},
    **{f"stroke {share:.0%} of the height": {"stroke": share} for share in (0.02, 0.05, 0.16, 0.2)},
    **{f"{share:.0%} of the canvas high": {"height": share} for share in (0.05, 0.1, 0.3, 0.95)},
    "in the upper left corner": {"place": (0, 0)},
    "at the right edge": {"place": (0.5, 1)},
    "at the bottom": {"place": (1, 0.5)},
    **{f"turned by {turn:+}°": {"turn": turn} for turn in (-30, -20, -10, 10, 20, 30)},
    "white on black": {"paper": (0, 0, 0), "pen": (1, 1, 1)},
    "yellow on white": {"pen": (1, 0.9, 0.2)},
    "light grey on white": {"pen": (0.8, 0.8, 0.8)},
    "red on blue": {"paper": (0.2, 0.3, 0.8), "pen": (0.8, 0.2, 0.2)},
}


def changed_sketch(
    digit: Shape,
    rng: np.random.Generator,
    stroke: float = 0.08,  # of the digit's height
    height: float = 0.6,  # of the canvas
    place: tuple[float, float] = (0.5, 0.5),  # down and right, of the room that is left
    turn: float = 0,  # degrees
    paper: tuple[float, float, float] = (1, 1, 1),
    pen: tuple[float, float, float] = (0, 0, 0),
    side: int = 400,
) -> bytes:
    """A sketch of which everything is given but how steady the hand is."""
    size = round(1.5 * height * side)
    matrix = cv2.getRotationMatrix2D((size / 2, size / 2), turn + rng.normal(0, 2), 1)
    inner = SIDE / (SIDE - 2 * BORDER)
    drawn = digit.inked(round(height * side * inner), max(1.5, stroke * height * side))
    room = size - len(drawn)
    ink = crop(
        cv2.warpAffine(np.pad(drawn, (room // 2, room - room // 2)), matrix, (size, size)), 0.3
    )
    ink = ink[:side, :side]
    top, left = (round(at * (side - length)) for at, length in zip(place, ink.shape, strict=True))
    canvas = np.zeros((side, side, 1), np.float32)
    canvas[top : top + ink.shape[0], left : left + ink.shape[1], 0] = ink
    return encoded(paper + canvas * (np.array(pen) - paper))


def colours(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Ground and ink, any two that the eye tells apart."""
    while True:
        paper, pen = rng.random((2, 3)) ** rng.choice([0.2, 1.0, 4.0], (2, 1))
        if abs((pen - paper) @ (0.3, 0.6, 0.1)) > 0.3:
            return paper, pen


def on_canvas(
    ink: np.ndarray, height: int, width: int, rng: np.random.Generator, anywhere: bool
) -> np.ndarray:
    """Put ink on a canvas; anywhere: so that the digit's box just stays on it."""
    ink = crop(ink, 0.3)
    ink = ink[:height, :width]
    slack = height - ink.shape[0], width - ink.shape[1]
    top, left = (int(s * (rng.uniform(0, 1) if anywhere else rng.uniform(0.4, 0.6))) for s in slack)
    canvas = np.zeros((height, width), np.float32)
    canvas[top : top + ink.shape[0], left : left + ink.shape[1]] = ink
    return canvas


def small(digit: Shape, rng: np.random.Generator) -> tuple[bytes, np.ndarray]:
    """A drawing of 28 to 60 pixels, aliased or not."""
    side = int(rng.integers(28, 61))
    size = int(rng.uniform(0.6, 0.98) * side * SIDE / (SIDE - 2 * BORDER))
    ink = on_canvas(digit.inked(size, rng.uniform(1.5, 0.14 * size)), side, side, rng, True)
    if rng.random() < 0.5:
        ink = (ink > 0.5).astype(np.float32)
    dark = rng.random() < 0.5
    return encoded(ink if dark else 1 - ink), ink


def paint(digit: Shape, rng: np.random.Generator) -> tuple[bytes, np.ndarray]:
    """A paint program: wide canvases, round and square brushes, odd formats, transparency."""
    height, width = (int(v) for v in rng.integers(150, 900, 2))
    size = int(rng.uniform(0.3, 0.95) * min(height, width) * SIDE / (SIDE - 2 * BORDER))
    ink = digit.inked(size, max(1.5, rng.uniform(0.008, 0.16) * size))
    ink = on_canvas((ink > 0.5).astype(np.float32), height, width, rng, True)
    way = rng.choice(["palette", "transparent", "jpeg", "spray", "texture"])
    paper, pen = colours(rng)
    if way == "spray":
        strength = (ink * (rng.random(ink.shape) < rng.uniform(0.4, 0.9))).astype(np.float32)
        return encoded(paper + strength[..., None] * (pen - paper)), ink
    if way == "texture":
        strength = ink * np.clip(0.8 + 0.2 * clouds(height, width, 60, rng), 0.3, 1)
        return encoded(paper + strength[..., None] * (pen - paper)), ink
    picture = paper + ink[..., None] * (pen - paper)
    if way == "transparent":
        pen = np.broadcast_to(pen, (height, width, 3))
        return encoded(np.dstack([pen, ink])), ink
    if way == "jpeg":
        return encoded(picture, "JPEG", quality=int(rng.integers(25, 90))), ink
    return encoded(picture), ink


def scan(digit: Shape, rng: np.random.Generator) -> tuple[bytes, np.ndarray]:
    """A scanner: even light, noise, sometimes dark borders, sometimes black and white."""
    height, width = (int(v) for v in rng.integers(250, 900, 2))
    kind = Kind(size=(0.15, 0.85), lines=("none", "none", "ruled", "squares"))
    ink, strength = placed(digit, height, width, kind, rng)
    sheet = written(ground(height, width, kind, rng), strength, pen_colour(kind, rng), rng)
    if rng.random() < 0.5:
        sheet = dirty(sheet, min(height, width), rng)
    sheet = np.clip(sheet * rng.uniform(0.95, 1.1) + rng.normal(0, 0.01, sheet.shape), 0, 1)
    if rng.random() < 0.5:  # the lid stood open
        for _ in range(rng.integers(1, 4)):
            band = max(2, int(rng.uniform(0.005, 0.06) * min(height, width)))
            edge = [np.s_[:band], np.s_[-band:], np.s_[:, :band], np.s_[:, -band:]][rng.integers(4)]
            sheet[edge] = rng.uniform(0, 0.25)
            ink[edge] = 0
    if rng.random() < 0.3:
        sheet = (sheet.mean(2) > 0.55).astype(np.float32)
    elif rng.random() < 0.3:
        sheet = sheet.mean(2)
    if rng.random() < 0.5:
        return encoded(sheet, "JPEG", quality=int(rng.integers(40, 95))), ink
    return encoded(sheet), ink


MAKERS = {
    "plain sketch": lambda digit, rng: sketch(digit, False, rng),
    "hard sketch": lambda digit, rng: sketch(digit, True, rng),
    "small drawing": small,
    "paint": paint,
    "scan": scan,
    **{
        name: lambda digit, rng, kind=kind: photograph(digit, kind, rng)
        for name, kind in {**SLICES, **BLANKS}.items()
    },
}


def picture(name: str, index: int, digits: Digits) -> tuple[bytes, np.ndarray, int | None]:
    """A slice's picture as a file, its true ink, and its digit; None for a blank one."""
    rng = np.random.default_rng((zlib.crc32(name.encode()), index))
    digit = digits.draw(rng)
    file, ink = MAKERS[name](digit, rng)
    if name in BLANKS:
        return file, np.zeros_like(ink), None
    return file, ink, digit.digit


# --- Measuring


def measure(
    name: str, n: int, digits: Digits, model: MnistCNN
) -> tuple[int, int, list[np.ndarray]]:
    """Pictures read, pictures read from the true ink, and the finder's mistakes as pictures."""
    right, possible, mistakes = 0, 0, []
    for index in range(n):
        file, ink, digit = picture(name, index, digits)
        answer, best = model.predict(file), read_frames(model, frame(ink)[None])[0]
        right += answer.digit == digit
        possible += best.digit == digit
        if answer.digit != digit and best.digit == digit:
            title = f"{index}: {digit} as {answer.digit}"
            mistakes.append(shown(file, best.frame, answer.frame, title))
    return right, possible, mistakes


def shown(
    file: bytes, true: np.ndarray, found: np.ndarray, title: str, side: int = 230
) -> np.ndarray:
    """Picture, true frame and found frame beside each other."""
    image = np.asarray(Image.open(io.BytesIO(file)).convert("RGB"))
    scale = side / max(image.shape[:2])
    image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    tile = np.full((side + 20, 2 * side, 3), 128, np.uint8)
    tile[20 : 20 + image.shape[0], : image.shape[1]] = image
    for spot, small_ in enumerate((true, found)):
        large = cv2.resize(small_, (108, 108), interpolation=cv2.INTER_NEAREST)
        tile[20 + 112 * spot : 128 + 112 * spot, side + 4 : side + 112] = large[..., None]
    cv2.putText(tile, title, (2, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 255, 255), 1)
    return tile[:, : side + 116]


def save_sheet(tiles: list[np.ndarray], file: Path, columns: int = 5) -> None:
    tiles = tiles[:40]
    blank = np.full_like(tiles[0], 60)
    tiles = tiles + [blank] * (-len(tiles) % columns)
    rows = [np.hstack(tiles[start : start + columns]) for start in range(0, len(tiles), columns)]
    Image.fromarray(np.vstack(rows)).save(file)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=100, help="pictures per slice")
    parser.add_argument("--data-dir", default="data")
    parser.add_argument("--sheet", type=Path, help="folder for pictures of the mistakes")
    parser.add_argument("--only", nargs="*", choices=[*MAKERS], help="slices to measure")
    args = parser.parse_args()
    digits, model = Digits(args.data_dir), load_model()
    print(f"{'slice':20} {'n':>5} {'read':>7} {'true ink':>9}")
    totals = np.zeros(3, int)
    for name in args.only or MAKERS:
        right, possible, mistakes = measure(name, args.n, digits, model)
        print(f"{name:20} {args.n:5} {right / args.n:7.1%} {possible / args.n:9.1%}", flush=True)
        totals += right, possible, args.n
        if args.sheet and mistakes:
            args.sheet.mkdir(parents=True, exist_ok=True)
            save_sheet(mistakes, args.sheet / f"{name.replace(' ', '-')}.png")
    print(f"{'all':20} {totals[2]:5} {totals[0] / totals[2]:7.1%} {totals[1] / totals[2]:9.1%}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
