"""Digits drawn by the program as pen strokes, as people around the world write them."""

import cv2
import numpy as np

from mnist_cnn.ink import frame

# The ways to write each digit: strokes of "x,y" points in percent of the digit's box, y downwards.
# A smooth curve runs through the points; "|" is a sharp corner at the point before it, and ";"
# lifts the pen.
ALLOGRAPHS: dict[int, tuple[str, ...]] = {
    0: (
        "50,0 15,20 5,55 20,90 50,100 80,88 95,50 82,15 50,0",
        "60,3 25,12 5,50 22,92 52,99 85,80 93,40 75,8 45,2 38,8",
        "50,0 15,20 5,55 20,90 50,100 80,88 95,50 82,15 50,0; 82,8 18,92",  # with a slash
    ),
    1: (
        "50,0 50,100",
        "62,0 40,100",
        "25,22 40,14 55,0 | 55,100",  # with a flag
        "8,42 30,25 58,0 | 56,100",  # with a long flag
        "25,22 40,14 55,0 | 55,100; 25,100 85,100",  # with flag and foot
    ),
    2: (
        "10,22 30,2 65,0 85,25 65,55 5,100 | 95,98",
        "8,25 30,3 68,2 82,28 55,62 18,88 8,98 15,86 32,82 60,95 95,92",  # with a loop
        "15,15 50,0 85,15 80,40 45,70 10,98 | 90,100",
    ),
    3: (
        "12,15 45,0 80,15 70,40 40,48 | 78,55 88,80 50,100 10,88",
        "10,3 85,3 | 42,40 | 80,52 88,80 50,100 8,88",  # flat-topped
        "15,10 55,0 82,22 45,46 35,48 60,50 88,75 50,100 10,90",
    ),
    4: (
        "30,0 8,60 | 95,58; 68,25 62,100",  # open
        "35,0 15,50 10,62 | 92,62; 72,0 66,100",  # open, tall
        "70,0 5,65 | 95,65; 70,0 68,100",  # closed
        "72,100 72,0 | 5,68 | 95,68",  # closed, in one stroke
        "12,0 12,45 30,52 85,48; 85,0 82,100",  # open like a chair
    ),
    5: (
        "85,2 22,2 | 15,42 | 50,36 88,62 65,96 10,92",
        "22,5 15,42 | 50,36 88,62 65,96 10,92; 22,4 88,2",  # hat drawn last
        "25,12 16,44 | 52,38 86,64 62,97 8,90; 34,0 92,-3",  # with a detached hat
        "90,5 35,5 15,15 20,40 60,45 85,70 55,98 10,92",
    ),
    6: (
        "75,0 25,35 8,72 35,100 75,92 82,65 50,52 15,70",
        "60,0 10,75 | 30,100 78,94 82,66 45,55 12,78",  # straight back
        "85,8 50,0 12,40 10,80 45,100 85,80 75,55 40,52 12,72",
    ),
    7: (
        "8,5 90,3 | 40,100",
        "8,5 90,3 | 45,100; 30,50 78,48",  # with a bar
        "10,22 8,5 | 90,3 | 60,45 45,100",  # with a hook
        "10,22 8,4 | 90,3 | 42,100; 28,52 76,48",  # with hook and bar
        "5,12 40,2 92,8 60,45 38,100",  # curved
    ),
    8: (
        "80,15 45,0 15,20 45,45 82,72 50,100 15,78 45,48 82,22 78,12",  # in one stroke
        "50,0 18,20 50,45 82,22 50,0; 50,45 10,72 50,100 90,72 50,45",  # in two strokes
        "65,2 25,8 22,32 55,46 85,70 60,98 18,90 18,65 60,42 80,18 62,2",
    ),
    9: (
        "82,15 45,0 12,25 35,50 75,38 85,10 | 80,100",  # straight
        "80,18 45,0 12,25 35,50 78,35 82,12 82,60 60,98 15,92",  # curved
        "85,5 40,0 12,28 40,52 80,30 85,5 78,55 60,100",
    ),
}
CANVAS = 112  # pixels


def draw(digit: int, rng: np.random.Generator, size: int = CANVAS) -> np.ndarray:
    """Ink of one digit, `(size, size)` float32 in [0, 1], in a random way and a random hand."""
    return render(_hand(_curves(rng.choice(ALLOGRAPHS[int(digit)])), rng), rng, size)


def draw_frames(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """`(n, 28, 28)` uint8 frames as a network sees them, and their `(n,)` int64 labels."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 10, n)
    frames = np.zeros((n, 28, 28), np.uint8)
    for index, digit in enumerate(labels):
        frames[index] = frame(draw(digit, rng))
    return frames, labels


def render(strokes: list[np.ndarray], rng: np.random.Generator, size: int) -> np.ndarray:
    """Draw strokes of `(n, 2)` points in the unit box with a round brush of random width."""
    width = rng.uniform(0.04, 0.13) * size
    low = np.min([stroke.min(0) for stroke in strokes], axis=0)
    high = np.max([stroke.max(0) for stroke in strokes], axis=0)
    scale = (size - 2 * width) / max(high - low)
    offset = (size - (high - low) * scale) / 2
    ink = np.zeros((size, size), np.uint8)
    for stroke in strokes:
        # OpenCV takes fixed-point coordinates: 4 bits behind the point.
        points = np.round(((stroke - low) * scale + offset) * 16).astype(np.int32)
        cv2.polylines(ink, [points], False, 255, max(1, round(width)), cv2.LINE_AA, shift=4)
    return ink.astype(np.float32) / 255


def _curves(allograph: str) -> list[np.ndarray]:
    """The strokes of an allograph as dense `(n, 2)` points in the unit box."""
    strokes = []
    for stroke in allograph.split(";"):
        parts, points = [], []
        for word in stroke.split():
            if word == "|":
                parts.append(_smooth(np.array(points)))
                points = points[-1:]
            else:
                points.append([int(value) / 100 for value in word.split(",")])
        parts.append(_smooth(np.array(points)))
        strokes.append(np.concatenate(parts))
    return strokes


def _smooth(points: np.ndarray, steps: int = 8) -> np.ndarray:
    """A Catmull-Rom spline through `(n, 2)` points (Catmull and Rom 1974)."""
    padded = np.concatenate([points[:1], points, points[-1:]])
    p0, p1, p2, p3 = padded[:-3], padded[1:-2], padded[2:-1], padded[3:]
    t = np.linspace(0, 1, steps, endpoint=False)[:, None, None]
    curve = 0.5 * (
        2 * p1
        + (p2 - p0) * t
        + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2
        + (3 * p1 - p0 - 3 * p2 + p3) * t**3
    )  # (steps, n - 1, 2)
    return np.concatenate([curve.transpose(1, 0, 2).reshape(-1, 2), points[-1:]])


def _hand(strokes: list[np.ndarray], rng: np.random.Generator) -> list[np.ndarray]:
    """The same strokes by another hand: slant, turn, proportions, and a slow wobble of the pen."""
    turn, slant = np.radians(rng.normal(0, 6)), rng.normal(0.1, 0.2)
    proportions = np.diag([rng.uniform(0.45, 1.0), 1.0])
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    matrix = rotation @ np.array([[1, -slant], [0, 1]]) @ proportions
    phase, wave = rng.uniform(0, 2 * np.pi, (2, 2)), rng.uniform(2, 7, (2, 2))
    strength = rng.uniform(0, 0.04)
    drawn = []
    for stroke in strokes:
        wobble = strength * np.sin(stroke @ wave + phase[0]) * np.cos(phase[1])
        lift = rng.normal(0, 0.015, 2)  # strokes do not meet exactly where the pen was lifted
        drawn.append((stroke + wobble + lift - 0.5) @ matrix.T)
    return drawn
