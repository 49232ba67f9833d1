"""What cameras, paper and thresholds do to ink, before it is framed.

Every kind of damage takes ink `(H, W)` float32 in [0, 1], the width of its stroke in pixels and a
generator, and is mild enough for a person to read the digit as before.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from mnist_cnn.ink import stroke_width


def damage(ink: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The ink with one to three kinds of damage; the same shape."""
    if not ink.any():
        return ink
    stroke = stroke_width(ink)
    for kind in rng.choice(len(DAMAGES), rng.choice([1, 2, 3], p=[0.6, 0.35, 0.05]), replace=False):
        ink = DAMAGES[kind](ink, stroke, rng)
    return np.clip(ink, 0, 1).astype(np.float32)


def breaks(ink: np.ndarray, stroke: float, rng: np.random.Generator) -> np.ndarray:
    """Gaps in the line, shorter than it is wide."""
    ink = ink.copy()
    for _ in range(rng.integers(1, 3)):
        middle, turn = _somewhere_on(ink, rng), rng.uniform(0, np.pi)
        reach = 1.2 * stroke * np.array([np.cos(turn), np.sin(turn)])
        _line(ink, middle - reach, middle + reach, rng.uniform(0.2, 0.6) * stroke, 0.0)
    return ink


def ragged(ink: np.ndarray, stroke: float, rng: np.random.Generator) -> np.ndarray:
    """An edge that wavers, as a threshold leaves it on rough paper."""
    noise = _noise(ink.shape, max(0.3 * stroke, 1.0), rng)
    soft = cv2.GaussianBlur(ink, (0, 0), max(0.25 * stroke, 0.6))
    return np.clip((soft - 0.35 + rng.uniform(0.05, 0.13) * noise) * 6 + 0.5, 0, 1)


def faint(ink: np.ndarray, stroke: float, rng: np.random.Generator) -> np.ndarray:
    """Parts of the line that hardly left a trace."""
    strength = 0.8 + 0.3 * _noise(ink.shape, rng.uniform(1, 4) * stroke, rng)
    return ink * np.clip(strength, 0.45, 1)


def blur(ink: np.ndarray, stroke: float, rng: np.random.Generator) -> np.ndarray:
    """Out of focus, or shaken."""
    soft = cv2.GaussianBlur(ink, (0, 0), max(_mild(rng.uniform(0.1, 0.4) * stroke, ink), 0.5))
    return soft / max(soft.max(), 0.1)


def specks(ink: np.ndarray, stroke: float, rng: np.random.Generator) -> np.ndarray:
    """Dirt around the digit, much smaller than its line is wide."""
    ink = ink.copy()
    rows, columns = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
    low, high = (columns[0], rows[0]), (columns[-1] + 1, rows[-1] + 1)
    for _ in range(rng.integers(1, 7)):
        at = rng.uniform(low, high)
        _line(ink, at, at, rng.uniform(0.15, 0.45) * stroke, rng.uniform(0.4, 1))
    return ink


def ruled(ink: np.ndarray, stroke: float, rng: np.random.Generator) -> np.ndarray:
    """A piece of the paper's line, thinner and fainter than the pen's."""
    ink = ink.copy()
    columns = np.flatnonzero(ink.any(0))
    left, right = np.sort(rng.uniform(columns[0] - stroke, columns[-1] + stroke, 2))
    row = rng.uniform(0.05, 0.95) * ink.shape[0]
    points = np.array([[left, row], [right, row + rng.normal(0, 0.01) * ink.shape[0]]])
    if rng.random() < 0.2:  # squared paper
        points = points[:, ::-1]
    start, end = points
    _line(ink, start, end, rng.uniform(0.1, 0.3) * stroke, rng.uniform(0.2, 0.45))
    return ink


def filled(ink: np.ndarray, stroke: float, rng: np.random.Generator) -> np.ndarray:
    """Corners and the smallest loops run full of ink."""
    return cv2.morphologyEx(ink, cv2.MORPH_CLOSE, _disc(_mild(rng.uniform(0.4, 0.9) * stroke, ink)))


def thickened(ink: np.ndarray, stroke: float, rng: np.random.Generator) -> np.ndarray:
    """A line that the threshold made a little wider."""
    return cv2.dilate(ink, _disc(_mild(rng.uniform(0.15, 0.5) * stroke, ink)))


def eroded(ink: np.ndarray, stroke: float, rng: np.random.Generator) -> np.ndarray:
    """A line that the threshold made thinner: where the pen was light, it is lost."""
    return ink if stroke < 5 else cv2.erode(ink, _disc(rng.uniform(0.15, 0.3) * stroke))


def coarse(ink: np.ndarray, stroke: float, rng: np.random.Generator) -> np.ndarray:
    """As drawn in so few pixels, at least one for the stroke, that corners and gaps run full."""
    pixel = ink.shape[0] / rng.uniform(11, 24)
    ink = cv2.dilate(ink, _disc(max(pixel - stroke, 1)))
    size = [max(1, round(side / pixel)) for side in ink.shape[::-1]]
    small = cv2.resize(ink, size, interpolation=cv2.INTER_AREA)
    soft = cv2.resize(small, ink.shape[::-1], interpolation=cv2.INTER_CUBIC)
    soft = soft / max(soft.max(), 0.1)
    return np.clip((soft - rng.uniform(0.15, 0.35)) / rng.uniform(0.3, 0.6), 0, 1)


DAMAGES = (breaks, ragged, faint, blur, specks, ruled, filled, thickened, eroded, coarse)


def _mild(pixels: float, ink: np.ndarray) -> float:
    """At most a twentieth of the picture: more would fill the loops of a fat digit."""
    return min(pixels, 0.05 * ink.shape[0])


def _somewhere_on(ink: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The `x, y` of some pixel that has ink; the middle of the picture if none has."""
    pixels = np.flatnonzero(ink > 0.5)
    if not len(pixels):
        return np.array(ink.shape[::-1]) / 2
    return np.array(divmod(int(rng.choice(pixels)), ink.shape[1])[::-1], float)


def _noise(shape: tuple[int, int], scale: float, rng: np.random.Generator) -> np.ndarray:
    """A smooth random field with mean 0 and deviation 1, its grain about `scale` pixels."""
    return noise(shape, [max(2, int(np.ceil(side / scale)) + 1) for side in shape], rng)


def noise(shape: Sequence[int], cells: Sequence[int], rng: np.random.Generator) -> np.ndarray:
    """A smooth random field with mean 0 and deviation 1, through so many random values."""
    field = rng.standard_normal(cells, np.float32)
    return cv2.resize(field, shape[::-1], interpolation=cv2.INTER_CUBIC)


def _line(ink: np.ndarray, start: np.ndarray, end: np.ndarray, width: float, value: float) -> None:
    first, last = ([int(v) for v in np.round(place * 16)] for place in (start, end))
    drawn = np.zeros(ink.shape, np.uint8)
    cv2.line(drawn, first, last, 255, max(1, round(width)), cv2.LINE_AA, shift=4)
    cover = drawn.astype(np.float32) / 255
    np.copyto(ink, np.maximum(ink, value * cover) if value else ink * (1 - cover))


def _disc(diameter: float) -> np.ndarray:
    side = max(2, round(diameter))
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
