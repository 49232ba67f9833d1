"""From any picture to a frame: decode it, find the ink, bring it to MNIST's size and place.

Two words (see README): *ink* is `(H, W)` float32 in [0, 1], white strokes on black, any size; a
*frame* is `(28, 28)` uint8, exactly an MNIST record.
"""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from mnist_cnn.ink.decoding import MAX_FILE_BYTES, check_size, decode
from mnist_cnn.ink.printed_lines import without_lines
from mnist_cnn.ink.writing import BOLD, CONVEX, SMALLEST, is_convex, is_rectangle, writing

# MNIST's geometry (LeCun et al. 1998): the digit's longer side is 20 pixels, its centre of mass
# lies on pixel (14, 14) of a 28×28 frame.
SIDE = 28
BOX = 20
CENTRE = 14

# Larger pictures are reduced to this many pixels: a quarter of a usual 12-megapixel photo, which
# JPEG can be decoded at.
WORK_SIDE = 1000
PHOTO_SIDE = 512  # pixels: photos are looked at in this size; a digit of 1/8 has 64 of them
LIGHT_GROUND = 0.42  # on lighter ground ink is dark: paper in dim light is lighter, boards darker
GROUND_SIDE = 256  # pixels: the ground changes slowly, so it is estimated at this size
HOLE = 5  # pixels: the noise of a photo leaves smaller holes in strokes
CLEANED = 100  # pixels: smaller pictures are drawings without lines or specks

# Lengths below are shares of the picture's longer side.
WIDEST = 0.25  # twice the width of a fat stroke, so that crossings are narrower too
PENS = 4  # strokes cross and run together, but no wider than so many pens …
LEAST_WIDEST = 0.03  # … and than this, or blur would count as light

GROUND_EDGE = 0.06  # a step between two neighbours of the ground
EXACT = 0.012  # three levels of 256: the ground of a drawing has one colour
EVEN_BORDER = 0.7  # of the border has exactly one colour on a drawing
EDGE = 0.02  # of the picture's side: the strip along its border that shows the ground
FLAT = 0.05  # colours this close to each other count as one
FAINTEST = 0.08  # weaker contrast than this is no ink
FULL_INK = 0.85  # of the strongest: what is so strong is not a soft edge
CUT_BORDER = 0.3  # of the border has the colour of the ground if a digit is cut out closely …
CUT_BORDER_INK = 0.35  # … and less of it is ink: more is another sheet …
CUT_GROUND = 0.12  # … and so much of the picture is ground …
CUT_INK = (0.12, 0.65)  # … and so much full ink …
TWO_COLOURS = 0.55  # … and so much either: the rest are the soft edges
ROUND = 0.9  # of its convex hull: the hole of a 0 fills so much of it
LOUDEST = 0.3  # stronger contrast than this is no noise
FAINT_PART = 0.3  # of the ink's usual contrast: a pen pressed lightly leaves no less anywhere
VISIBLE = 0.15  # ink under this is taken for noise when the digit's box is measured
STROKE = (1.9, 3.3)  # frame pixels: where the middle two thirds of MNIST lie
FINE = 4  # strokes are measured and changed at this many pixels per frame pixel


@dataclass(frozen=True, eq=False)
class Ink:
    """The ink of a picture: white strokes on black."""

    levels: np.ndarray = field(repr=False)  # (H, W) float32 in [0, 1]
    size: tuple[int, int]  # width and height in pixels of the picture as given, upright

    @property
    def scale(self) -> tuple[float, float]:
        """Pixels of the picture as given per pixel of the ink, along x and y."""
        height, width = self.levels.shape
        return self.size[0] / width, self.size[1] / height


def find_ink(image: Any) -> Ink:
    """The ink of a picture.

    The ground is the colour along the picture's border, and ink is how far a pixel's colour lies
    from it, so black on white, white on black and red on blue are all the same ink. Where the
    border is not of one colour (a photo), the ground is estimated around every pixel instead, and
    the ink is at most `PHOTO_SIDE` long. Transparent pixels are ground if they are the larger part
    or all opaque pixels have one colour. Printed lines, specks, what reaches in from the border
    and, on a drawing, boxes and circles around digits are dropped; what is left is one digit or
    several.

    Args:
        image: a file's path or bytes (PNG, JPEG, WebP, BMP, GIF; EXIF orientation applied, the
            first frame of an animation), a PIL image of any mode, or a numpy array `(H, W)`,
            `(H, W, 1)`, `(H, W, 3)` or `(H, W, 4)` of bool, uint8, uint16 or float in [0, 1].

    Raises:
        ValueError: not readable as a picture, too large, or an array of another kind.
    """
    size = None
    if isinstance(image, str | os.PathLike | bytes):
        image, size = _decoded(image)
    if isinstance(image, Image.Image):
        image, size = _pixels(image), size or image.size
    pixels = _checked(image)
    return Ink(_picture_ink(pixels), size or image.shape[1::-1])


def open_picture(source: str | os.PathLike | bytes) -> Image.Image:
    """Decode a picture's file; large JPEGs come at a reduced size. Errors as `find_ink`."""
    return _decoded(source)[0]


def _decoded(source: str | os.PathLike | bytes) -> tuple[Image.Image, tuple[int, int]]:
    """The picture of a file, and its size as given."""
    if isinstance(source, bytes):
        return decode(source, "the picture", WORK_SIDE)
    path = Path(source)
    if path.is_dir():
        raise ValueError(f"{source}: is a folder: pass a picture's file, or each file in it")
    if not path.is_file():
        raise ValueError(f"{source}: no such file")
    try:
        with path.open("rb") as file:
            # One byte more than is read tells that there are more.
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ValueError(f"{source}: cannot be read: {error.strerror}") from error
    return decode(content, str(source), WORK_SIDE)


def _pixels(image: Image.Image) -> np.ndarray:
    """The pixels of a PIL image as an array that `_checked` takes."""
    check_size(image, "the picture")
    if image.mode.startswith("I;16"):
        return np.asarray(image).astype(np.uint16)
    if image.mode == "I":  # how some 16-bit files arrive
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 65535:
            raise ValueError("a picture of mode I must hold values from 0 to 65535")
        return values.astype(np.uint16)
    if image.mode == "F":
        return np.asarray(image)
    if image.has_transparency_data:
        return np.asarray(image.convert("RGBA"))
    return np.asarray(image.convert("L" if image.mode in ("1", "L") else "RGB"))


def _checked(array: Any) -> np.ndarray:
    """`(H, W, 1 | 3 | 4)` float32 in [0, 1], at most `WORK_SIDE` long."""
    if not isinstance(array, np.ndarray):
        what = "None" if array is None else f"a {type(array).__name__}"
        raise ValueError(
            f"cannot read {what} as a picture: pass a path, bytes, a PIL image or a numpy array; "
            "for several pictures a list of them"
        )
    shape = array.shape
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4) or 0 in array.shape:
        raise ValueError(
            f"a picture must be (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), got {shape}; "
            "for several pictures pass a list"
        )
    scales = {"bool": 1, "uint8": 255, "uint16": 65535, "float16": 1, "float32": 1, "float64": 1}
    if array.dtype.name not in scales:
        raise ValueError(
            f"a picture must be bool, uint8, uint16 or float in [0, 1], got {array.dtype}"
        )
    if array.dtype.kind == "f":
        low, high = array.min(), array.max()
        if not (low >= 0 and high <= 1):
            raise ValueError(
                f"a float picture must lie in [0, 1], got {low} to {high}; divide by its maximum "
                "or pass uint8"
            )
    if array.shape[2] == 3 and _is_grey(array):
        array = array[..., :1]  # grey, as most drawings are: a third of the work
    array = _reduced(array if array.dtype.name in ("uint8", "uint16") else array.astype(np.float32))
    return array.astype(np.float32) / scales[array.dtype.name]


def _is_grey(array: np.ndarray) -> bool:
    """Whether the three channels are the same; in a photo a part of it tells that they are not."""
    return all((part == part[..., :1]).all() for part in (array[::16], array))


def _reduced(array: np.ndarray) -> np.ndarray:
    longer = max(array.shape[:2])
    if longer <= WORK_SIDE:
        return array
    small = _resized(array, WORK_SIDE / longer)
    return small.reshape(*small.shape[:2], -1)


def _picture_ink(pixels: np.ndarray) -> np.ndarray:
    if pixels.shape[2] == 4:
        colours, alpha = pixels[..., :3], pixels[..., 3]
        opaque = alpha > 0.5
        if not opaque.any():
            return np.zeros(alpha.shape, np.float32)
        usual = np.median(colours[opaque], axis=0)
        one_colour = np.abs(colours[opaque] - usual).max() < FLAT
        if opaque.mean() < 0.5 or (one_colour and not opaque.all()):
            return alpha
        pixels = alpha[..., None] * colours + (1 - alpha[..., None]) * usual
    distance = _from_flat_ground(pixels)
    return _photo_ink(pixels) if distance is None else _flat_ink(distance)


def _from_flat_ground(pixels: np.ndarray) -> np.ndarray | None:
    """How far each pixel's colour lies from the ground's, `(H, W)`; `None` if that has not one.

    It has if most of the picture's border has exactly one, and in a larger picture half of all
    pixels have it too: a sheet on an even table is a photo. A picture cut out close around a digit
    has two colours instead, and one of them along enough of its border.
    """
    height, width, channels = pixels.shape
    strip = max(1, round(EDGE * min(height, width)))
    between = pixels[strip:-strip]
    strips = pixels[:strip], pixels[-strip:], between[:, :strip], between[:, -strip:]
    edge = np.concatenate([part.reshape(-1, channels) for part in strips])
    ground = np.median(edge, axis=0)
    small = min(height, width) < CLEANED
    if (_distance(edge, ground) < EXACT).mean() >= EVEN_BORDER:
        distance = _distance(pixels, ground)
        if small or (distance < FLAT).mean() > 0.5:
            return distance
    return _from_one_of_two_colours(pixels, edge)


def _from_one_of_two_colours(pixels: np.ndarray, edge: np.ndarray) -> np.ndarray | None:
    """How far each pixel lies from the ground of a picture of two colours, `(H, W)`."""
    edge = edge[:: max(1, len(edge) // 2000)]
    levels = np.round(edge * 255).astype(np.int32) @ (1 << 8 * np.arange(edge.shape[1]))
    _, firsts, counts = np.unique(levels, return_index=True, return_counts=True)
    for number in np.argsort(-counts)[:2]:  # the ground is seen more at the border
        if counts[number] <= CUT_BORDER * len(edge):
            return None
        colour = edge[firsts[number]]
        distance, at_border = _distance(pixels, colour), _distance(edge, colour)
        strongest = distance.max()
        ground, ink = (distance < EXACT).mean(), (distance > FULL_INK * strongest).mean()
        if (
            (at_border > 0.5 * strongest).mean() < CUT_BORDER_INK
            and ground > CUT_GROUND
            and CUT_INK[0] < ink < CUT_INK[1]
            and ground + ink > TWO_COLOURS
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
    written = (tree[0, hole, 2] >= 0 or not is_convex(contours[hole], ROUND) for hole in holes)
    return is_convex(contours[largest], CONVEX) and any(written)


def _distance(pixels: np.ndarray, colour: np.ndarray) -> np.ndarray:
    """How far pixels lie from a colour in the channel where it is farthest."""
    return np.maximum.reduce([np.abs(pixels[..., c] - colour[c]) for c in range(len(colour))])


def _flat_ink(ink: np.ndarray) -> np.ndarray:
    """Ink on a ground of one colour is the distance from that colour."""
    visible = ink[ink >= FAINTEST]
    # A few hot pixels do not decide how strong the ink is; on a small picture every pixel counts.
    hot = min(ink.size // 1000, visible.size // 10) if ink.size > 10_000 else 0
    if visible.size <= hot:
        return np.zeros(ink.shape, np.float32)
    strongest = np.partition(visible, -hot - 1)[-hot - 1]
    # Full ink stays as it is, to the bit; faint ink (pencil, grey, yellow) is brought to full.
    ink = ink if strongest > 0.97 else np.minimum(ink / strongest, 1)
    if min(ink.shape) < CLEANED:
        return ink
    mask, faint = ((ink > level).astype(np.uint8) for level in (0.5, VISIBLE))
    if max(mask[0].any(), mask[-1].any(), mask[:, 0].any(), mask[:, -1].any()):
        mask = without_lines(mask, faint, ink)
    mask = writing(mask, ink, drawn=True)
    return ink * cv2.dilate(mask, np.ones((5, 5), np.uint8))


# --- Photos: the ground changes from pixel to pixel


def _photo_ink(pixels: np.ndarray) -> np.ndarray:
    """Ink on a ground that changes across the picture: light, shadow, the paper's own colour."""
    scale = min(1, PHOTO_SIDE / max(pixels.shape[:2]))
    grey = _resized(pixels.mean(2), scale)
    contrast, mask = _photo_mask(grey, WIDEST)
    # Now that the pen is known, a second look drops what is much wider: the edges of a shadow.
    pens = max(PENS * _pen(mask) / max(mask.shape), LEAST_WIDEST)
    if mask.any() and pens < WIDEST:
        closer, left = _photo_mask(grey, pens)
        # What it finds anew may be the edge of a sheet; but bold ink is not lost, be it that the
        # first look saw nothing but a shadow, or that it had a wrong idea of the pen.
        again = _grown_from(cv2.dilate(mask, np.ones((5, 5))) > 0, left)
        if again.any() or not _is_bold(closer, left):
            left = again
        if left.any() or not _is_bold(contrast, mask):
            contrast, mask = closer, left
    if not mask.any():
        return np.zeros(grey.shape, np.float32)
    # A ramp around half of the ink's strength nearby keeps the stroke's soft edge.
    pen = 2 * round(_pen(mask)) + 1
    nearby = cv2.blur(cv2.dilate(contrast * mask, np.ones((pen, pen))), (pen, pen))
    usual = float(np.quantile(contrast[mask > 0], 0.8))
    soft = np.clip((contrast / np.clip(nearby, FAINT_PART * usual, usual) - 0.2) / 0.5, 0, 1)
    return soft * cv2.dilate(mask, np.ones((3, 3), np.uint8))


def _is_bold(contrast: np.ndarray, mask: np.ndarray) -> bool:
    return bool(mask.any()) and float(contrast[mask > 0].mean()) > BOLD


def _pen(mask: np.ndarray) -> float:
    """The pen's width in pixels: twice the median depth of the strokes' middle lines.

    Long thin strokes have longer middles than stains have, so a stain does not count for much.
    Holes that noise leaves in a stroke are closed, or it would count as several thin ones.
    """
    mask = cv2.morphologyEx(_padded(mask, HOLE), cv2.MORPH_CLOSE, np.ones((HOLE, HOLE)))
    depth = cv2.distanceTransform(mask, cv2.DIST_L2, 5)
    middle = (depth > 0) & (depth >= cv2.dilate(depth, np.ones((3, 3))) - 0.1)
    return 2 * float(np.median(depth[middle])) if middle.any() else 0.0


def _photo_mask(grey: np.ndarray, widest: float) -> tuple[np.ndarray, np.ndarray]:
    """The contrast of a photo and a mask of its writing, whose strokes are at most `widest`."""
    contrast = _contrast(grey, widest)
    # Robust noise: 1.48 times the median absolute deviation is a normal deviation.
    noise = 1.48 * float(np.median(np.abs(contrast)))
    # Dense printed lines look like noise, but no noise is as strong as ink.
    floor = max(FAINTEST, min(5 * noise, LOUDEST))
    visible = contrast[contrast > floor]
    if visible.size < 10:
        return contrast, np.zeros(grey.shape, np.uint8)
    strong = _otsu(visible)
    weak = FAINT_PART * float(np.median(visible[visible >= strong]))
    # Faint lines are found whole at a lower level than ink.
    faint = contrast > max(0.5 * FAINTEST, 3 * noise)
    mask, faint = (contrast > max(floor, weak)).astype(np.uint8), faint.astype(np.uint8)
    mask = without_lines(mask, faint, contrast)
    return contrast, writing(_grown_from(contrast > strong, mask), contrast, drawn=False)


def _contrast(grey: np.ndarray, widest: float) -> np.ndarray:
    """How much darker (or on a board lighter) than its ground each pixel is, about 0 for ground.

    The ground under dark ink is a grey-scale closing (Serra 1982) by an element wider than any
    stroke, seen at a small size; a closing leaves the edges of wide shadows where they are. The
    contrast is relative, so that ink in the shadow counts as much as ink in the light.
    """
    height, width = grey.shape
    scale = GROUND_SIDE / max(height, width)
    small = _resized(grey, scale)
    small = np.round(cv2.GaussianBlur(small, (0, 0), 1) * 255).astype(np.uint8)
    light_ink = _ink_is_light(small)
    small = 255 - small if light_ink else small
    reach = round(widest * GROUND_SIDE) | 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    ground = cv2.morphologyEx(_continued(small, reach), cv2.MORPH_CLOSE, kernel)
    ground = np.ascontiguousarray(ground[reach:-reach, reach:-reach])
    # Beside a step of the ground (a shadow's edge, a sheet's), the step's height tells nothing.
    step = cv2.morphologyEx(ground, cv2.MORPH_GRADIENT, np.ones((3, 3)))
    step = cv2.subtract(step, round(GROUND_EDGE * 255))
    ground, step = (
        cv2.resize(level, (width, height), interpolation=cv2.INTER_LINEAR).astype(np.float32) / 255
        for level in (ground, step)
    )
    grey = cv2.GaussianBlur(1 - grey if light_ink else grey, (0, 0), 0.8)
    contrast = (ground - grey) / np.maximum(1 - ground if light_ink else ground, 0.1)
    contrast = contrast - np.median(contrast) - step
    return np.clip(contrast, -1, 1)


def _continued(levels: np.ndarray, margin: int) -> np.ndarray:
    """A picture with a margin in which light that falls off towards the border goes on falling."""
    margins = (margin,) * 4
    edge = cv2.copyMakeBorder(levels, *margins, cv2.BORDER_REPLICATE)
    mirrored = cv2.copyMakeBorder(levels, *margins, cv2.BORDER_REFLECT_101)
    return np.clip(2 * edge.astype(np.int16) - mirrored, 0, edge).astype(np.uint8)


def _ink_is_light(levels: np.ndarray) -> bool:
    """Whether ink is lighter than its ground: never on a light ground, such as paper.

    On a dark one, what stands out from its surroundings decides, by the skewness of the
    difference: ink is a small part of its surroundings, so a wide median is the ground. What
    is light and reaches in from the border, such as a finger, counts only if nothing else of a
    digit's size stands out.
    """
    if np.median(levels) > 255 * LIGHT_GROUND:
        return False
    reach = round(WIDEST * GROUND_SIDE) | 1
    around = cv2.medianBlur(levels, reach)
    # Where the ground itself has an edge (a sheet on a table, a shadow) nothing is learned.
    edges = cv2.morphologyEx(around, cv2.MORPH_GRADIENT, np.ones((3, 3))) > GROUND_EDGE * 255
    even = cv2.dilate(edges.astype(np.uint8), np.ones((reach // 2, reach // 2))) == 0
    difference = levels.astype(np.float32) - around
    _, labels = cv2.connectedComponents((difference > FAINTEST * 255).view(np.uint8))
    edge = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    inner = even & ~np.isin(labels, edge[edge > 0])
    clear = (inner & (np.abs(difference) > FAINTEST * 255)).view(np.uint8)
    sizes = cv2.connectedComponentsWithStats(clear)[2][1:, 2:4]
    if (sizes.max(1) >= SMALLEST * GROUND_SIDE).any():
        even = inner
    difference = difference[even]
    return float((difference**3).sum()) > 0


def _otsu(values: np.ndarray) -> float:
    """The threshold between two classes of values in [0, 1] (Otsu 1979)."""
    levels = np.round(np.clip(values, 0, 1) * 255).astype(np.uint8)
    return cv2.threshold(levels, 0, 255, cv2.THRESH_OTSU)[0] / 255


def _grown_from(seeds: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Hysteresis (Canny 1986): the components of a mask that hold a seed."""
    _, labels = cv2.connectedComponents(mask, connectivity=8)
    kept = np.unique(labels[seeds & (mask > 0)])
    return (np.isin(labels, kept) & (mask > 0)).astype(np.uint8)


def frame(ink: Ink | np.ndarray) -> np.ndarray:
    """Bring ink to MNIST's size and place: a `(28, 28)` uint8 frame, all zero if there is no ink.

    Ink that already lies as in MNIST comes back as it is, bit for bit. Other ink is cropped, its
    stroke is brought into MNIST's range of widths, its longer side is scaled to 20 pixels, and its
    centre of mass is moved onto pixel (14, 14).

    Args:
        ink: what `find_ink` found, or its levels alone: `(H, W)` float in [0, 1].
    """
    ink = ink.levels if isinstance(ink, Ink) else ink
    if ink.shape == (SIDE, SIDE) and _lies_as_in_mnist(ink):
        return np.round(ink * 255).astype(np.uint8)
    if not (ink > VISIBLE).any():
        return np.zeros((SIDE, SIDE), np.uint8)
    ink = _scaled(crop(ink, VISIBLE), BOX * FINE)
    if ink.max() < 0.5:  # a hairline, which fades as it is made smaller
        ink = ink / ink.max()
    ink = crop(_with_usual_stroke(ink), VISIBLE)
    return _centred(_scaled(ink, BOX))


def crop(ink: np.ndarray, least: float) -> np.ndarray:
    """The part of the ink that holds all pixels above `least`, of which there must be one."""
    left, top, width, height = cv2.boundingRect((ink > least).view(np.uint8))
    return ink[top : top + height, left : left + width]


def _lies_as_in_mnist(ink: np.ndarray) -> bool:
    if not (ink > 0).any():
        return False
    longer = max(crop(ink, 0).shape)  # one record in some thousands lacks a pixel
    return longer in (BOX - 1, BOX) and _centre_of_mass(ink) == (CENTRE, CENTRE)


def _centre_of_mass(ink: np.ndarray) -> tuple[int, int]:
    """Row and column, to the nearest pixel."""
    total = ink.sum(dtype=np.float64)
    row = (ink.sum(1, dtype=np.float64) @ np.arange(ink.shape[0])) / total
    column = (ink.sum(0, dtype=np.float64) @ np.arange(ink.shape[1])) / total
    return int(np.floor(row + 0.5)), int(np.floor(column + 0.5))


def _resized(levels: np.ndarray, scale: float) -> np.ndarray:
    """Reduce a picture; a side keeps at least one pixel."""
    height, width = levels.shape[:2]
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return cv2.resize(levels, size, interpolation=cv2.INTER_AREA)


def _scaled(ink: np.ndarray, longer: int) -> np.ndarray:
    """Resize so that the longer side is `longer` pixels."""
    height, width = ink.shape
    scale = longer / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return cv2.resize(ink, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)


def _padded(levels: np.ndarray, margin: int) -> np.ndarray:
    """The same with zeros around it. `np.pad` takes ten times as long for a digit."""
    return cv2.copyMakeBorder(levels, *(margin,) * 4, cv2.BORDER_CONSTANT)


def _with_usual_stroke(ink: np.ndarray) -> np.ndarray:
    """Thicken a thin stroke, thin a thick one, up to the nearest width that MNIST has."""
    width = stroke_width(ink) / FINE
    grow = FINE * (np.clip(width, *STROKE) - width) / 2  # pixels on either side
    if abs(grow) < 0.25:
        return ink
    if grow > 0:
        margin = int(np.ceil(grow)) + 1
        ink = _padded(ink, margin)
        outside = cv2.distanceTransform((ink <= 0.5).astype(np.uint8), cv2.DIST_L2, 5)
        return np.maximum(ink, np.clip(grow + 1 - outside, 0, 1)).astype(np.float32)
    inside = cv2.distanceTransform((ink > 0.5).astype(np.uint8), cv2.DIST_L2, 5)
    # The ridge of the distance is the stroke's middle: it stays, so thinning never breaks a stroke.
    ridge = (inside > 0) & (inside >= cv2.dilate(inside, np.ones((3, 3))) - 0.1)
    kept = cv2.distanceTransform((~ridge).astype(np.uint8), cv2.DIST_L2, 5)
    core = np.clip(FINE * STROKE[0] / 2 + 0.5 - kept, 0, 1)
    return (np.maximum(np.clip(inside + grow + 0.5, 0, 1), core) * ink).astype(np.float32)


def stroke_width(ink: np.ndarray) -> float:
    """The mean stroke width in pixels: four times a bar's mean distance to its edge."""
    mask = _padded((ink > 0.5).astype(np.uint8), 1)
    if not mask.any():
        return 1.0
    distance = cv2.distanceTransform(mask, cv2.DIST_L2, 5)
    # The distance runs to the middle of the first pixel outside, half a pixel beyond the edge.
    return 4 * max(float(distance[mask > 0].mean()) - 0.5, 0.25)


def _centred(ink: np.ndarray) -> np.ndarray:
    """Place ink, at most 20 pixels long, in a frame by its centre of mass."""
    row, column = _centre_of_mass(ink)
    # A digit whose mass lies far from its middle is moved no further than the frame's edge.
    top = min(max(CENTRE - row, 0), SIDE - ink.shape[0])
    left = min(max(CENTRE - column, 0), SIDE - ink.shape[1])
    placed = np.zeros((SIDE, SIDE), np.uint8)
    area = placed[top : top + ink.shape[0], left : left + ink.shape[1]]
    area[:] = np.round(np.clip(ink, 0, 1) * 255)
    return placed
