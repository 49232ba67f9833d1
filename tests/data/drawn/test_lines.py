"""Lines of digits made by the program, and the candidates cut out of them."""

import cv2
import numpy as np
import pytest

from mnist_cnn.data.drawn import lines
from mnist_cnn.data.drawn.lines import NOBODY, candidate_frames, write_line
from mnist_cnn.data.drawn.strokes import Brush
from mnist_cnn.reading.prediction import read_frames


def line_of(seed: int, touching: bool, length: int = 4):
    return write_line(np.random.default_rng(seed), length, 60, touching)


@pytest.mark.parametrize("touching", [True, False])
def test_every_inked_pixel_has_an_owner_in_its_box(touching):
    row = line_of(1, touching)
    assert len(row.labels) == len(row.boxes) == 4
    assert ((row.owners == NOBODY) == (row.ink == 0)).all()
    for index, (x, y, width, height) in enumerate(row.boxes):
        rows, columns = np.nonzero(row.owners == index)
        assert y <= rows.min()
        assert rows.max() < y + height
        assert x <= columns.min()
        assert columns.max() < x + width


def test_spaced_digits_have_white_between_them_and_touching_ones_have_less():
    def gaps(touching: bool) -> list[int]:
        found = []
        for seed in range(10):
            row = line_of(seed, touching)
            for left, right in zip(range(3), range(1, 4), strict=True):
                a, b = (np.argwhere(row.owners == digit) for digit in (left, right))
                found.append(np.abs(a[:, None] - b).max(2).min())
        return found

    assert min(gaps(touching=False)) > 1
    assert np.mean(np.array(gaps(touching=True)) <= 1) > 0.4


def test_no_digit_is_written_into_another():
    for seed in range(40):
        boxes = line_of(seed, touching=True, length=5).boxes
        for index in range(1, len(boxes)):
            left, _, width, _ = boxes[index]
            before = max(x + w for x, _, w, _ in boxes[:index])
            assert left >= before - width / 2 - 1


def test_lines_can_be_of_real_digits():
    frames = np.zeros((2, 28, 28), np.uint8)
    frames[0, 5:23, 12:16], frames[1, 5:9, 5:23] = 255, 255
    real = frames, np.array([1, 7])
    row = write_line(np.random.default_rng(0), 6, 40, False, real)
    for label, (_, _, width, height) in zip(row.labels, row.boxes, strict=True):
        assert (height > width) == (label == 1)


def test_half_of_the_candidates_are_digits_that_the_model_reads(model):
    frames, labels = candidate_frames(200, 3)
    assert frames.shape == (200, 28, 28)
    assert frames.dtype == np.uint8
    digits = labels != NOBODY
    assert digits.sum() == 100
    assert digits[:100].all()
    answers = np.array(
        [a.digit if a.digit is not None else NOBODY for a in read_frames(model, frames)]
    )
    assert (answers == labels)[digits].mean() > 0.8
    assert (answers == labels)[~digits].mean() > 0.8


def test_a_digit_stays_whole_when_its_stroke_gets_wider():
    """A stroke of 2 pixels becomes 6 wide: only a third of the ink is as it was written."""
    row = write_line(np.random.default_rng(2), 4, 60, False, brush=Brush(width=0.03))
    whole, _ = lines._sorted_candidates(row, cv2.dilate(row.ink, np.ones((5, 5))))
    assert [label for _, label in whole] == list(row.labels)


def test_candidates_depend_on_their_seed_alone():
    again = [candidate_frames(20, seed) for seed in (5, 5, 6)]
    assert (again[0][0] == again[1][0]).all()
    assert (again[0][1] == again[1][1]).all()
    assert (again[0][0] != again[2][0]).any()


def test_no_candidates():
    frames, labels = candidate_frames(0, 1)
    assert frames.shape == (0, 28, 28)
    assert len(labels) == 0
