"""How well rows of digits are read: `python -m benchmarks.rows --n 200 --sheet DIR`.

Rows are made by the program from generated strokes and from MNIST test digits: one to eight digits,
one to three lines, with space between them or touching, in any colours or on photographed paper.
"""

import argparse
import itertools
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from mnist_cnn import data, load_model
from mnist_cnn.data.drawn import strokes
from mnist_cnn.data.drawn.lines import WrittenLine, write_line
from mnist_cnn.model import MnistCNN
from mnist_cnn.reading.lattice import Reading

SOURCES, SPACINGS, SURFACES = ("drawn", "mnist"), ("spaced", "touching"), ("clean", "photo")
SHEET_WIDTH, SHEET_ROWS = 700, 10  # pixels; mistakes in a column of a sheet
Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Kind:
    """One slice of the benchmark."""

    source: str
    spacing: str
    surface: str


@dataclass(frozen=True, eq=False)
class Page:
    """A picture of writing and what is written."""

    kind: Kind
    picture: np.ndarray  # (H, W, 3) uint8
    text: str  # lines joined by "\n"
    boxes: tuple[Box, ...]  # x, y, width, height of each digit in reading order


class Generator:
    """Makes rows; `frames` and `labels` are the MNIST test set."""

    def __init__(self, frames: np.ndarray, labels: np.ndarray, seed: int) -> None:
        self.frames, self.labels = frames, labels
        self.rng = np.random.default_rng(seed)

    def row(self, kind: Kind, lengths: list[int] | None = None) -> Page:
        """A row of a kind, by default with one line (two times in three) to three lines."""
        rng = self.rng
        if lengths is None:
            count = rng.choice([1, 2, 3], p=[0.66, 0.2, 0.14])
            lengths = rng.integers(1, 9, count).tolist()
        height = rng.uniform(28, 110) if kind.surface == "clean" else rng.uniform(50, 130)
        source = (self.frames, self.labels) if kind.source == "mnist" else None
        brush = strokes.Brush.random(rng, fattest=0.12)  # one pen writes a page
        touching = kind.spacing == "touching"
        lines = [write_line(rng, length, height, touching, source, brush) for length in lengths]
        ink, boxes = self._page(lines, height)
        picture = self._coloured(ink) if kind.surface == "clean" else self._photo(ink)
        text = "\n".join("".join(map(str, line.labels)) for line in lines)
        return Page(kind, picture, text, tuple(boxes))

    def _page(self, lines: list[WrittenLine], height: float) -> tuple[np.ndarray, list[Box]]:
        """Lines below each other, with margins."""
        rng, placed, spots = self.rng, [], []
        y = round(rng.uniform(0.3, 1.2) * height)
        for line in lines:
            inked = np.flatnonzero((line.ink > 0).any(1))
            x = round(rng.uniform(0.3, 1.5) * height)
            spots.append((line.ink[inked[0] : inked[-1] + 1], x, y))
            placed += [(bx + x, by - int(inked[0]) + y, w, h) for bx, by, w, h in line.boxes]
            y += inked[-1] + 1 - inked[0] + round(rng.uniform(0.3, 1.0) * height)
        right = max(x + int(np.flatnonzero((ink > 0).any(0))[-1]) for ink, x, _ in spots)
        page = np.zeros((y + round(0.3 * height), right + round(0.8 * height)), np.float32)
        for ink, x, y in spots:
            place = page[y : y + len(ink), x:]
            place[:, : ink.shape[1]] = ink[:, : place.shape[1]]
        return page, placed

    def _coloured(self, ink: np.ndarray) -> np.ndarray:
        """Dark on light, light on dark, or two colours apart."""
        rng = self.rng
        dark, light = rng.uniform(0, 0.3, 3), rng.uniform(0.8, 1, 3)
        colours = {"black": (np.zeros(3), np.ones(3)), "colour": (dark, light)}
        pen, ground = colours[rng.choice(["black", "colour"])]
        if rng.random() < 0.3:
            pen, ground = ground, pen
        picture = ground + (pen - ground) * ink[..., None]
        return np.round(picture * 255).astype(np.uint8)

    def _photo(self, ink: np.ndarray) -> np.ndarray:
        """Paper under uneven light, a little blurred, with noise and JPEG's traces."""
        rng = self.rng
        height, width = ink.shape
        y, x = np.mgrid[0:height, 0:width] / max(height, width) - 0.5
        angle = rng.uniform(0, 2 * np.pi)
        light = 1 + rng.uniform(0, 0.5) * (x * np.cos(angle) + y * np.sin(angle))
        paper = rng.uniform(0.6, 0.85) * np.array([1, 1, rng.uniform(0.85, 1)])
        pen = paper * rng.uniform(0.1, 0.45, 3)
        picture = (paper + (pen - paper) * ink[..., None]) * light[..., None]
        picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.4, 1.5))
        picture += rng.normal(0, rng.uniform(0.005, 0.025), picture.shape)
        picture = np.round(np.clip(picture, 0, 1) * 255).astype(np.uint8)
        quality = int(rng.integers(50, 95))
        packed = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        return cv2.imdecode(packed, cv2.IMREAD_COLOR)[..., ::-1]


def sheets(mistakes: list[tuple[Page, Reading]], folder: Path) -> None:
    """Pictures of the mistakes with what was read (red) and what is written (green)."""
    folder.mkdir(parents=True, exist_ok=True)
    tiles = [tile(row, reading) for row, reading in mistakes]
    for number, start in enumerate(range(0, len(tiles), 3 * SHEET_ROWS)):
        columns = []
        for first in range(start, min(start + 3 * SHEET_ROWS, len(tiles)), SHEET_ROWS):
            columns.append(np.vstack(tiles[first : first + SHEET_ROWS]))
        tallest = max(map(len, columns))
        padded = [np.pad(c, ((0, tallest - len(c)), (0, 0), (0, 0))) for c in columns]
        cv2.imwrite(str(folder / f"mistakes{number}.png"), np.hstack(padded)[..., ::-1])


def tile(row: Page, reading: Reading) -> np.ndarray:
    picture = row.picture.copy()
    for digit in reading.digits:
        x, y, w, h = digit.box
        cv2.rectangle(picture, (x, y), (x + w, y + h), (255, 0, 0), max(1, picture.shape[1] // 300))
    scale = min(SHEET_WIDTH / picture.shape[1], 2.5)
    picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    picture = np.pad(picture, ((22, 4), (0, SHEET_WIDTH - picture.shape[1]), (0, 0)))
    kind = f"{row.kind.source[0]}{row.kind.spacing[0]}{row.kind.surface[0]}"
    says = f"{kind} {row.text!r} read {reading.text!r}"
    cv2.putText(picture, says, (4, 15), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255, 255, 0), 1)
    return picture


def measure(model: MnistCNN, rows: list[Page]) -> tuple[dict[str, Counter], list, float]:
    """Rows and right ones by slice, the mistakes, and the median seconds of a reading."""
    counts, mistakes, seconds = {}, [], []
    for row in rows:
        start = time.perf_counter()
        reading = model.read(row.picture)
        seconds.append(time.perf_counter() - start)
        right = reading.text == row.text
        if not right:
            mistakes.append((row, reading))
        longest = max(map(len, row.text.split("\n")))
        kind = row.kind
        names = (
            f"{kind.source} {kind.spacing} {kind.surface}",
            f"{kind.surface}, all",
            f"longest line {longest}",
            f"lines {row.text.count(chr(10)) + 1}",
        )
        for name in names:
            counts.setdefault(name, Counter()).update(n=1, right=right)
    return counts, mistakes, float(np.median(seconds))


def make(n: int, seed: int, data_dir: str) -> list[Page]:
    """`n` rows, an equal share of every kind."""
    frames, labels = data.load("mnist", data_dir, train=False)
    generator = Generator(frames.numpy(), labels.numpy(), seed)
    kinds = [Kind(*names) for names in itertools.product(SOURCES, SPACINGS, SURFACES)]
    return [generator.row(kinds[index % len(kinds)]) for index in range(n)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=200, help="rows")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data-dir", default="data")
    parser.add_argument("--sheet", type=Path, metavar="DIR", help="write pictures of the mistakes")
    args = parser.parse_args()
    counts, mistakes, seconds = measure(load_model(), make(args.n, args.seed, args.data_dir))
    for name in sorted(counts):
        count = counts[name]
        print(f"{name:24} {count['right'] / count['n']:7.1%}  ({count['right']} of {count['n']})")
    print(f"median {seconds * 1e3:.0f} ms a picture")
    if args.sheet:
        sheets(mistakes, args.sheet)
    return 0


if __name__ == "__main__":
    sys.exit(main())
