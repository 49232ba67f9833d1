"""What the program draws: digits, damaged and re-inked ones, and non-digits."""

import hashlib
from dataclasses import replace

import cv2
import numpy as np
import pytest

from mnist_cnn.data.drawn import lines, nondigits, strokes
from mnist_cnn.data.drawn.glyphs import read_glyphs
from mnist_cnn.data.drawn.reink import reink, reink_frames, thin
from mnist_cnn.data.drawn.strokes import BRUSHES, HELD_OUT_BRUSHES, Brush, Hand, ways
from mnist_cnn.data.drawn.wear import DAMAGES, damage
from mnist_cnn.ink import SIDE, frame, stroke_width

ALL_WAYS = [ways(digit) | ways(digit, held_out=True) for digit in range(10)]
GLYPHS = [glyph for written in ALL_WAYS for glyph in written.values()]
ALL_KINDS = [*nondigits.KINDS, *nondigits.HELD_OUT_KINDS]
RING = ways(0)["ring"]


def holes(ink: np.ndarray) -> int:
    ground = np.pad(ink <= 0.3, 1, constant_values=True).astype(np.uint8)
    return cv2.connectedComponents(ground, connectivity=4)[0] - 2


def test_the_same_seed_draws_the_same_frames():
    one, other, third = (strokes.draw_frames(20, seed) for seed in (3, 3, 4))
    assert np.array_equal(one[0], other[0])
    assert np.array_equal(one[1], other[1])
    assert not np.array_equal(one[0], third[0])


def test_the_drawings_are_those_that_the_weights_were_trained_on():
    """By their digest: what changes a drawing changes what a run with the same seed learns."""

    def digest(*arrays: np.ndarray) -> str:
        return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()[:16]

    drawn = strokes.draw_frames(60, 11, change=damage)
    assert digest(*drawn) == "c2824eb0f0243f69"
    assert digest(reink_frames(drawn[0][:20], 13, damage)) == "fe1084944969b825"
    assert digest(nondigits.nondigit_frames(60, 14, drawn, change=damage)) == "206f1607726a0f05"
    assert digest(*lines.candidate_frames(20, 16, drawn, damage)) == "61d55b232e4a432a"


def test_frames_are_balanced_and_none_is_blank():
    frames, labels = strokes.draw_frames(103, seed=0)
    assert frames.shape == (103, SIDE, SIDE)
    assert (frames.dtype, labels.dtype) == (np.uint8, np.int64)
    assert set(np.bincount(labels, minlength=10)) == {10, 11}
    assert frames.any((1, 2)).all()


@pytest.mark.parametrize("kind", BRUSHES + HELD_OUT_BRUSHES)
def test_every_way_to_write_fits_on_the_canvas(kind):
    rng = np.random.default_rng(0)
    for glyph in GLYPHS:
        ink = strokes.paint(strokes.write(glyph, Hand.random(rng), rng), Brush(kind), rng)
        assert ink.dtype == np.float32
        assert 0.95 < ink.max() <= 1
        edge = np.concatenate([ink[0], ink[-1], ink[:, 0], ink[:, -1]])
        assert not (edge > 0.5).any(), glyph


def test_a_glyph_runs_through_its_points():
    """By hand: "0,0 100,0 | 100,100" turns at its corner, so x stays 1 all the way down."""
    curve = strokes.write("0,0 100,0 | 100,100", Hand(), np.random.default_rng(0))[0]
    assert np.allclose(curve[[0, strokes.STEPS, -1]], [[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5]])
    assert np.allclose(curve[strokes.STEPS :, 0], 0.5)


def test_no_two_are_alike():
    rng = np.random.default_rng(0)
    assert len({strokes.draw(5, rng).tobytes() for _ in range(30)}) == 30


def test_training_never_draws_what_is_held_out(monkeypatch):
    seen = set()

    def write(glyph, hand, rng):
        seen.add(glyph)
        return real(glyph, hand, rng)

    real = strokes.write
    monkeypatch.setattr(strokes, "write", write)
    kept = {glyph for digit in range(10) for glyph in ways(digit, held_out=True).values()}
    strokes.draw_frames(600, seed=0)
    assert not seen & kept
    assert len(seen) > 0.9 * (len(GLYPHS) - len(kept))
    seen.clear()
    strokes.draw_frames(200, seed=0, held_out=True)
    assert seen == kept


def test_training_never_uses_a_brush_or_a_kind_that_is_held_out():
    rng = np.random.default_rng(0)
    assert {Brush.random(rng).kind for _ in range(200)} == set(BRUSHES)
    assert not set(BRUSHES) & set(HELD_OUT_BRUSHES)
    assert not set(nondigits.KINDS) & set(nondigits.HELD_OUT_KINDS)


def test_training_never_draws_a_nondigit_that_is_held_out(monkeypatch):
    seen = set()

    def write(glyph, hand, rng):
        seen.add(glyph)
        return strokes.write(glyph, hand, rng)

    monkeypatch.setattr(nondigits, "write", write)
    rng = np.random.default_rng(0)
    for kind in nondigits.KINDS:
        for _ in range(40):
            nondigits.nondigit(rng, kind=kind)
    letters, shapes = read_glyphs("letters"), read_glyphs("shapes")
    assert not seen & {*letters["foreign"].values(), *shapes["doodle"].values()}
    known = {*letters["capital"].values(), *letters["small"].values()}
    assert len(seen & known) > 0.5 * len(known)


@pytest.mark.parametrize("width", [0.03, 0.08, 0.15])
@pytest.mark.parametrize("kind", ["round", "square"])
def test_the_line_is_as_wide_as_the_brush(width, kind):
    rng = np.random.default_rng(0)
    ink = strokes.paint(strokes.write(RING, Hand(), rng), Brush(kind, width), rng, size=200)
    # A square's diagonal is longer than its side.
    assert stroke_width(ink) == pytest.approx(200 * width, rel=0.15 if kind == "round" else 0.45)


def first_lines(digit, name, corner):
    """From where the pen comes down to a way's first corner, `(200, 2)`: to the right and up."""
    rng, lines = np.random.default_rng(0), []
    for _ in range(200):
        hand = replace(Hand.random(rng, strokes.WIDTHS[digit]), hook=0.0, coarse=1)
        stroke = strokes.write(ALL_WAYS[digit][name], hand, rng)[0]
        lines.append((stroke[corner * strokes.STEPS] - stroke[0]) * (1, -1))
    return np.array(lines)


def test_a_long_flag_is_steeper_than_a_bar():
    flag, bar = first_lines(1, "long flag", 1), first_lines(7, "plain", 1)
    flag, bar = (np.degrees(np.arctan2(*line.T[::-1])) for line in (flag, bar))
    assert np.quantile(flag, 0.01) > np.quantile(bar, 0.99)


@pytest.mark.parametrize(("stub", "corner"), [("stub", 2), ("level stub", 1), ("hanging stub", 2)])
def test_a_stub_is_shorter_than_a_bar(stub, corner):
    stub, bar = (
        np.linalg.norm(first_lines(*way), axis=1) for way in ((1, stub, corner), (7, "plain", 1))
    )
    assert np.quantile(stub, 0.95) < np.quantile(bar, 0.05)


def test_thinning_leaves_a_line_one_pixel_wide():
    """By hand: a bar of 5 × 20 pixels has its middle row as its skeleton."""
    mask = np.zeros((15, 30), bool)
    mask[5:10, 5:25] = True
    skeleton = thin(mask)
    assert set(np.flatnonzero(skeleton.any(1))) == {7}
    assert skeleton.sum() >= 14


@pytest.mark.parametrize("width", [0.03, 0.07, 0.11])
def test_reinked_digits_keep_their_holes(width):
    rng = np.random.default_rng(0)
    for digit, count in ((0, 1), (8, 2)):
        glyph = ways(digit)["ring" if digit == 0 else "two strokes"]
        drawn = frame(strokes.paint(strokes.write(glyph, Hand(width=0.8), rng), Brush(), rng))
        assert holes(reink(drawn, rng, Brush("round", width))) == count


def test_reinking_changes_the_width_of_the_line():
    rng = np.random.default_rng(0)
    frames, _ = strokes.draw_frames(30, seed=1)
    thinner, wider = (
        np.mean([stroke_width(reink(f, rng, Brush("round", width))) for f in frames])
        for width in (0.04, 0.1)
    )
    assert thinner < 0.05 * strokes.CANVAS
    assert wider > 0.09 * strokes.CANVAS
    assert not reink(np.zeros((SIDE, SIDE), np.uint8), rng).any()


def test_reinked_frames_depend_on_their_seed_alone():
    frames, _ = strokes.draw_frames(10, seed=1)
    one, other = (reink_frames(frames, seed=2, change=damage) for _ in range(2))
    assert (one.shape, one.dtype) == (frames.shape, np.uint8)
    assert np.array_equal(one, other)
    assert not np.array_equal(one, reink_frames(frames, seed=3))


@pytest.mark.parametrize("kind", DAMAGES, ids=lambda kind: kind.__name__)
def test_damage_leaves_most_of_the_digit(kind):
    rng = np.random.default_rng(0)
    for digit in range(10):
        ink = strokes.draw(digit, rng)
        left = np.minimum(np.clip(kind(ink, stroke_width(ink), rng), 0, 1), ink)
        assert left.sum() > 0.4 * ink.sum()


def test_damage_is_ink_again():
    rng = np.random.default_rng(0)
    ink = strokes.draw(3, rng)
    before = ink.copy()
    for _ in range(50):
        result = damage(ink, rng)
        assert (result.shape, result.dtype) == (ink.shape, np.float32)
        assert result.min() >= 0
        assert result.max() <= 1
    assert np.array_equal(ink, before)
    assert not damage(np.zeros((40, 40), np.float32), rng).any()


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_every_kind_of_nondigit_leaves_a_frame(kind):
    source = strokes.draw_frames(20, seed=2)
    rng = np.random.default_rng(0)
    for _ in range(5):
        ink = nondigits.nondigit(rng, source, kind=kind)
        assert ink.dtype == np.float32
        assert ink.min() >= 0
        assert ink.max() <= 1
        assert frame(ink).any()


def test_nondigit_frames_depend_on_their_seed_alone():
    one, other = (nondigits.nondigit_frames(30, seed=5, change=damage) for _ in range(2))
    assert one.shape == (30, SIDE, SIDE)
    assert one.dtype == np.uint8
    assert np.array_equal(one, other)
    assert one.any((1, 2)).all()
    assert not np.array_equal(one, nondigits.nondigit_frames(30, seed=5, held_out=True))


def test_an_unknown_kind_names_the_choices():
    with pytest.raises(ValueError, match="scribble"):
        nondigits.nondigit(np.random.default_rng(0), kind="poem")
