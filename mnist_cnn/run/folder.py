"""What a run leaves: weights, report, augmentation, card, pictures, and all of it in one page."""

import base64
from pathlib import Path

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from torch import Tensor

from mnist_cnn import data
from mnist_cnn.data import Augmentation, Augmenter
from mnist_cnn.files import replacing
from mnist_cnn.model import MnistCNN
from mnist_cnn.reading import raw_logits
from mnist_cnn.run import card

# Title of each picture, in the order of the page; where nothing is augmented that one is left out.
PICTURES = {
    "curves.png": "Loss and accuracy",
    "mistakes.png": "The worst mistakes",
    "confusion.png": "Confusion matrix",
    "per_class.png": "Accuracy per class",
    "predictions.png": "Test frames drawn by lot",
    "augmented.png": "Augmentation",
    "filters.png": "First-layer filters",
}


def write(model: MnistCNN, folder: Path, test: tuple[Tensor, Tensor], frames: Tensor) -> None:
    """Write a run's folder; a failure, such as a full disk, leaves what was there.

    Args:
        model: the trained network with its report.
        folder: an existing folder.
        test: the test frames and labels that the report speaks of.
        frames: training frames, some of which are shown augmented.
    """
    assert model.report
    # The report last: a folder that has it has everything.
    with replacing(folder, last="report.json") as new:
        model.save_pretrained(new)
        augmenter = Augmenter(Augmentation(**model.report.augmentation))
        augmenter.save(new / "augmentation.json")
        _write_pictures(model, new, test, bool(augmenter.compose.transforms))
        if augmenter.compose.transforms:
            _write_augmented(augmenter, frames, model.report.seed, new)
        (new / "report.html").write_text(_page(model, new), encoding="utf-8")
        (new / "README.md").write_text(card.render(model.report), encoding="utf-8")


def _write_pictures(
    model: MnistCNN, folder: Path, test: tuple[Tensor, Tensor], augmented: bool
) -> None:
    from mnist_cnn.run import plots  # and with it matplotlib

    frames, labels = test
    probs = (raw_logits(model, frames) / model.config.temperature).softmax(1)
    names = model.config.class_names
    answered = plots.Answered(frames.numpy(), labels.numpy(), probs.numpy(), names)
    assert model.report
    smoothing = model.report.recipe["label_smoothing"]
    plots.curves(model.report.history, augmented, smoothing, folder / "curves.png")
    plots.mistakes(answered, folder / "mistakes.png")
    plots.confusion(answered, folder / "confusion.png")
    plots.per_class(answered, folder / "per_class.png")
    plots.predictions(answered, folder / "predictions.png")
    plots.filters(model.filters(), folder / "filters.png")


def _write_augmented(augmenter: Augmenter, frames: Tensor, seed: int, folder: Path) -> None:
    """A sheet of the first frames, each beside some of what augmentation makes of it."""
    from mnist_cnn.run import plots

    frames, times = frames[:8], 9
    # One frame at a time: frames that are augmented together share their transform.
    changed = [
        augmenter(frame[None].numpy(), (seed, 0, row, version))
        for row, frame in enumerate(frames)
        for version in range(times)
    ]
    versions = np.stack(changed).reshape(len(frames), times, 28, 28)
    plots.augmented(frames.numpy(), versions, folder / "augmented.png")


def _page(model: MnistCNN, folder: Path) -> str:
    """A page that holds everything, pictures included, and loads nothing."""
    pages = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    report = model.report
    assert report
    return pages.get_template("report.html").render(
        report=report,
        title=data.title(report.dataset),
        warning=data.warning(report.dataset),
        settings={name: getattr(report, name) for name in ("recipe", "config", "augmentation")},
        pictures={
            title: base64.b64encode((folder / name).read_bytes()).decode()
            for name, title in PICTURES.items()
            if (folder / name).exists()
        },
    )
