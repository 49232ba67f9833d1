"""Reading several digits, drawn here point by point, so that the truth is known."""

import copy
import itertools
import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from mnist_cnn import __main__ as cli
from mnist_cnn.data.drawn.lines import write_line
from mnist_cnn.reading import lattice as read
from mnist_cnn.reading.evaluation import evidence
from mnist_cnn.reading.pieces import INKED, Line, Piece, around, cut_again, find_pieces
from mnist_cnn.reading.prediction import read_frames
from mnist_cnn.reading.reasons import Reason

# Strokes as "x,y" points in a box 40 wide and 60 high.
SHAPES = {
    "0": [[(20, 0), (5, 12), (0, 32), (6, 52), (20, 60), (34, 52), (40, 30), (34, 8), (20, 0)]],
    "1": [[(20, 0), (20, 60)]],
    "3": [[(4, 6), (20, 0), (34, 10), (30, 24), (16, 28), (32, 34), (36, 48), (20, 60), (2, 54)]],
    "5": [[(34, 2), (8, 2), (6, 24), (22, 22), (36, 36), (30, 54), (4, 58)]],
    "5 with a detached hat": [
        [(8, 10), (6, 30), (22, 26), (36, 40), (30, 56), (4, 60)],
        [(10, 0), (40, 0)],
    ],
    "7": [[(0, 2), (38, 2), (16, 60)]],
    "8": [[(36, 8), (20, 0), (6, 12), (20, 28), (36, 44), (22, 60), (6, 48), (20, 30), (36, 8)]],
    "-": [[(4, 30), (34, 30)]],
    "+": [[(4, 30), (34, 30)], [(19, 15), (19, 45)]],
    ".": [[(20, 58), (22, 58)]],
}  # fmt: skip


def written(*digits: tuple[str, int, int], size=(400, 160), brush: int = 7) -> np.ndarray:
    """Black on white, `(H, W)` uint8: shapes at the places of their top left corner."""
    picture = np.full(size[::-1], 255, np.uint8)
    for shape, x, y in digits:
        for stroke in SHAPES[shape]:
            points = np.add(stroke, (x, y))
            cv2.polylines(picture, [points], False, 0, brush, cv2.LINE_AA)
    return picture


def overlap(one: tuple, other: tuple) -> float:
    """Intersection over union of two boxes (x, y, width, height)."""
    low = np.maximum(one[:2], other[:2])
    high = np.minimum(np.add(one[:2], one[2:]), np.add(other[:2], other[2:]))
    shared = np.prod(np.maximum(high - low, 0))
    return shared / (one[2] * one[3] + other[2] * other[3] - shared)


def test_a_plus_sign_between_digits_is_passed_over(model):
    sums = written(("3", 30, 50), ("+", 100, 50), ("5", 160, 50), ("7", 230, 50))
    assert model.read(sums).text == "357"


def test_a_rule_below_digits_is_no_part_of_them(model):
    picture = written(("3", 60, 40), ("5", 130, 40), ("7", 200, 40))
    cv2.line(picture, (50, 112), (250, 112), 0, 5)
    assert model.read(picture).text == "357"


def test_form_cells_are_no_digits(model):
    picture = written(("3", 40, 50), ("5", 140, 50), ("7", 240, 50))
    for x in range(20, 321, 100):
        cv2.line(picture, (x, 30), (x, 130), 0, 3)
    cv2.rectangle(picture, (20, 30), (320, 130), 0, 3)
    assert model.read(picture).text == "357"


def test_ten_is_two_digits_each_with_its_box(model):
    reading = model.read(written(("1", 30, 50), ("0", 90, 50)))
    assert reading.text == "10"
    one, zero = reading.digits
    # A brush of 7 reaches 3.5 pixels beyond the points: the 1 stands at x 50, y from 50 to 110.
    assert overlap(one.box, (46, 46, 8, 68)) > 0.7
    assert overlap(zero.box, (86, 46, 48, 68)) > 0.9
    assert (one.digit, zero.digit) == (1, 0)
    assert zero.probs.argmax() == 0
    assert zero.confidence == pytest.approx(zero.probs.max())
    assert zero.frame.shape == (28, 28)


def test_a_hat_belongs_to_its_five(model):
    reading = model.read(written(("3", 30, 50), ("5 with a detached hat", 100, 50), ("1", 170, 50)))
    assert reading.text == "351"
    assert overlap(reading.digits[1].box, (100, 46, 44, 68)) > 0.85


def test_touching_digits_are_parted(model):
    picture = written(("7", 30, 50), ("5", 68, 50), ("3", 106, 50))
    parts, _ = cv2.connectedComponents((picture < 128).astype(np.uint8))
    assert parts - 1 < 3  # they do touch
    reading = model.read(picture)
    assert reading.text == "753"
    assert overlap(reading.digits[1].box, (71, 46, 38, 68)) > 0.7


def test_most_rows_of_touching_digits_are_read_whole(model):
    texts = ["".join(shapes) for shapes in itertools.product("0357", repeat=3)]
    rows = [written(*((shape, 30 + 38 * i, 50) for i, shape in enumerate(t))) for t in texts]
    right = sum(model.read(row).text == text for row, text in zip(rows, texts, strict=True))
    assert right >= 0.75 * len(texts)


def test_an_eight_that_touches_a_seven_twice_is_one_digit(model):
    picture = written(("8", 30, 50), ("7", 60, 50))
    assert model.read(picture).text == "87"


@pytest.mark.parametrize(
    ("halves", "way"),
    [
        ([(0, 0, 20, 60), (20, 0, 40, 60)], "two"),  # side by side
        ([(0, 0, 24, 60), (16, 0, 40, 60)], "two"),  # one reaches over the other
        ([(0, 0, 40, 60), (30, 50, 60, 110)], "one"),  # the corner of one above the other
        ([(0, 0, 40, 30), (0, 28, 40, 60)], "one"),  # one above the other
        ([(0, 0, 40, 60), (10, 0, 30, 60)], "one"),  # one in the other
    ],
)
def test_neighbours_lie_side_by_side(halves, way):
    pieces = tuple(Piece(n, box, box[0], box[2], 0.0) for n, box in enumerate(halves, start=1))
    frame = np.zeros((28, 28), np.uint8)

    def step(start: int, stop: int, worth: float) -> read.Step:
        box = around(pieces[start:stop])
        found = read.Candidate(0, start, stop, box, 1.0, 1.0, 0.0, True, frame)
        return read.Step(start, stop, worth, found)

    steps = [step(0, 1, 2.0), step(1, 2, 2.0), step(0, 2, 3.0)]
    best = read._best_route(Line(pieces, 60.0, 0.0), steps)
    assert len(best) == {"one": 1, "two": 2}[way]


def test_a_digit_that_is_refused_alone_is_read_among_digits(model):
    picture = written(("5", 30, 50), ("0", 110, 50), ("3", 190, 50))
    frames = np.stack([digit.frame for digit in model.read(picture).digits])
    with torch.inference_mode():
        least, middle, most = sorted(evidence(model(torch.from_numpy(frames))).tolist())
    strict = copy.deepcopy(model)
    strict.config = replace(model.config, threshold=(least + middle) / 2)
    assert [answer.digit for answer in read_frames(strict, frames)].count(None) == 1
    assert strict.read(picture).text == "503"
    strict.config = replace(model.config, threshold=most + 0.01)
    assert strict.read(picture).text == ""


def test_lines_are_read_from_top_to_bottom(model):
    upper = [("7", 200, 20), ("3", 260, 24)]
    lower = [("1", 20, 110), ("0", 80, 104)]
    reading = model.read(written(*lower, *upper, size=(400, 200)))
    assert reading.text == "73\n10"
    assert [len(line) for line in reading.lines] == [2, 2]


def test_a_climbing_line_stays_one_line(model):
    picture = written(*(("3", 20 + 60 * n, 110 - 18 * n) for n in range(6)), size=(420, 200))
    assert model.read(picture).text == "333333"


def test_dots_and_minus_signs_are_passed_over(model):
    picture = written(("-", 10, 50), ("3", 60, 50), (".", 105, 50), ("7", 145, 50))
    assert model.read(picture).text == "37"
    alone = model.read(written(("-", 100, 50)))
    assert alone.text == ""
    assert alone.reason is Reason.NO_SHAPE


@pytest.mark.parametrize("letter", ["L", "P", "k", "~"])
def test_letters_are_not_cut_into_digits(letter, model):
    """Any stroke of theirs is a good 1, but not beside digits either."""
    strokes = {
        "L": [[(90, 40), (90, 260), (220, 260)]],
        "P": [[(80, 260), (80, 40), (180, 45), (210, 95), (180, 145), (80, 155)]],
        "k": [[(90, 40), (90, 260)], [(200, 120), (95, 190), (210, 260)]],
        "~": [[(20 + 4 * x, round(150 + 50 * np.sin(x / 6))) for x in range(65)]],
    }[letter]
    picture = np.full((300, 500), 255, np.uint8)
    cv2.polylines(picture, [np.array(s) for s in strokes], False, 0, 12, cv2.LINE_AA)
    alone = model.read(picture)
    assert (alone.text, alone.reason) == ("", Reason.NO_DIGIT)
    seven = [(320, 50), (450, 50), (370, 250)]
    cv2.polylines(picture, [np.array(seven)], False, 0, 12, cv2.LINE_AA)
    assert model.read(picture).text == "7"


def test_more_writing_than_anyone_reads_is_refused_at_once(model):
    picture = np.full((1000, 1000), 255, np.uint8)
    for x, y in itertools.product(range(10, 1000, 16), range(10, 980, 22)):
        cv2.line(picture, (x, y), (x, y + 12), 0, 2)
    reading = model.read(picture)
    assert (reading.text, reading.reason) == ("", Reason.TOO_MUCH)


def test_one_digit_is_read_as_predict_reads_it(model):
    picture = written(("5", 100, 50))
    (digit,) = model.read(picture).digits
    assert (digit.frame == model.predict(picture).frame).all()


def test_an_mnist_record_keeps_its_frame(model):
    record = model.predict(written(("3", 100, 50))).frame
    (digit,) = model.read(record).digits
    assert digit.digit == 3
    assert (digit.frame == record).all()


def test_boxes_are_in_pixels_of_the_picture_as_given(model, tmp_path):
    """Four times as large, 1,600 pixels, is reduced on the way; so is a JPEG turned by EXIF."""
    small = written(("1", 30, 50), ("0", 90, 50))
    large = Image.fromarray(small).resize((1600, 640))
    turned = Image.Exif()
    turned[0x0112] = 6  # to be shown turned by 90 degrees clockwise
    large.rotate(90, expand=True).save(tmp_path / "turned.jpg", exif=turned, quality=95)
    for picture in (large, np.asarray(large), tmp_path / "turned.jpg"):
        reading = model.read(picture)
        assert reading.text == "10"
        assert overlap(reading.digits[1].box, (346, 186, 188, 268)) > 0.9


def test_blank(model):
    reading = model.read(np.full((200, 300), 255, np.uint8))
    assert reading.text == ""
    assert reading.digits == ()
    assert reading.reason is Reason.NO_INK


def test_pieces_are_numbered_and_soft_edges_belong_to_them():
    ink = 1 - written(("1", 30, 50), ("0", 90, 50)).astype(np.float32) / 255
    page = find_pieces(ink)
    numbers = [piece.number for line in page.lines for piece in line.pieces]
    assert numbers == list(range(1, len(numbers) + 1))
    assert ((page.numbers > 0) == (ink > 0)).all()


def test_pieces_are_cut_again_in_their_place():
    ink = 1 - written(("7", 20, 50), ("3", 90, 50), ("5", 128, 50)).astype(np.float32) / 255
    page = find_pieces(ink)
    (line,) = page.lines
    start = next(n for n, piece in enumerate(line.pieces) if piece.box[0] > 80)
    again = cut_again(page, ink, line, start, len(line.pieces), 0.25)
    assert ((again.numbers > 0) == (page.numbers > start)).all()  # all ink of the 3 and the 5
    (part,) = again.lines
    assert (part.slant, part.height, part.is_part) == (line.slant + 0.25, line.height, True)
    for piece in part.pieces:
        y, x = np.nonzero((again.numbers == piece.number) & (ink > INKED))
        assert piece.box == (x.min(), y.min(), x.max() + 1, y.max() + 1)
        along = x + part.slant * y
        assert (piece.start, piece.end) == pytest.approx((along.min(), along.max() + 1))


def test_what_the_lines_slant_does_not_part_is_cut_along_another(model, monkeypatch):
    rows = [write_line(np.random.default_rng(seed), 3, 64, True) for seed in (14, 25, 49, 79)]

    def right() -> int:
        texts = [model.read(np.round(255 * (1 - row.ink)).astype(np.uint8)).text for row in rows]
        return sum(
            text == "".join(map(str, row.labels)) for text, row in zip(texts, rows, strict=True)
        )

    assert right() >= 3
    monkeypatch.setattr(read, "DOUBT", replace(read.DOUBT, leans=()))
    assert right() <= 1


def test_the_command_line_reads(tmp_path, capsys):
    file = tmp_path / "ten.png"
    Image.fromarray(written(("1", 30, 50), ("0", 90, 50))).save(file)
    assert cli.main(["predict", "--read", str(file)]) == 0
    assert capsys.readouterr().out == f"{file}: 10\n"
    assert cli.main(["predict", "--read", "--json", str(file)]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["text"] == "10"
    assert [digit["digit"] for digit in row["digits"]] == [1, 0]
    assert [digit["label"] for digit in row["digits"]] == ["1", "0"]
    assert all(len(digit["box"]) == 4 for digit in row["digits"])


def test_a_network_that_refuses_nothing_reads_whole_digits(model):
    """Its threshold is 0: were its evidence counted in thresholds, every cut would pay."""
    careless = copy.deepcopy(model)
    careless.config = replace(model.config, threshold=0.0)
    for text in ("307", "337"):
        picture = written(*((shape, 30 + 70 * at, 50) for at, shape in enumerate(text)))
        assert careless.read(picture).text == text
