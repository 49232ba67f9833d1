"""From any picture to a frame: decode it, find the ink, bring it to MNIST's size and place.

Two words (see README): *ink* is `(H, W)` float32 in [0, 1], white strokes on black, any size; a
*frame* is `(28, 28)` uint8, exactly an MNIST record.
"""

import io
import os
import warnings
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

# MNIST's geometry (LeCun et al. 1998): the digit's longer side is 20 pixels, its centre of mass
# lies on pixel (14, 14) of a 28×28 frame.
SIDE = 28
BOX = 20
CENTRE = 14

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF")
MAX_PIXELS = 16_000_000
MAX_JPEG_PIXELS = 64_000_000  # JPEGs are decoded at a reduced size, so they may be larger
MAX_FILE_BYTES = 64 * 2**20
WORK_SIDE = 1024  # pixels; larger pictures are reduced to it, which keeps a stroke ≥ 3 pixels wide

EDGE = 0.02  # of the picture's side: the strip along its border that shows the ground
FLAT = 0.05  # colours this close to each other count as one
FAINTEST = 0.08  # weaker contrast than this is no ink
VISIBLE = 0.15  # ink under this is taken for noise when the digit's box is measured
STROKE = (1.9, 3.3)  # frame pixels: where the middle two thirds of MNIST lie
FINE = 4  # strokes are measured and changed at this many pixels per frame pixel


def find_ink(image: Any) -> np.ndarray:
    """The ink of a picture, `(H, W)` float32 in [0, 1].

    The ground is the colour along the picture's border, and ink is how far a pixel's colour lies
    from it, so black on white, white on black and red on blue are all the same ink. Where the
    border is not of one colour (a photo), the ground is estimated around every pixel instead.
    Transparent pixels are ground if they are the larger part or all opaque pixels have one colour.

    Args:
        image: a file's path or bytes (PNG, JPEG, WebP, BMP, GIF; EXIF orientation applied, the
            first frame of an animation), a PIL image of any mode, a numpy array `(H, W)`,
            `(H, W, 1)`, `(H, W, 3)` or `(H, W, 4)` of bool, uint8, uint16 or float in [0, 1], the
            value of a Gradio sketchpad, or `None` for nothing drawn.

    Raises:
        ValueError: not readable as a picture, too large, or an array of another kind.
    """
    if image is None:
        return np.zeros((SIDE, SIDE), np.float32)
    if isinstance(image, dict):
        return _sketch_ink(image)
    if isinstance(image, str | os.PathLike | bytes):
        image = _open(image)
    if isinstance(image, Image.Image):
        image = _pixels(image)
    return _picture_ink(_checked(image))


def _open(source: str | os.PathLike | bytes) -> Image.Image:
    name = "the picture" if isinstance(source, bytes) else str(source)
    if not isinstance(source, bytes):
        path = Path(source)
        if not path.is_file():
            raise ValueError(f"{name}: no such file")
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ValueError(f"{name}: larger than {MAX_FILE_BYTES // 2**20} MB")
        try:
            source = path.read_bytes()
        except OSError as error:
            raise ValueError(f"{name}: cannot be read: {error.strerror}") from error
    if not source:
        raise ValueError(f"{name}: the file is empty")
    try:
        with warnings.catch_warnings():
            # Pillow's own limit on pixels warns first; ours is lower and raises.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(source), formats=FORMATS)
        _check_size(image, name)
        image.draft("RGB" if image.mode == "YCbCr" else image.mode, (WORK_SIDE, WORK_SIDE))
        image.load()
    except UnidentifiedImageError as error:
        raise ValueError(f"{name}: not a picture; {', '.join(FORMATS)} are read") from error
    except Image.DecompressionBombError as error:
        raise ValueError(_too_many(name, "its", MAX_PIXELS)) from error
    except (OSError, SyntaxError, EOFError, IndexError, TypeError, ArithmeticError) as error:
        # What Pillow's decoders raise on damaged files.
        raise ValueError(f"{name}: the picture is damaged: {error}") from error
    return ImageOps.exif_transpose(image)


def _check_size(image: Image.Image, name: str) -> None:
    limit = MAX_JPEG_PIXELS if image.format == "JPEG" else MAX_PIXELS
    if image.width * image.height > limit:
        raise ValueError(_too_many(name, f"{image.width}×{image.height}", limit))


def _too_many(name: str, size: str, limit: int) -> str:
    return (
        f"{name}: {size} pixels are too many; at most {limit // 10**6} million are read. "
        "Reduce the picture first."
    )


def _pixels(image: Image.Image) -> np.ndarray:
    """The pixels of a PIL image as an array that `_checked` takes."""
    _check_size(image, "the picture")
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
        raise ValueError(
            f"cannot read a {type(array).__name__} as a picture: pass a path, bytes, a PIL image "
            "or a numpy array; for several pictures a list of them"
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
    array = _reduced(array if array.dtype.name in ("uint8", "uint16") else array.astype(np.float32))
    return array.astype(np.float32) / scales[array.dtype.name]


def _reduced(array: np.ndarray) -> np.ndarray:
    height, width = array.shape[:2]
    if max(height, width) <= WORK_SIDE:
        return array
    scale = WORK_SIDE / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return cv2.resize(array, size, interpolation=cv2.INTER_AREA).reshape(*size[::-1], -1)


def _sketch_ink(value: dict) -> np.ndarray:
    """The ink of a Gradio sketchpad: what its layers cover, or else its composite picture."""
    layers = [layer for layer in value.get("layers") or [] if layer is not None]
    if layers:
        return np.max([_checked(_as_array(layer))[..., -1] for layer in layers], axis=0)
    return find_ink(value.get("composite"))


def _as_array(layer: Any) -> np.ndarray:
    return _pixels(layer) if isinstance(layer, Image.Image) else layer


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
    edge = _edge(pixels)
    ground = np.median(edge, axis=0)
    one_ground = (np.abs(edge - ground).max(1) < FLAT).mean() > 0.8
    ink = np.abs(pixels - ground).max(2) if one_ground else _photo_ink(pixels)
    # A few hot pixels do not decide how strong the ink is; on a small picture every pixel counts.
    strongest = np.quantile(ink, 0.999) if ink.size > 10_000 else ink.max()
    if strongest < FAINTEST:
        return np.zeros(ink.shape, np.float32)
    # Full ink stays as it is, to the bit; faint ink (pencil, grey, yellow) is brought to full.
    return ink if strongest > 0.97 else np.minimum(ink / strongest, 1)


def _edge(pixels: np.ndarray) -> np.ndarray:
    """The pixels along the border, `(n, channels)`."""
    height, width, channels = pixels.shape
    strip = max(1, round(EDGE * min(height, width)))
    mask = np.ones((height, width), bool)
    mask[strip:-strip, strip:-strip] = False
    return pixels[mask].reshape(-1, channels)


def _photo_ink(pixels: np.ndarray) -> np.ndarray:
    """Ink on a ground that changes across the picture: light, shadow, the paper's own colour."""
    side = max(pixels.shape[:2])
    reach = max(3, side // 8) | 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    grey = pixels.mean(2)
    dark = cv2.morphologyEx(grey, cv2.MORPH_CLOSE, kernel)  # the ground under dark ink
    light = cv2.morphologyEx(grey, cv2.MORPH_OPEN, kernel)  # the ground under light ink
    # Relative to the ground, so that ink in the shadow counts as much as ink in the light.
    on_light, on_dark = (
        1 - grey / np.maximum(dark, 0.05),
        (grey - light) / np.maximum(1 - light, 0.05),
    )
    ink = on_light if np.quantile(on_light, 0.98) >= np.quantile(on_dark, 0.98) else on_dark
    ink = cv2.GaussianBlur(np.clip(ink, 0, 1), (0, 0), 1)
    threshold, mask = cv2.threshold((ink * 255).astype(np.uint8), 0, 1, cv2.THRESH_OTSU)
    mask = _without_specks(mask)
    # A ramp around the threshold keeps the stroke's soft edge.
    soft = np.clip((ink - 0.6 * threshold / 255) / (0.8 * threshold / 255 + 1e-6), 0, 1)
    return soft * cv2.dilate(mask, np.ones((3, 3), np.uint8))


def _without_specks(mask: np.ndarray) -> np.ndarray:
    """Drop components much smaller than the largest."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    if count < 2:
        return mask
    area = stats[:, cv2.CC_STAT_AREA].copy()
    area[0] = 0
    return (area >= 0.05 * area.max())[labels].astype(np.uint8)


def frame(ink: np.ndarray) -> np.ndarray:
    """Bring ink to MNIST's size and place: a `(28, 28)` uint8 frame, all zero if there is no ink.

    Ink that already lies as in MNIST comes back as it is, bit for bit. Other ink is cropped, its
    stroke is brought into MNIST's range of widths, its longer side is scaled to 20 pixels, and its
    centre of mass is moved onto pixel (14, 14).
    """
    if ink.shape == (SIDE, SIDE) and _lies_as_in_mnist(ink):
        return np.round(ink * 255).astype(np.uint8)
    if not (ink > VISIBLE).any():
        return np.zeros((SIDE, SIDE), np.uint8)
    ink = _scaled(_crop(ink, VISIBLE), BOX * FINE)
    ink = _crop(_with_usual_stroke(ink), VISIBLE)
    return _centred(_scaled(ink, BOX))


def _crop(ink: np.ndarray, least: float) -> np.ndarray:
    rows, columns = np.flatnonzero((ink > least).any(1)), np.flatnonzero((ink > least).any(0))
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _lies_as_in_mnist(ink: np.ndarray) -> bool:
    if not (ink > 0).any():
        return False
    return max(_crop(ink, 0).shape) == BOX and _centre_of_mass(ink) == (CENTRE, CENTRE)


def _centre_of_mass(ink: np.ndarray) -> tuple[int, int]:
    """Row and column, to the nearest pixel."""
    total = ink.sum(dtype=np.float64)
    row = (ink.sum(1, dtype=np.float64) @ np.arange(ink.shape[0])) / total
    column = (ink.sum(0, dtype=np.float64) @ np.arange(ink.shape[1])) / total
    return int(np.floor(row + 0.5)), int(np.floor(column + 0.5))


def _scaled(ink: np.ndarray, longer: int) -> np.ndarray:
    """Resize so that the longer side is `longer` pixels."""
    height, width = ink.shape
    scale = longer / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return cv2.resize(ink, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)


def _with_usual_stroke(ink: np.ndarray) -> np.ndarray:
    """Thicken a thin stroke, thin a thick one, up to the nearest width that MNIST has."""
    width = stroke_width(ink) / FINE
    grow = FINE * (np.clip(width, *STROKE) - width) / 2  # pixels on either side
    if abs(grow) < 0.25:
        return ink
    if grow > 0:
        margin = int(np.ceil(grow)) + 1
        ink = np.pad(ink, margin)
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
    mask = np.pad((ink > 0.5).astype(np.uint8), 1)
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


def picture_size(image: Any) -> tuple[int, int]:
    """Width and height in pixels of what `find_ink` takes, after EXIF orientation."""
    if image is None:
        return SIDE, SIDE
    if isinstance(image, dict):
        layers = [layer for layer in image.get("layers") or [] if layer is not None]
        return picture_size(layers[0] if layers else image.get("composite"))
    if isinstance(image, str | os.PathLike | bytes):
        file = io.BytesIO(image) if isinstance(image, bytes) else image
        with Image.open(file, formats=FORMATS) as opened:  # reads the header alone
            sideways = opened.getexif().get(ExifTags.Base.Orientation, 1) >= 5
            return opened.size[::-1] if sideways else opened.size
    return image.size if isinstance(image, Image.Image) else image.shape[1::-1]
