"""Ink of a drawing: its ground has one colour, and ink is how far a pixel's colour lies from it."""

from dataclasses import dataclass

import cv2
import numpy as np

from mnist_cnn.ink.geometry import VISIBLE
from mnist_cnn.ink.printed_lines import without_lines
from mnist_cnn.ink.writing import WRITING, is_convex, is_rectangle, writing


@dataclass(frozen=True)
class Drawing:
    """What tells a drawing from a photo. Colours lie in [0, 1].

    Set by hand, and checked as a whole with the drawn slices of benchmarks/photos.py.
    """

    strip: float = 0.02  # of the shorter side: along the border it shows the ground
    exact: float = 0.012  # three levels of 256: the ground of a drawing has one colour
    even_border: float = 0.7  # of the border has exactly one colour
    one_colour: float = 0.05  # colours this close to each other count as one
    cleaned: int = 100  # pixels: smaller pictures are drawings without lines or specks
    faintest: float = 0.08  # what lies nearer to the ground's colour is no ink
    full_ink: float = 0.85  # of the strongest: what is so strong is not a soft edge
    # A picture cut out closely around a digit has two colours …
    cut_border: float = 0.3  # … of which so much of the border has the ground's …
    cut_border_ink: float = 0.35  # … and less of it is ink: more is another sheet …
    cut_ground: float = 0.12  # … so much of the picture is ground …
    cut_ink: tuple[float, float] = (0.12, 0.65)  # … so much full ink …
    two_colours: float = 0.55  # … and so much either: the rest are the soft edges
    round: float = 0.9  # of its convex hull: the hole of a 0 fills so much of it


DRAWING = Drawing()


def from_ground(pixels: np.ndarray) -> np.ndarray | None:
    """How far each pixel's colour lies from the ground's, `(H, W)`; `None` if that has not one.

    It has if most of the picture's border has exactly one, and in a larger picture half of all
    pixels have it too: a sheet on an even table is a photo. A picture cut out close around a digit
    has two colours instead, and one of them along enough of its border.
    """
    height, width, channels = pixels.shape
    strip = max(1, round(DRAWING.strip * min(height, width)))
    between = pixels[strip:-strip]
    strips = pixels[:strip], pixels[-strip:], between[:, :strip], between[:, -strip:]
    edge = np.concatenate([part.reshape(-1, channels) for part in strips])
    ground = np.median(edge, axis=0)
    small = min(height, width) < DRAWING.cleaned
    if (_colour_distance(edge, ground) < DRAWING.exact).mean() >= DRAWING.even_border:
        distance = _colour_distance(pixels, ground)
        if small or (distance < DRAWING.one_colour).mean() > 0.5:
            return distance
    return _from_one_of_two_colours(pixels, edge)


def _from_one_of_two_colours(pixels: np.ndarray, edge: np.ndarray) -> np.ndarray | None:
    """How far each pixel lies from the ground of a picture of two colours, `(H, W)`."""
    edge = edge[:: max(1, len(edge) // 2000)]
    levels = np.round(edge * 255).astype(np.int32) @ (1 << 8 * np.arange(edge.shape[1]))
    _, firsts, counts = np.unique(levels, return_index=True, return_counts=True)
    for number in np.argsort(-counts)[:2]:  # the ground is seen more at the border
        if counts[number] <= DRAWING.cut_border * len(edge):
            return None
        colour = edge[firsts[number]]
        distance, at_border = _colour_distance(pixels, colour), _colour_distance(edge, colour)
        strongest = distance.max()
        ground, ink = (
            (distance < DRAWING.exact).mean(),
            (distance > DRAWING.full_ink * strongest).mean(),
        )
        if (
            (at_border > 0.5 * strongest).mean() < DRAWING.cut_border_ink
            and ground > DRAWING.cut_ground
            and DRAWING.cut_ink[0] < ink < DRAWING.cut_ink[1]
            and ground + ink > DRAWING.two_colours
        ):
            return None if _is_sheet(distance > 0.5 * strongest) else distance
    return None


def _is_sheet(mask: np.ndarray) -> bool:
    """Whether the largest part of a mask is a rectangle or a badge with something written in it.

    The hole of a 0 is as round as the 0.
    """
    contours, tree = cv2.findContours(mask.view(np.uint8), cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)
    areas = [cv2.contourArea(contour) for contour in contours]
    largest = int(np.argmax(areas))
    holes = np.flatnonzero(tree[0, :, 3] == largest)
    if is_rectangle(contours[largest]):
        return len(holes) > 0
    written = (
        tree[0, hole, 2] >= 0 or not is_convex(contours[int(hole)], DRAWING.round) for hole in holes
    )
    return is_convex(contours[largest], WRITING.convex) and any(written)


def _colour_distance(pixels: np.ndarray, colour: np.ndarray) -> np.ndarray:
    """How far pixels lie from a colour in the channel where it is farthest."""
    apart = [np.abs(pixels[..., channel] - level) for channel, level in enumerate(colour)]
    farthest: np.ndarray = np.maximum.reduce(apart)
    return farthest


def ink(distance: np.ndarray) -> np.ndarray:
    """The ink of a drawing, `(H, W)`, from how far its pixels lie from the ground's colour."""
    visible = distance[distance >= DRAWING.faintest]
    # A few hot pixels do not decide how strong the ink is; on a small picture every pixel counts.
    hot = min(distance.size // 1000, visible.size // 10) if distance.size > 10_000 else 0
    if visible.size <= hot:
        return np.zeros(distance.shape, np.float32)
    strongest = np.partition(visible, -hot - 1)[-hot - 1]
    # Full ink stays as it is, to the bit; faint ink (pencil, grey, yellow) is brought to full.
    levels = distance if strongest > 0.97 else np.minimum(distance / strongest, 1)
    if min(levels.shape) < DRAWING.cleaned:
        return levels
    mask, faint = ((levels > level).astype(np.uint8) for level in (0.5, VISIBLE))
    if max(mask[0].any(), mask[-1].any(), mask[:, 0].any(), mask[:, -1].any()):
        mask = without_lines(mask, faint, levels)
    mask = writing(mask, levels, drawn=True)
    return levels * cv2.dilate(mask, np.ones((5, 5), np.uint8))
