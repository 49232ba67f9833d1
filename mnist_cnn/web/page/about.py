"""The page's last tab: which weights are in use, where they come from, and how good they are."""

from collections.abc import Sequence
from typing import Any

from mnist_cnn.model import MnistCNN
from mnist_cnn.report import Epoch
from mnist_cnn.web.page.markup import html
from mnist_cnn.web.page.views import pixels


def about(model: MnistCNN) -> str:
    """The numbers of the weights' own report, and pictures of the weights."""
    return html(
        "about",
        source=model.source,
        parameters=f"{model.config.parameters():,}",
        classes=", ".join(model.config.class_names),
        report=model.report,
        curve=curve(model.report.history) if model.report else None,
        filters=pixels(model.filters()),
    )


def curve(history: Sequence[Epoch]) -> dict[str, Any] | None:
    """Validation accuracy as a line over the epochs."""
    shares = [epoch.val_accuracy for epoch in history if epoch.val_accuracy is not None]
    if len(shares) < 2:
        return None
    low, high = min(shares), max(shares)
    step, scale = 300 / (len(shares) - 1), 80 / max(high - low, 1e-9)
    points = " ".join(f"{i * step:.1f},{90 - (s - low) * scale:.1f}" for i, s in enumerate(shares))
    return {"points": points, "low": low, "high": high}
