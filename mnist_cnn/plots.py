"""Pictures of a training run."""

import math
from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")  # draws files, opens no window

import numpy as np
from matplotlib import pyplot as plt

from mnist_cnn.evaluate import Mistake


def curves(history: list[dict[str, float]], file: Path) -> None:
    """Loss and accuracy after each epoch, training beside validation, as a PNG."""
    epochs = [record["epoch"] for record in history]
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for axis, measure, factor, label in (
        (axes[0], "loss", 1, "cross-entropy"),
        (axes[1], "accuracy", 100, "accuracy (%)"),
    ):
        training = [factor * record[measure] for record in history]
        axis.plot(epochs, training, "o-", ms=3, label="training (augmented, label-smoothed)")
        if all(f"val_{measure}" in record for record in history):
            validation = [factor * record[f"val_{measure}"] for record in history]
            axis.plot(epochs, validation, "o-", ms=3, label="validation (averaged weights)")
        axis.set(xlabel="epoch", ylabel=label)
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.grid(alpha=0.3)
        axis.legend(frameon=False)
    figure.savefig(file, dpi=110)
    plt.close(figure)


def mistakes(frames: np.ndarray, wrong: Sequence[Mistake], file: Path) -> None:
    """The wrongly read of `(N, 28, 28)` frames in rows of ten, with what was read, as a PNG."""
    rows = math.ceil(len(wrong) / 10)
    figure, axes = plt.subplots(rows, 10, figsize=(10, 1.25 * rows), squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for axis, mistake in zip(axes.flat, wrong, strict=False):
        axis.imshow(frames[mistake.index], cmap="gray_r", vmin=0, vmax=255)
        axis.set_title(f"{mistake.label} as {mistake.answer}", fontsize=9)
    figure.tight_layout()
    figure.savefig(file, dpi=110)
    plt.close(figure)
