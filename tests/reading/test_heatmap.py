import numpy as np
import pytest
import torch

from mnist_cnn import load_model


def test_the_shape_and_the_range(model, frames):
    heatmap = model.explain(frames[30])
    assert heatmap.shape == (28, 28)
    assert heatmap.dtype == np.float32
    assert heatmap.min() == 0
    assert heatmap.max() == 1
    assert not heatmap[frames[30] == 0].any()


def test_an_empty_frame_has_no_evidence(model):
    assert not model.explain(np.zeros((28, 28), np.uint8)).any()


def test_a_model_that_trains_goes_on_training_and_others_are_left_alone(frames, monkeypatch):
    model, changed = load_model(), []
    monkeypatch.setattr(model, "train", lambda mode=True: changed.append(mode))
    heatmap = model.explain(frames[30])
    assert changed == []
    monkeypatch.undo()
    model.train()
    assert (model.explain(frames[30]) == heatmap).all()
    assert all(layer.training for layer in model.modules())


def test_any_digit_can_be_asked_for(model, frames):
    assert (model.explain(frames[40]) == model.explain(frames[40], 4)).all()
    assert (model.explain(frames[40], 4) != model.explain(frames[40], 9)).any()
    with pytest.raises(ValueError, match="classes run from 0 to 9"):
        model.explain(frames[40], 10)


def test_hot_ink_matters_more_than_other_ink(model, test_set):
    """Without the hottest tenth of its ink a digit loses more than without a random tenth."""
    digits, labels = test_set[0][:500].numpy(), test_set[1][:500]
    rng, hot, random = np.random.default_rng(0), digits.copy(), digits.copy()
    for index, (digit, label) in enumerate(zip(digits, labels, strict=True)):
        ink = np.flatnonzero(digit)
        heat = model.explain(digit, int(label)).ravel()[ink]
        tenth = len(ink) // 10
        hot[index].ravel()[ink[np.argsort(-heat)[:tenth]]] = 0
        random[index].ravel()[rng.choice(ink, tenth, replace=False)] = 0

    @torch.inference_mode()
    def score(frames: np.ndarray) -> float:
        return model(torch.from_numpy(frames)).log_softmax(1)[torch.arange(500), labels].mean()

    whole = score(digits)
    assert whole - score(hot) > 1.2 * (whole - score(random)) > 0


@pytest.mark.parametrize(
    "frame",
    ["seven.png", np.zeros((28, 28)), np.zeros((28, 28, 1), np.uint8)],
    ids=["path", "float", "three axes"],
)
def test_what_is_no_frame_is_refused(frame, model):
    with pytest.raises(ValueError, match=r"takes the \(28, 28\) uint8 frame of a Prediction"):
        model.explain(frame)


def test_answers_print_without_their_arrays(model, frames):
    answer, reading = model.predict(frames[70]), model.read(frames[70])
    for text in (repr(answer), repr(reading)):
        assert "digit=7" in text
        assert "array" not in text
