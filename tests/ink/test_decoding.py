"""Pictures from anyone: one answer for one drawing however it is stored, and no harm from any."""

import io
from pathlib import Path

import hostile
import numpy as np
import pytest
from PIL import Image

from mnist_cnn.ink.decoding import (
    LIMITS,
    PictureError,
    decode,
    header_size,
)

ORIENTATION = 0x0112
# What turns an upright picture into one that EXIF's orientation 1 to 8 turns back.
STORED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
GROUNDS = {"white": ("white", "black"), "black": ("black", "white"), "blue": ("navy", "yellow")}


def sixteen_bits(image: Image.Image) -> Image.Image:
    return Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)


def one_bit(image: Image.Image) -> Image.Image:
    return image.convert("1", dither=Image.Dither.NONE)


def with_alpha(image: Image.Image) -> Image.Image:
    """A sticker: the drawing is opaque, the ground is see-through and black underneath."""
    pixels = np.asarray(image.convert("RGB")).astype(int)
    ink = np.abs(pixels - pixels[0, 0]).max(2) > 100
    colour = np.where(ink[..., None], pixels, 0)
    return Image.fromarray(np.dstack([colour, ink * 255]).astype(np.uint8))


# name: format, how the picture is changed before, options. All but GIF and BMP can hold EXIF.
ENCODINGS = {
    "png": ("PNG", None, {}),
    "png-grey": ("PNG", "L", {}),
    "png-palette": ("PNG", "P", {}),
    "png-1": ("PNG", one_bit, {}),
    "png-16": ("PNG", sixteen_bits, {}),
    "png-alpha": ("PNG", with_alpha, {}),
    "jpeg": ("JPEG", None, {"quality": 85}),
    "jpeg-grey": ("JPEG", "L", {"quality": 60}),
    "jpeg-progressive": ("JPEG", None, {"progressive": True}),
    "jpeg-cmyk": ("JPEG", "CMYK", {}),
    "webp": ("WEBP", None, {"quality": 80}),
    "webp-lossless": ("WEBP", None, {"lossless": True}),
    "bmp": ("BMP", None, {}),
    "gif": ("GIF", "P", {}),
}


def stored(name: str, orientation: int, ground: str) -> bytes:
    paper, pen = GROUNDS[ground]
    image = hostile.digit(200, "RGB", paper, pen)
    kind, change, options = ENCODINGS[name]
    image = change(image) if callable(change) else image.convert(change or "RGB")
    if kind in ("BMP", "GIF"):
        return hostile.encoded(image, kind, **options)
    if STORED[orientation] is not None:
        image = image.transpose(STORED[orientation])
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return hostile.encoded(image, kind, exif=exif, **options)


@pytest.mark.parametrize("ground", GROUNDS)
@pytest.mark.parametrize("name", ENCODINGS)
def test_one_drawing_is_one_digit_however_it_is_stored(model, name, ground):
    plain = model.predict(stored("png", 1, "white"))
    assert plain.digit == 7
    for orientation in STORED:
        answer = model.predict(stored(name, orientation, ground))
        assert answer.digit == 7, orientation
        if not name.startswith(("jpeg", "webp", "png-1")) or name == "webp-lossless":
            assert np.abs(answer.probs - plain.probs).max() < 0.02, orientation


def test_a_picture_stands_as_its_exif_says():
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    content = hostile.encoded(Image.new("L", (30, 20)), "JPEG", exif=exif)
    image, size = decode(content, "it", 1000)
    assert image.size == size == header_size(content)
    assert header_size(content) == (20, 30)


def test_damaged_exif_does_not_keep_a_picture_from_being_read():
    content = hostile.encoded(hostile.digit(64), "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff" * 4)
    image, size = decode(content, "it", 1000)
    assert image.size == size == header_size(content) == (64, 64)


@pytest.mark.parametrize(
    ("kind", "content", "message"),
    [
        ("empty", b"", "it: the file is empty"),
        ("bytes", b"x" * (LIMITS.file_bytes + 1), "it: larger than 64 MB"),
        ("format", b"GIF87", "it: not a picture; PNG, JPEG, WEBP, BMP, GIF are read"),
        ("pixels", hostile.png_claiming(4001, 4000), "it: 4001×4000 pixels are too many"),
        ("pixels", hostile.png_claiming(60_000, 60_000), "at most 16 million are read"),
        ("damaged", hostile.whole()["png"][:100], "it: the picture is damaged: "),
    ],
    ids=["empty", "bytes", "format", "pixels", "bomb", "damaged"],
)
def test_refusals_say_what_and_why(kind, content, message):
    with pytest.raises(PictureError) as refusal:
        decode(content, "it", 1000)
    assert refusal.value.kind == kind
    assert message in str(refusal.value)


def test_a_progressive_jpeg_is_refused_for_its_scans_alone():
    few, many = hostile.many_scans(1000, 10), hostile.many_scans(1000, 300)
    assert decode(few, "it", 1000)[0].size == (1000, 1000)
    with pytest.raises(PictureError, match=r"30\d progressive scans of 1000×1000") as refusal:
        decode(many, "it", 1000)
    assert refusal.value.kind == "scans"
    assert LIMITS.scanned_pixels < 300 * 1000 * 1000


def test_large_jpegs_come_at_a_reduced_size():
    content = hostile.encoded(Image.new("L", (8000, 6000)), "JPEG")
    for longest, size in ((1000, (1000, 750)), (4000, (4000, 3000))):
        image, given = decode(content, "it", longest)
        assert (image.size, given) == (size, (8000, 6000))


def test_names_are_not_believed(tmp_path, model):
    for name in ("seven.gif", "seven.svg", "seven.txt", "seven"):
        (tmp_path / name).write_bytes(hostile.encoded(hostile.digit(200), "PNG"))
        assert model.predict(tmp_path / name).digit == 7


def test_opencv_never_decodes_files():
    """Its decoders are not hardened; what the app imports must not call them."""
    folder = Path(__file__).parents[2]
    sources = [folder / "app.py", *(folder / "mnist_cnn").rglob("*.py")]
    written = {"wear.py"}  # adds JPEG's traces to its own pictures while training
    for source in sources:
        if source.name not in written:
            text = source.read_text(encoding="utf-8")
            assert "imread" not in text, source
            assert "imdecode" not in text, source


def test_two_hundred_thousand_accidents_do_no_harm():
    """`python -m tests.hostile --n 5000000 --seed 1` looks further."""
    assert hostile.fuzz(200_000, seed=0) > 20_000


def test_the_fuzzer_finds_what_is_there(monkeypatch):
    """A decoder that stumbles over one byte is caught."""

    def broken(content: bytes, name: str, longest: int):
        if content[-1] == 7:
            raise KeyError("a bug")
        return decode(content, name, longest)

    monkeypatch.setattr(hostile.decode, "decode", broken)
    with pytest.raises(AssertionError, match=r"input \d+ of seed 1: "):
        hostile.fuzz(20_000, 1)


def test_pictures_of_files_and_bytes_are_one(tmp_path):
    content = stored("webp", 6, "blue")
    (tmp_path / "a.webp").write_bytes(content)
    from mnist_cnn.ink import open_picture

    pixels = [np.asarray(open_picture(each)) for each in (content, tmp_path / "a.webp")]
    assert (pixels[0] == pixels[1]).all()
    assert np.asarray(Image.open(io.BytesIO(content))).shape == pixels[0].shape
