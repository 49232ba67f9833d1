"""Reading one digit: `predict` turns any picture into a `Prediction`."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from mnist_cnn.ink import Ink, find_ink, frame
from mnist_cnn.network import Network
from mnist_cnn.reading.evaluation import evidence
from mnist_cnn.reading.reasons import Reason

BATCH = 256


@dataclass(frozen=True, eq=False)
class Prediction:
    """The answer for one picture."""

    digit: int | None  # index of the class; None if there is no digit to read
    label: str | None  # name of the class: "7", or "Q" for a network that reads letters
    confidence: float  # calibrated probability of the likeliest class, in [0, 1]; 0 if blank
    # (classes,) float32, sums to 1; all 0 if blank
    probs: np.ndarray = field(repr=False)
    frame: np.ndarray = field(repr=False)  # (28, 28) uint8, what the network saw
    reason: Reason | None = None  # why there is no digit

    def to_dict(self) -> dict[str, Any]:
        """Digit, label, confidence, probs and reason as JSON holds them."""
        return {
            "digit": self.digit,
            "label": self.label,
            "confidence": self.confidence,
            "probs": self.probs.tolist(),
            "reason": self.reason and self.reason.value,
        }


def predict(model: Network, images: Any) -> Prediction | list[Prediction]:
    """Read one picture, or each of a list of pictures.

    Args:
        model: a network that takes `(B, 28, 28)` uint8 frames and returns logits, with a `config`
            that holds their temperature and the least evidence of a digit.
        images: whatever `mnist_cnn.ink.find_ink` takes, or a list of those.

    Raises:
        ValueError: a picture cannot be read; nothing is answered then.
    """
    if isinstance(images, list):
        frames = [frame(find_ink(image)) for image in images]
        return read_frames(model, np.stack(frames)) if frames else []
    return predict_ink(model, find_ink(images))


def predict_ink(model: Network, ink: Ink) -> Prediction:
    """Read a picture whose ink was found as one digit."""
    return read_frames(model, frame(ink)[None])[0]


@torch.inference_mode()
def read_frames(model: Network, frames: np.ndarray) -> list[Prediction]:
    """Read `(B, 28, 28)` uint8 frames."""
    device = next(model.parameters()).device
    training = model.training
    if training:  # else there is nothing to do, and saying so to every layer takes 0.2 ms
        model.eval()
    logits = torch.cat(
        [model(batch.to(device)).float() for batch in torch.from_numpy(frames).split(BATCH)]
    )
    if training:
        model.train()
    probs = (logits / model.config.temperature).softmax(1).cpu().numpy()
    refused = (evidence(logits) < model.config.threshold).cpu().numpy()
    names = model.config.class_names
    return [_answer(names, *each) for each in zip(probs, frames, refused, strict=True)]


def _answer(
    names: tuple[str, ...], probs: np.ndarray, seen: np.ndarray, refused: bool
) -> Prediction:
    if not seen.any():
        return Prediction(None, None, 0.0, np.zeros_like(probs), seen, Reason.NO_INK)
    digit = int(probs.argmax())
    confidence = float(probs[digit])
    if refused:
        return Prediction(None, None, confidence, probs, seen, Reason.NOT_ONE_DIGIT)
    return Prediction(digit, names[digit], confidence, probs, seen)
