"""Why this digit: a heatmap over the frame."""

import cv2
import numpy as np
import torch

from mnist_cnn.network import Network

STEPS = 24  # of the integral's sum; more change no heatmap by more than a few percent
BLUR = 0.7  # pixels: evidence lies in strokes, not in single pixels


def explain(model: Network, frame: np.ndarray, digit: int | None = None) -> np.ndarray:
    """Where the evidence for a digit lies, `(28, 28)` float32 in [0, 1]; all 0 if there is none.

    Integrated gradients (Sundararajan, Taly and Yan 2017, arXiv 1703.01365) of the digit's logit
    along the way from an empty frame to this one: the log-probability hardly changes where the
    network is sure. Only evidence in favour is shown.

    Args:
        frame: `(28, 28)` uint8, as in `Prediction.frame`.
        digit: the class to explain; `None` for the most probable one.

    Raises:
        ValueError: it is no such frame, or there is no such class.
    """
    found = getattr(frame, "shape", type(frame).__name__), getattr(frame, "dtype", None)
    if found != ((28, 28), np.uint8):
        raise ValueError(
            f"explain takes the (28, 28) uint8 frame of a Prediction, got {found[0]}, {found[1]}"
        )
    classes = len(model.config.class_names)
    if digit is not None and not 0 <= digit < classes:
        raise ValueError(f"there is no class {digit}; classes run from 0 to {classes - 1}")
    device, training = next(model.parameters()).device, model.training
    if training:  # else there is nothing to do, and saying so to every layer takes 0.2 ms
        model.eval()
    ink = torch.from_numpy(frame).to(device) / 255  # (28, 28)
    middles = (torch.arange(STEPS, device=device) + 0.5) / STEPS
    path = (middles[:, None, None] * ink).requires_grad_()  # (STEPS, 28, 28)
    logits = model(path).float()
    chosen = int(model(ink[None]).argmax()) if digit is None else digit
    (slope,) = torch.autograd.grad(logits[:, chosen].sum(), path)
    if training:
        model.train()
    evidence = (ink * slope.mean(0)).clamp(min=0).cpu().numpy()
    heat = cv2.GaussianBlur(evidence, (0, 0), BLUR) * (frame > 0)
    return (heat / heat.max()).astype(np.float32) if heat.max() > 0 else heat
