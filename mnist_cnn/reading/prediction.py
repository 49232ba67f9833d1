"""Reading one digit: `predict` turns any picture into a `Prediction`."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from mnist_cnn.ink import SIDE, Ink, find_ink, frame
from mnist_cnn.network import Network
from mnist_cnn.reading.evaluation import evidence
from mnist_cnn.reading.reasons import Reason

BATCH = 256


@dataclass(frozen=True, eq=False)
class Prediction:
    """The answer for one picture.

    Attributes:
        digit: index of the class; None if there is no digit to read.
        label: name of the class: "7", or "Q" for a network that reads letters; None like `digit`.
        confidence: calibrated probability of the likeliest class, in [0, 1]; 0 if there is no ink.
        probs: `(classes,)` float32, sums to 1; all 0 if there is no ink.
        frame: `(28, 28)` uint8, what the network saw.
        reason: why there is no digit; None if there is one.
        class_names: the names of all classes, by index.
    """

    digit: int | None
    label: str | None
    confidence: float
    probs: np.ndarray = field(repr=False)
    frame: np.ndarray = field(repr=False)
    reason: Reason | None
    class_names: tuple[str, ...] = field(repr=False)

    def top(self, k: int) -> list[tuple[str, float]]:
        """The `k` likeliest classes, the likeliest first: name and probability."""
        order = np.argsort(-self.probs, kind="stable")[:k]
        return [(self.class_names[index], float(self.probs[index])) for index in order]

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
    """Read one picture, or each of several.

    Args:
        model: a network that takes `(B, 28, 28)` uint8 frames and returns logits, with a `config`
            that holds their temperature and the least evidence of a digit.
        images: one picture: whatever `mnist_cnn.ink.find_ink` takes, or a tensor `(H, W)` or,
            channels first, `(1 | 3 | 4, H, W)` of uint8 or float in [0, 1]. Or several, which are
            answered by a list: a list or tuple of pictures, or an array or tensor of four axes, or
            of three that ends in `(28, 28)`: a batch of frames, also if it holds only one, or
            three.

    Raises:
        ValueError: a picture cannot be read; nothing is answered then.
    """
    if not _are_several(images):
        return predict_ink(model, find_ink(as_picture(images)))
    frames = [frame(find_ink(as_picture(image))) for image in images]
    return read_frames(model, np.stack(frames)) if frames else []


def _are_several(images: Any) -> bool:
    if isinstance(images, np.ndarray | torch.Tensor):
        return images.ndim == 4 or (images.ndim == 3 and images.shape[1:] == (SIDE, SIDE))
    return isinstance(images, list | tuple)


def as_picture(image: Any) -> Any:
    """A tensor as the array that `find_ink` takes, channels last; anything else as it is."""
    if not isinstance(image, torch.Tensor):
        return image
    image = image.detach().cpu()
    array = (image.float() if image.is_floating_point() else image).numpy()
    return np.moveaxis(array, 0, -1) if array.ndim == 3 else array


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
        [model(batch.to(device)).float() for batch in torch.split(torch.from_numpy(frames), BATCH)]
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
        return Prediction(None, None, 0.0, np.zeros_like(probs), seen, Reason.NO_INK, names)
    digit = int(probs.argmax())
    confidence = float(probs[digit])
    if refused:
        return Prediction(None, None, confidence, probs, seen, Reason.NOT_ONE_DIGIT, names)
    return Prediction(digit, names[digit], confidence, probs, seen, None, names)
