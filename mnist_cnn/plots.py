"""Pictures of a training run."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")  # draws files, opens no window

from matplotlib import pyplot as plt


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
