"""The model card and README: text by people, numbers by reports.

A generated block stands between `<!-- begin NAME -->` and `<!-- end NAME -->`; everything else is
left as a person wrote it.
"""

import re
from collections.abc import Mapping
from typing import Any

from huggingface_hub import EvalResult, ModelCard

from mnist_cnn import data


def render(card: str, report: Mapping[str, Any]) -> str:
    """A model card with the numbers of a run's report, in its blocks and its metadata."""
    parsed = ModelCard(fill(card, blocks(report)))
    parsed.data.model_name = f"mnist_cnn {report['name']}"
    parsed.data.eval_results = _eval_results(report)
    return str(parsed)


def fill(text: str, named: Mapping[str, str]) -> str:
    """Replace the generated blocks of a text; blocks of other names stay as they are."""

    def content(match: re.Match[str]) -> str:
        if match[2] not in named:
            return match[0]
        return f"{match[1]}\n{named[match[2]].strip()}\n{match[3]}"

    pattern = re.compile(r"(<!-- begin ([\w-]+) -->).*?(<!-- end \2 -->)", re.DOTALL)
    return pattern.sub(content, text)


def blocks(report: Mapping[str, Any]) -> dict[str, str]:
    """The generated blocks that a report gives."""
    return {
        "results": _results(report),
        "per-class": _per_class(report),
        "training": _training(report),
        "command": f"```\n{report['command']}\n```",
    }


def _results(report: Mapping[str, Any]) -> str:
    test, machine = report["test"], report["machine"]
    low, high = test["interval"]
    seconds, title = report["seconds"]["total"], data.title(report["recipe"]["dataset"])
    duration = f"{seconds / 60:.0f} min" if seconds >= 120 else f"{seconds:.0f} s"
    weights = "averaged" if report["recipe"]["ema"] else "trained"
    which = "best on validation" if report["recipe"]["patience"] else f"last {weights} weights"
    doubtful = test.get("errors_outside_doubtful")
    apart = [] if doubtful is None else [("errors outside the 15 doubtful labels", f"{doubtful}")]
    return table(
        ("measure", "value"),
        (f"accuracy on {test['n']:,} {title} test images", f"**{test['accuracy']:.2%}**"),
        ("errors", f"{test['errors']}"),
        *apart,
        ("95 % interval (Wilson)", f"{low:.2%} to {high:.2%}"),
        ("expected calibration error", f"{test['ece']:.2%}"),
        ("runs", f"1 (seed {report['seed']}, {which})"),
        ("parameters", f"{report['parameters']:,}"),
        ("multiply-adds an image", f"{report['multiply_adds']:,}"),
        (
            "training",
            f"{duration} on {machine['threads']} threads of {machine['processor']} "
            f"({machine['device']}, {report['precision']})",
        ),
    )  # fmt: skip


def _per_class(report: Mapping[str, Any]) -> str:
    per_class = report["test"]["per_class"]
    return table(("class", *per_class), ("accuracy", *(f"{v:.2%}" for v in per_class.values())))


def _training(report: Mapping[str, Any]) -> str:
    knobs = {
        **report["recipe"],
        **{f"augmentation.{k}": v for k, v in report["augmentation"].items()},
    }
    rows = [("training frames", f"{report['training_frames']:,}")]
    rows += [(name, str(value)) for name, value in knobs.items()]
    rows += [(name, version) for name, version in report["versions"].items()]
    return table(("setting", "value"), *rows)


def table(*rows: tuple[str, ...]) -> str:
    """A Markdown table; the first row is its head."""
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def _eval_results(report: Mapping[str, Any]) -> list[EvalResult] | None:
    if report["recipe"]["dataset"] != "mnist":
        return None
    test = report["test"]
    return [
        EvalResult(
            task_type="image-classification",
            task_name="Image classification",
            dataset_type="ylecun/mnist",
            dataset_name="MNIST",
            dataset_split="test",
            metric_type="accuracy",
            metric_name="Accuracy",
            metric_value=round(test["accuracy"], 6),
        )
    ]
