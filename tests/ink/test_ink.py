import io
import struct
import time
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from benchmarks import photos
from mnist_cnn.data.drawn.strokes import Brush, draw
from mnist_cnn.ink import WORK_SIDE, find_ink, frame, stroke_width
from mnist_cnn.ink.geometry import distances

PEN = Brush("round", 0.08)


def sketch(digit: int, size: int = 280) -> np.ndarray:
    """A drawing, black on white, `(size, size)` uint8, with a margin."""
    ink = draw(digit, np.random.default_rng(digit), size - 80, brush=PEN)
    return 255 - np.round(np.pad(ink, 40) * 255).astype(np.uint8)


def coloured(drawing: np.ndarray, ink: tuple, ground: tuple) -> np.ndarray:
    share = 1 - drawing[..., None] / 255
    return np.round(share * np.array(ink) + (1 - share) * np.array(ground)).astype(np.uint8)


def saved(image: Image.Image | np.ndarray, kind: str = "PNG", **options) -> bytes:
    stream = io.BytesIO()
    image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    image.save(stream, kind, **options)
    return stream.getvalue()


def close(a: np.ndarray, b: np.ndarray) -> bool:
    """The same frame but for rounding and resampling."""
    return np.abs(a.astype(int) - b).mean() < 3 and np.abs(a.astype(int) - b).max() < 110


def test_framing_returns_real_digits_bit_for_bit(test_set):
    digits = test_set[0].numpy()
    same = np.mean([(frame(find_ink(digit)) == digit).all() for digit in digits])
    assert same == 1


def test_framing_returns_stored_frames_bit_for_bit(frames):
    for stored in frames:
        assert (frame(find_ink(stored)) == stored).all()
        assert (frame(find_ink(255 - stored)) == stored).all()


def test_a_frame_has_the_geometry_of_mnist():
    """A 40×10 bar is scaled to 20×5, and its middle row and column come to lie on 14."""
    drawing = np.zeros((100, 100), np.uint8)
    drawing[20:60, 70:80] = 255
    rows, columns = np.nonzero(frame(find_ink(drawing)) > 127)
    assert (rows.min(), rows.max()) == (4, 23)
    assert (columns.min(), columns.max()) == (12, 16)


@pytest.mark.parametrize("digit", range(10))
def test_moving_scaling_and_recolouring_leave_the_frame(digit):
    drawing = sketch(digit)
    expected = frame(find_ink(drawing))
    moved = np.full_like(drawing, 255)
    moved[:-35, 35:] = drawing[35:, :-35]
    padded = np.pad(drawing, ((0, 300), (100, 0)), constant_values=255)
    variants = {
        "inverted": 255 - drawing,
        "grey ink": coloured(drawing, (120,) * 3, (255,) * 3),
        "red on blue": coloured(drawing, (220, 30, 30), (30, 40, 200)),
        "yellow on white": coloured(drawing, (250, 230, 40), (255,) * 3),
        "black on green board": coloured(drawing, (255, 255, 240), (20, 70, 50)),
        "moved": moved,
        "small in a corner": padded,
        "colour": np.dstack([drawing] * 3),
        "float": drawing / 255,
        "16 bits": drawing.astype(np.uint16) * 257,
    }
    for name, variant in variants.items():
        assert close(frame(find_ink(variant)), expected), name


@pytest.mark.parametrize("digit", range(10))
def test_the_answer_survives_scaling_and_transparency(model, digit):
    drawing = sketch(digit)
    on_nothing = np.dstack([np.zeros((*drawing.shape, 3), np.uint8), 255 - drawing])
    chalk = np.dstack([np.full((*drawing.shape, 3), 255, np.uint8), 255 - drawing])
    variants = [drawing, on_nothing, chalk]
    variants += [
        cv2.resize(drawing, (side, side), interpolation=cv2.INTER_AREA) for side in (64, 140, 900)
    ]
    assert [p.digit for p in model.predict(variants)] == [digit] * len(variants)


def test_every_mode_and_encoding_gives_the_same_frame():
    drawing = sketch(3)
    expected = frame(find_ink(drawing))
    grey = Image.fromarray(drawing)
    pictures = {
        "1": grey.convert("1", dither=Image.Dither.NONE),
        "P": grey.convert("P"),
        "RGB": grey.convert("RGB"),
        "RGBA": grey.convert("RGBA"),
        "LA": grey.convert("LA"),
        "CMYK": grey.convert("CMYK"),
        "YCbCr": grey.convert("RGB").convert("YCbCr"),
        "I": Image.fromarray(drawing.astype(np.int32) * 257),
        "I;16": Image.fromarray(drawing.astype(np.uint16) * 257),
        "F": Image.fromarray(drawing.astype(np.float32) / 255),
        "PNG": saved(grey),
        "PNG 16": saved(Image.fromarray(drawing.astype(np.uint16) * 257)),
        "JPEG": saved(grey, "JPEG", quality=90),
        "CMYK JPEG": saved(grey.convert("CMYK"), "JPEG", quality=95),
        "WEBP": saved(grey.convert("RGB"), "WEBP", lossless=True),
        "BMP": saved(grey, "BMP"),
        "GIF": saved(grey, "GIF"),
    }
    for name, picture in pictures.items():
        assert close(frame(find_ink(picture)), expected), name


@pytest.mark.parametrize(
    ("orientation", "turned"),
    [(3, "ROTATE_180"), (6, "ROTATE_90"), (8, "ROTATE_270")],
)
def test_exif_orientation_is_applied(orientation, turned):
    upright = Image.fromarray(sketch(7))
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(upright.transpose(Image.Transpose[turned]), "PNG", exif=exif)
    assert (frame(find_ink(data)) == frame(find_ink(upright))).all()


def test_the_first_frame_of_an_animation_is_read():
    first, second = (Image.fromarray(sketch(digit)) for digit in (3, 8))
    data = saved(first, "GIF", save_all=True, append_images=[second])
    assert close(frame(find_ink(data)), frame(find_ink(first)))


def test_opaque_paper_on_transparency_is_paper():
    drawing = sketch(4)
    alpha = np.full(drawing.shape, 255, np.uint8)
    alpha[:20], alpha[:, -20:] = 0, 0
    picture = np.dstack([drawing, drawing, drawing, alpha])
    assert close(frame(find_ink(picture)), frame(find_ink(drawing)))


@pytest.mark.parametrize(
    "blank",
    [
        np.zeros((28, 28), np.uint8),
        np.full((200, 300, 3), 255, np.uint8),
        np.full((50, 50), 0.5),
        np.zeros((40, 40, 4), np.uint8),
        np.zeros((1, 1), np.uint8),
        np.full((1, 4000), 128, np.uint8),
        Image.new("RGBA", (30, 30), (255, 0, 0, 0)),
    ],
    ids=["black", "white", "grey", "transparent", "1×1", "line", "transparent red"],
)
def test_blank_pictures_have_an_empty_frame(blank):
    assert not frame(find_ink(blank)).any()


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds next to nothing."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + check

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


PNG = saved(sketch(1))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (b"", "empty"),
        (b"no picture at all", "not a picture"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'></svg>", "not a picture"),
        (PNG[:60], "damaged|not a picture"),
        (PNG[: len(PNG) // 2], "damaged"),
        (png_header(30_000, 30_000), "its pixels are too many"),
        (png_header(5_000, 5_000), "5000×5000 pixels are too many"),
        ("nowhere.png", "no such file"),
        (np.full((28, 28), np.nan), "must lie in"),
        (np.full((28, 28), 255.0), "divide by its maximum"),
        (np.full((28, 28), -0.1), "must lie in"),
        (np.zeros((28, 28), np.int64), "int64"),
        (np.zeros((28, 28), complex), "complex"),
        (np.array([["7"]]), "must be bool"),
        (np.zeros(784, np.uint8), r"got \(784,\)"),
        (np.zeros((5, 28, 28), np.uint8), "pass a list"),
        (np.zeros((0, 28), np.uint8), r"got \(0, 28\)"),
        (None, "cannot read None as a picture: pass a path"),
        (7, "cannot read a int"),
        (Image.fromarray(np.full((9, 9), 70_000, np.int32)), "0 to 65535"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_pictures_are_refused_with_what_to_do(bad, message):
    start = time.perf_counter()
    with pytest.raises(ValueError, match=message):
        find_ink(bad)
    assert time.perf_counter() - start < 1  # nothing large was decoded


def test_a_folder_is_no_picture(tmp_path):
    with pytest.raises(ValueError, match="is a folder: pass a picture's file"):
        find_ink(tmp_path)


def test_large_pictures_are_reduced():
    tall = np.full((4000, 900), 255, np.uint8)
    tall[500:3500, 400:500] = 0
    assert find_ink(tall).levels.shape == (WORK_SIDE, round(900 * WORK_SIDE / 4000))
    jpeg = saved(np.full((6000, 8000), 255, np.uint8), "JPEG")  # 48 million pixels
    assert max(find_ink(jpeg).levels.shape) <= WORK_SIDE


def test_distances_are_those_of_every_machine():
    """Three diagonal steps: 4.19999981 with Intel's IPP, 4.19998169 on ARM and in browsers."""
    mask = np.ones((9, 9), np.uint8)
    mask[0, 0] = 0
    used = cv2.ipp.useIPP()
    assert distances(mask)[3, 3] == np.float32(4.19998169)
    assert cv2.ipp.useIPP() == used


def test_frames_do_not_depend_on_what_opencv_may_use():
    """Small drawings are enlarged, and their strokes changed: both differ with Intel's IPP."""
    drawings = [
        cv2.resize(sketch(digit), (side, side), interpolation=cv2.INTER_AREA)
        for digit in range(10)
        for side in (24, 40, 280)
    ]
    used = cv2.ipp.useIPP()
    frames = [frame(find_ink(drawing)) for drawing in drawings]
    try:
        cv2.ipp.setUseIPP(False)
        assert all((frame(find_ink(d)) == f).all() for d, f in zip(drawings, frames, strict=True))
    finally:
        cv2.ipp.setUseIPP(used)


def test_stroke_width_of_a_bar():
    ink = np.zeros((60, 60), np.float32)
    ink[5:55, 20:32] = 1
    assert stroke_width(ink) == pytest.approx(12, rel=0.2)


@pytest.mark.parametrize("brush", [3, 40])
def test_thin_and_fat_strokes_come_near_the_usual_width(brush):
    ink = np.zeros((280, 280), np.uint8)
    points = np.array([[60, 50], [220, 50], [120, 240]])
    cv2.polylines(ink, [points], False, 255, brush, cv2.LINE_AA)
    shown = frame(find_ink(ink)).astype(np.float32) / 255
    large = cv2.resize(shown, (112, 112), interpolation=cv2.INTER_CUBIC)
    assert 1.4 <= stroke_width(large) / 4 <= 4.2


@pytest.mark.parametrize("digit", range(10))
def test_photos_with_uneven_light_are_read(model, digit):
    """Pencil on paper under a lamp: the ground runs from light to dark, with noise."""
    rng = np.random.default_rng(digit)
    ink = np.pad(draw(digit, rng, 240, brush=PEN), 80)
    light = np.linspace(0.95, 0.45, ink.shape[1])[None, :]
    photo = light * (1 - 0.6 * ink) + rng.normal(0, 0.015, ink.shape)
    picture = np.round(np.clip(photo, 0, 1) * 255).astype(np.uint8)
    assert model.predict(saved(picture, "JPEG", quality=80)).digit == digit


def paper(digit: int | None = None, side: int = 400, noise: float = 0.01) -> np.ndarray:
    """Paper in uneven light, `(side, side)` float in [0, 1], perhaps with a pen's digit on it."""
    rng = np.random.default_rng(digit or 0)
    ink = np.zeros((side, side), np.float32)
    if digit is not None:
        ink[side // 4 : side * 3 // 4, side // 4 : side * 3 // 4] = draw(
            digit, rng, side // 2, brush=PEN
        )
    light = np.linspace(0.95, 0.75, side)[None, :]
    return light * (1 - 0.7 * ink) + rng.normal(0, noise, ink.shape)


def photo(picture: np.ndarray) -> bytes:
    return saved(np.round(np.clip(picture, 0, 1) * 255).astype(np.uint8), "JPEG", quality=85)


def ruled(picture: np.ndarray, squares: bool, slope: float = 0.05) -> np.ndarray:
    """Printed lines, slightly turned, as dark as a pencil."""
    lines = np.ones(picture.shape, np.float32)
    side = len(picture)
    for at in range(-20, side + 20, 45):
        drop = round(slope * side)
        cv2.line(lines, (0, at), (side, at + drop), 0.55, 2)
        if squares:
            cv2.line(lines, (at + drop, 0), (at, side), 0.55, 2)
    return np.minimum(picture, picture * lines + 0.5 * (picture < 0.4))


def shadowed(picture: np.ndarray) -> np.ndarray:
    """A hard shadow over the left, whose edge runs outside the digit."""
    return picture * np.where(np.arange(len(picture)) < 80, 0.5, 1)


def with_finger(picture: np.ndarray) -> np.ndarray:
    held = picture.copy()
    cv2.ellipse(held, (200, 400), (28, 60), 0, 0, 360, 0.3, -1)
    return held


def on_table(picture: np.ndarray) -> np.ndarray:
    table = np.full((560, 560), 0.25) + np.random.default_rng(0).normal(0, 0.02, (560, 560))
    table[60:460, 90:490] = picture
    return table


CIRCUMSTANCES = {
    "lined": lambda picture: ruled(picture, squares=False),
    "squared": lambda picture: ruled(picture, squares=True),
    "shadow": shadowed,
    "finger": with_finger,
    "table": on_table,
    "blackboard": lambda picture: 1.05 - picture,
}


@pytest.mark.parametrize("name", CIRCUMSTANCES)
def test_photos_are_read_in_all_circumstances(model, name):
    change = CIRCUMSTANCES[name]
    plain = model.predict([photo(paper(digit)) for digit in range(10)])
    changed = model.predict([photo(change(paper(digit))) for digit in range(10)])
    assert [p.digit for p in plain] == [*range(10)]
    assert [p.digit for p in changed] == [*range(10)]


@pytest.mark.parametrize("change", [None, "lined", "squared", "shadow", "table"])
@pytest.mark.parametrize("noise", [0.005, 0.03])
def test_blank_paper_has_an_empty_frame(change, noise):
    blank = paper(noise=noise)
    assert not frame(find_ink(photo(CIRCUMSTANCES[change](blank) if change else blank))).any()


def parts(ink: np.ndarray) -> int:
    return cv2.connectedComponents((ink > 0.5).astype(np.uint8))[0] - 1


def test_a_detached_hat_is_kept_and_specks_are_dropped():
    """A 5 in two strokes: its hat lies 12 pixels from its body. Specks lie near and far."""
    picture = paper()
    body = np.array([[150, 140], [150, 200], [230, 220], [220, 280], [150, 290]])
    cv2.polylines(picture, [body], False, 0.2, 10)
    cv2.line(picture, (165, 128), (240, 122), 0.2, 10)
    expected = frame(find_ink(photo(picture)))
    assert parts(find_ink(photo(picture)).levels) == 2
    for speck in ((60, 60), (330, 350), (190, 250), (120, 200)):
        cv2.circle(picture, speck, 3, 0.2, -1)
    assert close(frame(find_ink(photo(picture))), expected)


def test_a_stroke_with_gaps_is_one_digit():
    """Each gap is 4 of 200 pixels long; without joining, all but one piece would be lost."""
    picture = paper()
    cv2.line(picture, (200, 100), (200, 300), 0.2, 10)
    whole = frame(find_ink(photo(picture)))
    for row in range(110, 300, 18):
        picture[row : row + 4, 190:211] = 0.85
    rows = frame(find_ink(photo(picture))).sum(1, dtype=int)
    rows = rows[rows > 0]
    assert abs(len(rows) - whole.any(1).sum()) <= 1
    assert rows.min() > 0.4 * rows.max()


def test_lines_are_erased_and_strokes_across_them_are_whole():
    plain, lined = paper(2), ruled(paper(2), squares=True)
    assert close(frame(find_ink(photo(lined))), frame(find_ink(photo(plain))))


def test_a_stroke_along_a_printed_line_is_kept_if_it_is_darker():
    """A 7 whose bar lies on a ruled line; without its bar it would be a 1."""
    seven = np.array([[140, 122], [260, 128], [190, 290]], np.int32)
    picture = ruled(paper(), squares=False)
    cv2.polylines(picture, [seven], False, 0.1, 3)
    seen = frame(find_ink(photo(picture)))
    bar = seen[seen.any(1)][:3].max(0) > 150
    assert bar.sum() >= 12


def test_a_stroke_that_grows_faint_is_kept_whole():
    """The pen leaves 70 % contrast at the top and 25 % at the bottom."""
    picture = paper()
    for row in range(100, 300):
        picture[row, 195:205] = 0.9 * (0.3 + 0.45 * (row - 100) / 200)
    rows = np.flatnonzero(frame(find_ink(photo(picture))).max(1) > 150)
    assert len(rows) >= 19


def test_a_small_shadow_is_no_ink():
    """It is as dark as a pencil and narrower than a marker's stroke may be, but not this pen's."""
    picture = paper(3)
    expected = frame(find_ink(photo(picture)))
    light = np.ones(picture.shape, np.float32)
    cv2.circle(light, (320, 200), 30, 0.5, -1)
    shadowed = picture * cv2.GaussianBlur(light, (0, 0), 4)
    assert close(frame(find_ink(photo(shadowed))), expected)


def test_a_bold_digit_on_dense_squares_is_found():
    """Lines every 8 pixels cover so much that they look like noise to the noise's estimate."""
    picture = paper(4)
    for at in range(3, 400, 8):
        picture[at : at + 2] = np.minimum(picture[at : at + 2], 0.55)
        picture[:, at : at + 2] = np.minimum(picture[:, at : at + 2], 0.55)
    found = find_ink(photo(picture)).levels
    true = cv2.resize((paper(4) < 0.5).astype(np.float32), found.shape[::-1])
    assert (found * true).sum() > 0.7 * true.sum()


def test_a_ring_that_touches_the_border_keeps_its_dot():
    """Without the ring, the dot alone would be framed: a fat 1."""
    picture = paper()
    cv2.ellipse(picture, (200, 100), (70, 98), 0, 0, 360, 0.2, 9)
    cv2.line(picture, (195, 85), (207, 115), 0.2, 9)
    seen = frame(find_ink(photo(picture)))
    assert seen[14, 11:17].max() > 100  # the dot
    columns = np.flatnonzero((seen > 100).any(0))
    assert columns[-1] - columns[0] >= 11  # the ring is about 0.7 times as wide as high


def test_a_finger_in_dim_light_is_not_what_is_written():
    """It is lighter than all else in the picture."""
    for digit in (2, 3, 6, 9):
        held = 0.42 * paper(digit)
        cv2.ellipse(held, (400, 330), (60, 25), 0, 0, 360, 0.9, -1)
        assert close(frame(find_ink(photo(held))), frame(find_ink(photo(paper(digit))))), digit


HARD = {
    "lines one pixel thick": ("scan", 45),
    "lines of a narrow sheet": ("scan", 119),
    "bold strokes along faint squares": ("squared paper", 37),
    "a 1 in line with the grain of a table": ("table", 119),
    "a noisy stroke": ("pencil", 468),
    "grain as high as the digit, but weaker": ("camera photo", 495),
}


@pytest.mark.parametrize("name", HARD)
def test_pictures_that_were_once_misread(model, data_dir, name):
    file, _, digit = photos.picture(*HARD[name], photos.Digits(data_dir))
    assert model.predict(file).digit == digit


def test_the_body_of_a_five_may_touch_the_border():
    """Its hat, which does not, is nearly as long."""
    five = np.full((400, 400), 0.9)
    cv2.polylines(five, [np.array([[150, 200], [290, 240], [210, 340], [90, 398]])], False, 0.2, 44)
    cv2.line(five, (180, 110), (320, 90), 0.2, 44)
    seen = find_ink(photo(five * paper())).levels
    assert parts(seen) == 2


def test_a_finger_in_an_overexposed_photo_is_no_ink():
    """The paper is white to the last bit, so that the picture looks drawn."""
    picture = np.full((400, 400), 255, np.uint8)
    cv2.polylines(picture, [np.array([[130, 130], [250, 130], [170, 300]])], False, 40, 8)
    expected = frame(find_ink(picture))
    cv2.ellipse(picture, (300, 400), (28, 60), 0, 0, 360, 120, -1)
    assert close(frame(find_ink(picture)), expected)


@pytest.mark.parametrize("shape", [(1, 300), (400, 1), (2, 4000), (1, 1)])
def test_pictures_one_pixel_wide_are_looked_at(shape):
    noise = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    assert find_ink(noise).levels.ndim == 2


def written(shape: tuple[int, int], strokes: list[list[tuple[int, int]]], pen: int) -> np.ndarray:
    """Dark strokes on paper in uneven light, with a little noise, `shape`, float in [0, 1]."""
    sheet = np.linspace(0.75, 0.95, shape[1]) + np.random.default_rng(0).normal(0, 0.01, shape)
    for stroke in strokes:
        cv2.polylines(sheet, [np.array(stroke)], False, 0.2, pen)
    return sheet


ROW = [[(80, 18), (80, 112)], [(220, 18), (220, 112)], [(350, 25), (430, 25), (380, 110)]]
COLUMN = [[(20, 60), (105, 60), (50, 200)], [(20, 300), (105, 300), (50, 440)]]


@pytest.mark.parametrize("pen", [2, 4])
@pytest.mark.parametrize(("shape", "strokes"), [((128, 512), ROW), ((512, 128), COLUMN)])
def test_strokes_through_all_of_a_narrow_picture_are_no_printed_lines(shape, strokes, pen):
    found = find_ink(photo(written(shape, strokes, pen))).levels
    for stroke in strokes:
        place = np.zeros(shape, np.uint8)
        cv2.polylines(place, [np.array(stroke[:2])], False, 1, 1)
        assert (found[place > 0] > 0.5).mean() > 0.9


@pytest.mark.parametrize("speck", [0, 4])
def test_chalk_at_the_border_is_seen_beside_a_dark_speck(speck):
    board = np.full((400, 400), 0.25) * np.linspace(0.8, 1.2, 400)
    cv2.line(board, (200, 0), (190, 250), 0.85, 12)
    if speck:
        cv2.circle(board, (320, 320), speck, 0.08, -1)
    assert find_ink(photo(board)).levels[20:240, 185:206].max(1).mean() > 0.9


def test_a_fat_digit_at_the_border_of_a_drawing_is_kept_beside_thin_strokes():
    """The ring of a slashed 0, and its slash, which alone would be a 1."""
    ring = np.zeros((400, 400), np.uint8)
    cv2.ellipse(ring, (200, 230), (120, 150), 0, 0, 360, 255, 40)
    drawing = cv2.line(ring.copy(), (170, 290), (230, 170), 255, 8)
    assert find_ink(drawing).levels[ring > 0].mean() > 0.95


def test_a_hairline_on_a_large_canvas_is_read(model):
    """It fades when it is made smaller."""
    canvas = np.full((1000, 1000), 255, np.uint8)
    cv2.polylines(
        canvas, [np.array([(250, 200), (700, 210), (420, 820)])], False, 0, 1, cv2.LINE_AA
    )
    assert model.predict(canvas).digit == 7


@pytest.mark.parametrize("height", [16, 30])
def test_a_tiny_digit_on_a_large_canvas_is_read(model, height):
    """All its ink is less than the hot pixels that so large a picture may have."""
    canvas = np.full((600, 600), 255, np.uint8)
    points = np.array([(0, 0), (0.6, 0), (0.25, 1)]) * height + (290, 280)
    cv2.polylines(canvas, [points.astype(int)], False, 0, 2)
    assert model.predict(canvas).digit == 7


def tight(digit: int, scale: int, frames: np.ndarray) -> np.ndarray:
    """A digit, white on black, cut out along its box and enlarged."""
    left, top, width, height = cv2.boundingRect((frames[10 * digit] > 60).astype(np.uint8))
    cut = frames[10 * digit][top : top + height, left : left + width]
    return cv2.resize(cut, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)


@pytest.mark.parametrize("scale", [6, 12])
def test_digits_cut_out_along_their_box_are_read(model, frames, scale):
    """Most of the border is ink or its soft edge: the ground is one of two colours."""
    digits = [digit for digit in range(10) if model.predict(frames[10 * digit]).digit == digit]
    assert len(digits) > 7
    for digit in digits:
        picture = tight(digit, scale, frames)
        assert model.predict(picture).digit == digit
        assert model.predict(255 - picture).digit == digit


def test_a_sheet_between_black_bars_is_no_fat_digit(model):
    for bars in (((60, 60), (0, 0)), ((40, 40), (40, 40))):
        assert model.predict(np.pad(sketch(3), bars)).digit == 3


def test_an_underline_is_no_part_of_a_digit():
    drawing = sketch(3)
    cv2.line(drawing, (45, 255), (235, 262), 0, 10)
    assert close(frame(find_ink(drawing)), frame(find_ink(sketch(3))))


@pytest.mark.parametrize("kind", ["box", "circle"])
def test_what_is_drawn_around_a_digit_is_no_ink(kind):
    picture = sketch(3)
    if kind == "box":
        cv2.rectangle(picture, (12, 12), (267, 267), 0, 4)
    else:
        cv2.circle(picture, (140, 140), 135, 0, 4)
    assert close(frame(find_ink(picture)), frame(find_ink(sketch(3))))


def test_the_base_of_a_broken_two_is_its_own(model):
    canvas = np.full((400, 400), 255, np.uint8)
    cv2.ellipse(canvas, (200, 130), (70, 70), 0, -160, 60, 0, 18)
    cv2.line(canvas, (235, 190), (135, 300), 0, 18)
    cv2.line(canvas, (140, 330), (270, 330), 0, 18)
    assert model.predict(canvas).digit == 2


def test_a_digit_at_the_border_is_read_beside_a_speck(model):
    canvas = np.full((400, 400), 255, np.uint8)
    cv2.polylines(canvas, [np.array([(120, 120), (280, 120), (190, 400)])], False, 0, 18)
    cv2.circle(canvas, (30, 30), 5, 0, -1)
    assert model.predict(canvas).digit == 7


def test_a_badge_is_no_fat_zero(model):
    badge = np.full((400, 400), 255, np.uint8)
    cv2.circle(badge, (200, 200), 176, 90, -1)
    cv2.polylines(badge, [np.array([(150, 110), (250, 110), (190, 290)])], False, 255, 22)
    assert model.predict(badge).digit == 7


@pytest.mark.parametrize("digit", [6, 8, 9])
def test_what_lies_in_the_loop_of_a_digit_makes_it_no_frame(model, digit):
    drawing = sketch(digit, 400)
    contours, tree = cv2.findContours((drawing < 128).astype(np.uint8), cv2.RETR_CCOMP, 1)
    holes = [contour for contour, own in zip(contours, tree[0], strict=True) if own[3] >= 0]
    x, y, width, height = cv2.boundingRect(max(holes, key=cv2.contourArea))
    blot = (x + width // 2, y + height // 2), (width // 6, height // 4)
    cv2.ellipse(drawing, *blot, 0, 0, 360, 0, -1)
    assert (find_ink(drawing).levels[sketch(digit, 400) < 128] > 0.5).mean() > 0.9


@pytest.mark.parametrize("inside", ["dot", "slash"])
def test_the_dot_and_the_slash_of_a_zero_are_its_own(inside):
    zero = np.zeros((280, 280), np.uint8)
    cv2.ellipse(zero, (140, 140), (60, 90), 0, 0, 360, 255, 12)
    if inside == "dot":
        cv2.circle(zero, (140, 140), 14, 255, -1)
    else:
        cv2.line(zero, (125, 180), (155, 100), 255, 12)
    found = find_ink(zero).levels
    assert found[zero > 0].mean() > 0.95


@pytest.mark.parametrize("margin", [2, 4])
def test_every_digit_of_a_long_strip_is_ink(margin):
    """Its height says what is large and near, not its length."""
    strip, starts = np.full((104, 980), 255, np.uint8), range(40, 900, 200)
    for x in starts:
        lower = 20 * (x % 400 < 200)  # every second digit, and clear of the border
        seven = np.array([(x, 3 + lower), (x + 60, 3 + lower), (x + 25, 100 - lower)])
        cv2.polylines(strip, [seven], False, 0, 5)
    found = find_ink(np.pad(strip, margin, constant_values=255)).levels
    assert all(found[:, x : x + 60].max() > 0.9 for x in starts)


@pytest.mark.parametrize("digit", ["1", "7"])
def test_a_digit_as_straight_as_the_squares_that_it_stands_on_is_kept(digit, model):
    """In uneven light, and with strokes three times as thick as the lines, or more."""
    strokes = {"1": [[(305, 160), (305, 620)]], "7": [[(150, 165), (440, 165), (300, 620)]]}[digit]
    right = 0
    for seed, thick in enumerate((14, 24, 36, 48)):
        rng = np.random.default_rng(seed)
        page = np.full((800, 600, 3), 228, np.float32)
        for place in range(25, 800, 50):
            cv2.line(page, (0, place), (600, place), (150, 170, 215), 2, cv2.LINE_AA)
            cv2.line(page, (place, 0), (place, 800), (150, 170, 215), 2, cv2.LINE_AA)
        for stroke in strokes:
            cv2.polylines(page, [np.array(stroke)], False, (25, 25, 30), thick, cv2.LINE_AA)
        page *= np.linspace(1.05, 0.75, 600)[:, None]
        page = cv2.GaussianBlur(page, (0, 0), 1) + rng.normal(0, 3, page.shape)
        photo = saved(np.clip(page, 0, 255).astype(np.uint8), "JPEG", quality=80)
        right += model.predict(photo).digit == int(digit)
    assert right == 4
