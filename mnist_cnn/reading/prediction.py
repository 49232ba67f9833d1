"""Reading pictures with a model: `predict` turns any picture into a `Prediction`."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from mnist_cnn.ink import find_ink, frame
from mnist_cnn.network import Network
from mnist_cnn.reading.evaluation import evidence

BATCH = 256


@dataclass(frozen=True, eq=False)
class Prediction:
    """The answer for one picture."""

    digit: int | None  # index of the class; None if there is no digit to read
    confidence: float  # calibrated probability of the likeliest class, in [0, 1]; 0 if blank
    # (classes,) float32, sums to 1; all 0 if blank
    probs: np.ndarray = field(repr=False)
    frame: np.ndarray = field(repr=False)  # (28, 28) uint8, what the network saw
    reason: str | None = None  # why there is no digit

    def to_dict(self) -> dict[str, Any]:
        """Digit, confidence, probs and reason as JSON holds them."""
        return {
            "digit": self.digit,
            "confidence": self.confidence,
            "probs": self.probs.tolist(),
            "reason": self.reason,
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
        return (
            read_frames(model, np.stack([frame(find_ink(image)) for image in images]))
            if images
            else []
        )
    return read_frames(model, frame(find_ink(images))[None])[0]


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
    return [_answer(*each) for each in zip(probs, frames, refused, strict=True)]


def _answer(probs: np.ndarray, seen: np.ndarray, refused: bool) -> Prediction:
    if not seen.any():
        return Prediction(None, 0.0, np.zeros_like(probs), seen, "no ink was found")
    digit = int(probs.argmax())
    confidence = float(probs[digit])
    if refused:
        return Prediction(None, confidence, probs, seen, "this does not look like one digit")
    return Prediction(digit, confidence, probs, seen)
