"""After training: how sure the answers are, and from which evidence on they are given."""

import dataclasses

import torch
from torch import Tensor

from mnist_cnn.data.drawn import strokes
from mnist_cnn.model import MnistCNN
from mnist_cnn.reading import fit_temperature, fit_threshold, raw_logits
from mnist_cnn.training.mixture import worn
from mnist_cnn.training.recipes import Run

DRAWN = 2000  # digits to fit a threshold on where none are held out
DRAWN_SEED = 1_000_003  # apart from the seeds that people pass, so drawings do not repeat


def calibrate(model: MnistCNN, run: Run, frames: Tensor, labels: Tensor) -> None:
    """Fit temperature and refusal threshold on validation digits.

    Without them the temperature stays, and the threshold is fitted on drawn digits.
    """
    if len(frames):
        logits = raw_logits(model, frames)
        temperature = fit_temperature(logits, labels)
        model.config = dataclasses.replace(model.config, temperature=temperature)
    elif run.recipe.nondigits:
        drawn, _ = strokes.draw_frames(DRAWN, run.seed + DRAWN_SEED, change=worn)
        logits = raw_logits(model, torch.from_numpy(drawn))
    if run.recipe.nondigits:
        threshold = fit_threshold(logits, run.recipe.refused)
        model.config = dataclasses.replace(model.config, threshold=threshold)
