import numpy as np
import pytest
import torch

from mnist_cnn.data import datasets as data
from mnist_cnn.data.drawn.nondigits import nondigit_frames
from mnist_cnn.reading.evaluation import (
    calibration_error,
    evaluate,
    evidence,
    fit_temperature,
    fit_threshold,
    wilson,
)
from mnist_cnn.reading.prediction import read_frames
from mnist_cnn.reading.reasons import SENTENCES, Reason


def test_one_picture(model, frames):
    answer = model.predict(frames[70])
    assert (answer.digit, answer.label) == (7, "7")
    assert answer.confidence == pytest.approx(answer.probs.max())
    assert answer.probs.sum() == pytest.approx(1, abs=1e-5)
    assert (answer.frame == frames[70]).all()
    assert answer.reason is None


def test_a_list_is_answered_in_order_and_as_one_by_one(model, frames):
    together = model.predict(list(frames))
    assert len(together) == 100
    for picture, answer in zip(frames[::9], together[::9], strict=True):
        alone = model.predict(picture)
        assert alone.digit == answer.digit
        assert np.allclose(alone.probs, answer.probs, atol=1e-4)
    assert model.predict([]) == []


def test_blank_is_no_digit(model):
    answer = model.predict(np.full((280, 280), 255, np.uint8))
    assert answer.digit is None
    assert answer.confidence == 0
    assert not answer.probs.any()
    assert not answer.frame.any()
    assert answer.reason is Reason.NO_INK


def test_several_pictures_in_any_form_are_answered_in_order(model, frames):
    tens = frames[::10]  # a 0, a 1, …
    wanted = [*range(10)]
    colour = np.repeat(tens[..., None], 3, 3)
    for several in (
        tuple(tens),
        tens,
        tens / np.float32(255),
        torch.from_numpy(tens),
        torch.from_numpy(tens)[:, None] / 255,
        torch.from_numpy(colour).permute(0, 3, 1, 2),
        colour,
    ):
        assert [answer.digit for answer in model.predict(several)] == wanted
    for count in (1, 3, 4):  # frames, not the channels of one picture
        for several in (tens[:count], torch.from_numpy(tens[:count])):
            assert [answer.digit for answer in model.predict(several)] == wanted[:count]


def test_a_tensor_is_a_picture_with_its_channels_first(model, frames):
    large = np.pad(np.kron(frames[70], np.ones((4, 4), np.uint8)), ((10, 10), (30, 30)))
    plain = torch.from_numpy(large)  # (132, 172)
    red = torch.stack([plain, plain * 0, plain * 0])
    for picture in (plain, plain[None], plain.half() / 255, plain.bfloat16() / 255, red):
        answer = model.predict(picture)
        assert answer.digit == 7
        assert model.read(picture).text == "7"
    assert np.allclose(model.predict(plain).probs, model.predict(large).probs)
    (digit,) = model.read(red).digits
    assert digit.box == model.read(large).digits[0].box


def test_one_picture_stays_one_picture(model, frames):
    large = np.kron(frames[70], np.ones((4, 4), np.uint8))
    for channels in (1, 3, 4):
        picture = np.repeat(large[..., None], channels, 2)
        picture[..., 3:] = 255
        assert model.predict(picture).digit == 7
        assert model.predict(picture[::4, ::4]).digit == 7


def test_what_is_no_picture_is_refused_with_what_to_pass(model, tmp_path):
    for function in (model.predict, model.read):
        with pytest.raises(ValueError, match="cannot read None as a picture: pass a path"):
            function(None)
        with pytest.raises(ValueError, match="is a folder: pass a picture's file"):
            function(tmp_path)
        with pytest.raises(ValueError, match="got int64"):
            function(torch.zeros((40, 40), dtype=torch.long))


def test_the_likeliest_classes(model, frames):
    answer = model.predict(frames[70])
    (label, most), (_, second) = answer.top(2)
    assert (label, most) == ("7", answer.confidence)
    assert second == pytest.approx(sorted(answer.probs)[-2])
    assert len(answer.top(99)) == 10


def test_every_reason_has_a_sentence():
    assert set(SENTENCES) == set(Reason)


def test_a_bad_picture_in_a_list_is_an_error(model, frames):
    with pytest.raises(ValueError, match="not a picture"):
        model.predict([frames[0], b"x"])


def test_predicting_keeps_the_mode(model, frames):
    model.train()
    model.predict(frames[0])
    was_training = model.training
    model.eval()
    assert was_training


def test_bundled_weights_read_digits_drawn_as_strokes(model, frames):
    answers = [answer.digit for answer in model.predict(list(frames))]
    assert np.mean(np.array(answers) == np.repeat(np.arange(10), 10)) >= 0.97


def test_bundled_weights_reproduce_their_report(model, test_set):
    result, said = evaluate(model, *test_set), model.report.test
    assert result.errors == said.errors
    assert result.accuracy == said.accuracy
    assert result.accuracy >= 0.9965
    assert result.per_class == pytest.approx(said.per_class)
    assert result.ece == pytest.approx(said.ece, abs=1e-4)


def test_confidence_is_calibrated(model, test_set):
    assert evaluate(model, *test_set).ece <= 0.005


def test_real_digits_are_hardly_ever_refused(model, test_set):
    answers = read_frames(model, test_set[0].numpy())
    assert np.mean([answer.digit is None for answer in answers]) <= 0.01


@pytest.mark.parametrize("held_out", [False, True], ids=["seen in training", "never seen"])
def test_what_is_no_digit_is_refused(model, held_out):
    answers = read_frames(model, nondigit_frames(200, seed=5, held_out=held_out))
    refused = [answer for answer in answers if answer.digit is None]
    assert len(refused) / 200 >= (0.85 if held_out else 0.95)
    assert {answer.reason for answer in refused} == {Reason.NOT_ONE_DIGIT}


def test_the_temperature_that_made_the_logits_is_found():
    """Labels drawn from the softmax of logits / 2: dividing by 2 again is the best one can do."""
    torch.manual_seed(0)
    logits = 4 * torch.randn(20_000, 10)
    labels = torch.distributions.Categorical(logits=logits / 2).sample()
    assert fit_temperature(logits, labels) == pytest.approx(2, rel=0.05)


def test_the_threshold_refuses_the_share_asked_for():
    logits = torch.randn(1000, 10)
    threshold = fit_threshold(logits, refused=0.1)
    assert (evidence(logits) < threshold).float().mean().item() == pytest.approx(0.1)


def test_evidence():
    """Of two classes at 3/4 and 1/4: -(ln 3/4 + ln 1/4) / 2 - ln 2 = 0.1438, worked out by hand."""
    logits = torch.tensor([[0.75, 0.25], [0.5, 0.5]]).log()
    assert evidence(logits + 7).tolist() == pytest.approx([0.1438, 0], abs=1e-4)


def test_wilson_interval():
    """9 of 10: (0.9 + 0.192 ± 1.96·√(0.009 + 0.0096)) / 1.384, worked out by hand."""
    assert wilson(9, 10) == pytest.approx((0.596, 0.982), abs=1e-3)


def test_calibration_error():
    """Two answers at 0.8, one right: the gap is 0.3. One at 0.5, right: 0.5. Weighted: 1.1 / 3."""
    error = calibration_error(torch.tensor([0.8, 0.8, 0.5]), torch.tensor([True, False, True]))
    assert error == pytest.approx((0.6 + 0.5) / 3)


def test_mnist_is_the_real_one(data_dir):
    frames, labels = data.load("mnist", data_dir, train=True)
    assert frames.shape == (60_000, 28, 28)
    assert labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
