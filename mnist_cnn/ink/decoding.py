"""From a picture's bytes to pixels, when the bytes may come from anyone.

Five formats, recognised by content and never by name. What a file says of its size is checked
before any pixel is decoded, so that a few bytes cannot claim gigabytes. Everything else that a
decoder may do with a damaged file ends in one error with a sentence: `PictureError`.
"""

import io
import os
import warnings
from dataclasses import dataclass

from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF")


@dataclass(frozen=True)
class Limits:
    """What is read at most; more is refused before any pixel is decoded."""

    file_bytes: int = 64 * 2**20
    pixels: int = 16_000_000
    jpeg_pixels: int = 64_000_000  # JPEGs are decoded at a reduced size, so they may be larger
    # Every scan of a progressive JPEG visits all pixels again. Cameras write about ten.
    scanned_pixels: int = 250_000_000


LIMITS = Limits()


class PictureError(ValueError):
    """A picture that is not read, with a sentence that says why.

    Attributes:
        kind: the reason in one word: "empty", "bytes", "format", "pixels", "scans" or "damaged".
    """

    def __init__(self, kind: str, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")
        self.kind = kind


def decode(source: bytes, name: str, longest: int) -> tuple[Image.Image, tuple[int, int]]:
    """A picture, EXIF orientation applied, the first frame of an animation; and its size as given.

    Args:
        source: the file's content.
        name: what to call the picture in an error.
        longest: a JPEG much larger than this many pixels comes at 1/2, 1/4 or 1/8 of its size.

    Raises:
        PictureError: anything else than a whole picture of moderate size.
    """
    if not source:
        raise PictureError("empty", name, "the file is empty")
    if len(source) > LIMITS.file_bytes:
        raise PictureError("bytes", name, f"larger than {LIMITS.file_bytes // 2**20} MB")
    with warnings.catch_warnings():
        # Pillow warns of large and of damaged pictures; ours are refused or read.
        warnings.simplefilter("ignore")
        image = _opened(source, name)
        check_size(image, name)
        _check_scans(image, source, name)
        given = image.size
        try:
            scale = longest / max(given)
            wanted = round(image.width * scale), round(image.height * scale)
            image.draft("RGB" if image.mode == "YCbCr" else image.mode, wanted)
            image.load()
            upright = _upright(image)
        except Exception as error:  # decoders raise whatever a damaged file makes them stumble over
            raise PictureError("damaged", name, f"the picture is damaged: {error}") from error
    return upright, given if upright.size == image.size else given[::-1]


def _opened(source: bytes, name: str) -> Image.Image:
    """The picture with its header read and nothing decoded."""
    try:
        return Image.open(io.BytesIO(source), formats=FORMATS)
    except UnidentifiedImageError as error:
        reason = f"not a picture; {', '.join(FORMATS)} are read"
        raise PictureError("format", name, reason) from error
    except Image.DecompressionBombError as error:
        raise _too_many(name, "its", LIMITS.pixels) from error
    except Exception as error:
        raise PictureError("damaged", name, f"the picture is damaged: {error}") from error


def check_size(image: Image.Image, name: str) -> None:
    """Refuse more pixels than are read."""
    limit = LIMITS.jpeg_pixels if image.format == "JPEG" else LIMITS.pixels
    if image.width * image.height > limit:
        raise _too_many(name, f"{image.width}×{image.height}", limit)


def _too_many(name: str, size: str, limit: int) -> PictureError:
    reason = (
        f"{size} pixels are too many; at most {limit // 10**6} million are read. "
        "Reduce the picture first."
    )
    return PictureError("pixels", name, reason)


def _check_scans(image: Image.Image, source: bytes, name: str) -> None:
    if not image.info.get("progressive"):
        return
    # A marker's two bytes stand nowhere else in a scan: JPEG stuffs a zero between them.
    scans = source.count(b"\xff\xda")
    if scans * image.width * image.height > LIMITS.scanned_pixels:
        reason = f"{scans} progressive scans of {image.width}×{image.height} pixels are too many"
        raise PictureError("scans", name, f"{reason}. Save the picture as an ordinary JPEG.")


def header_size(source: bytes | str | os.PathLike[str]) -> tuple[int, int]:
    """Width and height in pixels, after EXIF orientation, from the header of a picture's file."""
    file = io.BytesIO(source) if isinstance(source, bytes) else source
    with Image.open(file, formats=FORMATS) as image:
        try:
            sideways = image.getexif().get(ExifTags.Base.Orientation, 1) >= 5
        except Exception:  # as in `_upright`
            sideways = False
        return image.size[::-1] if sideways else image.size


def _upright(image: Image.Image) -> Image.Image:
    """The picture as its EXIF orientation says; as it lies if its EXIF cannot be read."""
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # EXIF is a whole format of its own, and as often damaged
        return image
