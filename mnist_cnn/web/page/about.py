"""The page's last tab: which weights are in use, where they come from, and how good they are."""

from collections.abc import Sequence

from mnist_cnn.model import MnistCNN
from mnist_cnn.report import Epoch, Evaluation
from mnist_cnn.web.page.texts import phrase, plain
from mnist_cnn.web.page.views import figure, pixels


def about(model: MnistCNN) -> str:
    """The numbers of the weights' own report, and pictures of the weights."""
    report = model.report
    rows = [("origin", plain(model.source)), ("parameters", f"{model.config.parameters():,}")]
    if report and report.git_commit:
        rows.append(("commit", plain(report.git_commit)))
    if report and report.finished:
        rows.append(("trained", plain(report.finished)))
    numbers = "".join(f"<tr><th>{phrase(key)}</th><td>{value}</td></tr>" for key, value in rows)
    pictures = figure(pixels(model.filters()), "filters")
    return (
        f'<div class="about"><h2>{phrase("weights")}</h2><table>{numbers}'
        f"{_accuracy(report.test) if report else ''}</table>"
        f"{_per_class(report.test) if report else ''}"
        f"{_curve(report.history) if report else ''}{pictures}"
        f"<p>{phrase('limits')}</p><p>{phrase('privacy')}</p><p>{phrase('programs')}</p></div>"
    )


def _accuracy(test: Evaluation) -> str:
    (low, high), digits = test.interval, phrase("accuracy", f"{test.n:,}")
    return (
        f"<tr><th>{digits}</th><td>{test.accuracy:.2%}</td></tr>"
        f"<tr><th>{phrase('interval')}</th><td>{low:.2%} – {high:.2%}</td></tr>"
        f"<tr><th>{phrase('errors')}</th><td>{test.errors:,}</td></tr>"
        f"<tr><th>{phrase('calibration')}</th><td>{test.ece:.2%}</td></tr>"
    )


def _per_class(test: Evaluation) -> str:
    shares = "".join(
        f"<div><dt>{plain(name)}</dt><dd>{share:.2%}</dd></div>"
        for name, share in test.per_class.items()
    )
    return f'<h2>{phrase("per_class")}</h2><dl class="classes">{shares}</dl>'


def _curve(history: Sequence[Epoch]) -> str:
    """Validation accuracy as a line over the epochs."""
    shares = [epoch.val_accuracy for epoch in history if epoch.val_accuracy is not None]
    if len(shares) < 2:
        return ""
    low = min(shares)
    step, scale = 300 / (len(shares) - 1), 80 / max(max(shares) - low, 1e-9)
    points = " ".join(f"{i * step:.1f},{90 - (s - low) * scale:.1f}" for i, s in enumerate(shares))
    return (
        f'<figure class="curve"><svg viewBox="-4 0 308 100" aria-hidden="true">'
        f'<polyline points="{points}" /></svg><figcaption>{phrase("curve")}: '
        f"{low:.2%} – {max(shares):.2%}</figcaption></figure>"
    )
