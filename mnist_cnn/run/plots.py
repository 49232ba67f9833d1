"""Pictures of a training run, each written as one PNG."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")  # draws files, opens no window

import numpy as np
from matplotlib import font_manager
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mnist_cnn.reading import wilson
from mnist_cnn.report import Epoch
from mnist_cnn.run.card import SHOWN_MISTAKES

# Class names are anyone's: "$" is no formula there, and Chinese and Japanese want their fonts.
fonts = ("Noto Sans CJK SC", "Noto Sans CJK JP", "Microsoft YaHei", "PingFang SC")
installed = font_manager.get_font_names()
plt.rcParams["text.parse_math"] = False
plt.rcParams["font.family"] = ["sans-serif", *(name for name in fonts if name in installed)]

RIGHT, WRONG, GREY = "#1f6feb", "#d1242f", "#8c959f"
SIDE, GAP = 28, 3  # pixels of a frame, and between two of them


@dataclass(frozen=True, eq=False)
class Answered:
    """Labelled frames and what a network made of them."""

    frames: np.ndarray  # (N, 28, 28) uint8
    labels: np.ndarray  # (N,) int64
    probs: np.ndarray  # (N, classes), calibrated, rows sum to 1
    class_names: tuple[str, ...]

    @property
    def answers(self) -> np.ndarray:
        """The likeliest class of each frame, `(N,)`."""
        return self.probs.argmax(1)


def curves(history: Sequence[Epoch], augmented: bool, label_smoothing: float, file: Path) -> None:
    """Loss and accuracy after each epoch, training beside validation, whose labels are as given."""
    epochs = [record.epoch for record in history]
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    frames = ["as augmented"] if augmented else []
    smoothed = [f"labels smoothed by {label_smoothing:g}"] if label_smoothing else []
    for axis, measure, factor, label, how in (
        (axes[0], "loss", 1, "loss", frames + smoothed),
        (axes[1], "accuracy", 100, "accuracy (%)", frames),
    ):
        training = [factor * getattr(record, measure) for record in history]
        name = f"training ({', '.join(how)})" if how else "training"
        axis.plot(epochs, training, "o-", ms=3, color=GREY, label=name)
        if all(record.val_loss is not None for record in history):
            validation = [factor * getattr(record, f"val_{measure}") for record in history]
            axis.plot(epochs, validation, "o-", ms=3, color=RIGHT, label="validation")
        axis.set(xlabel="epoch", ylabel=label, xlim=(epochs[0] - 0.5, epochs[-1] + 0.5))
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.grid(alpha=0.3)
        axis.legend(frameon=False)
    _save(figure, file)


def per_class(answered: Answered, file: Path) -> None:
    """Accuracy on the test frames of each class, with its Wilson 95 % interval."""
    names = answered.class_names
    figure, axis = plt.subplots(figsize=(8, 1.2 + 0.32 * len(names)), layout="constrained")
    lowest = 1.0
    for row in range(len(names)):
        right = answered.answers[answered.labels == row] == row
        if not len(right):
            continue
        low, high = wilson(int(right.sum()), len(right))
        lowest = min(lowest, low)
        axis.plot([100 * low, 100 * high], [row, row], color=GREY, lw=2, solid_capstyle="round")
        axis.plot(100 * right.mean(), row, "o", color=RIGHT)
        text = f"{right.mean():.2%}  ({int((~right).sum())} of {len(right):,} wrong)"
        axis.annotate(text, (1.01, row), xycoords=("axes fraction", "data"), va="center", size=9)
    axis.set(xlabel="accuracy (%), with 95 % interval", xlim=(100 * lowest - 0.1, 100.05))
    axis.set_yticks(range(len(names)), names)
    axis.invert_yaxis()
    axis.grid(axis="x", alpha=0.3)
    _save(figure, file)


def confusion(answered: Answered, file: Path) -> None:
    """How often each class was read as each other one; colour shows mistakes alone."""
    names = answered.class_names
    count = np.zeros((len(names), len(names)), int)
    np.add.at(count, (answered.labels, answered.answers), 1)
    mistakes = np.where(np.eye(len(names), dtype=bool), 0, count)
    side = max(6.0, 0.42 * len(names))
    figure, axis = plt.subplots(figsize=(side, side), layout="constrained")
    axis.imshow(mistakes, cmap="Reds", vmin=0, vmax=max(1, 1.5 * mistakes.max()))
    for row, column in zip(*count.nonzero(), strict=True):
        same = row == column
        size = 9 if len(names) <= 15 else 6
        color = GREY if same else "black"
        axis.text(column, row, count[row, column], ha="center", va="center", color=color, size=size)
    turned = 90 if max(map(len, names)) > 2 else 0
    axis.set_xticks(range(len(names)), names, rotation=turned)
    axis.set_yticks(range(len(names)), names)
    axis.set(xlabel="read as", ylabel="is")
    _save(figure, file)


def mistakes(answered: Answered, file: Path) -> None:
    """The wrong answers that the network was surest of, each with its probabilities."""
    wrong = np.flatnonzero(answered.answers != answered.labels)
    worst = wrong[answered.probs[wrong].max(1).argsort()[::-1]][:SHOWN_MISTAKES]
    _sheet(answered, worst, file, columns=6, empty="no mistakes")


def predictions(answered: Answered, file: Path, seed: int = 0) -> None:
    """Forty test frames drawn by lot, and what was read."""
    lot = np.random.default_rng(seed).permutation(len(answered.frames))[:40]
    _sheet(answered, lot, file, columns=8, empty="no frames")


def _sheet(answered: Answered, rows: np.ndarray, file: Path, columns: int, empty: str) -> None:
    figure, axis = plt.subplots(
        figsize=(1.6 * columns, 2.1 * max(1, -(-len(rows) // columns))), layout="constrained"
    )
    axis.axis("off")
    if not len(rows):
        axis.text(0.5, 0.5, empty, ha="center")
    else:
        # Room above each frame for two lines of text.
        _tiles(axis, answered.frames[rows], columns, above=11, cmap="gray_r", vmin=0, vmax=255)
    for place, row in enumerate(rows):
        label, answer, probs = answered.labels[row], answered.answers[row], answered.probs[row]
        names = answered.class_names
        text = f"{names[answer]}  {probs[answer]:.1%}"
        if label != answer:
            text += f"\nis {names[label]}  {probs[label]:.1%}"
        x, y = place % columns * (SIDE + GAP) + SIDE / 2, place // columns * (SIDE + GAP + 11) + 9
        color = RIGHT if label == answer else WRONG
        axis.text(x, y, text, ha="center", va="bottom", size=9, color=color)
    _save(figure, file)


def filters(sheet: np.ndarray, file: Path) -> None:
    """The first convolution's filters as `Network.filters` gives them, large enough to look at."""
    plt.imsave(file, sheet.repeat(12, axis=0).repeat(12, axis=1), cmap="gray", vmin=0, vmax=255)


def augmented(frames: np.ndarray, changed: np.ndarray, file: Path) -> None:
    """Training frames `(N, 28, 28)`, and each as training sees it, `(N, times, 28, 28)`."""
    columns = changed.shape[1] + 1
    figure, axis = plt.subplots(figsize=(columns, len(frames) + 0.3), layout="constrained")
    axis.axis("off")
    pictures = np.concatenate([frames[:, None], changed], axis=1).reshape(-1, SIDE, SIDE)
    _tiles(axis, pictures, columns, cmap="gray_r", vmin=0, vmax=255)
    axis.text(SIDE / 2, -2, "as it is", ha="center", va="bottom", size=9)
    axis.text(SIDE + GAP, -2, "as trained on", va="bottom", size=9)
    _save(figure, file)


def _tiles(axis: Axes, pictures: np.ndarray, columns: int, above: int = 0, **options: Any) -> None:
    """Pictures `(N, side, side)` in lines of `columns`, as one image: an axis for each is slow."""
    side, gap = pictures.shape[1], max(1, round(pictures.shape[1] * GAP / SIDE))
    lines = -(-len(pictures) // columns)
    height, width = side + above + gap, side + gap
    sheet = np.full((lines * height - gap, columns * width - gap), np.nan)
    for place, picture in enumerate(pictures):
        y, x = place // columns * height + above, place % columns * width
        sheet[y : y + side, x : x + side] = picture
    axis.imshow(sheet, interpolation="nearest", **options)


def _save(figure: Figure, file: Path) -> None:
    figure.savefig(file, dpi=110)
    plt.close(figure)
