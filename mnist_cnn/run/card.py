"""The model card: text by people, numbers and facts of a run by its report.

A generated block stands between `<!-- begin NAME -->` and `<!-- end NAME -->`; everything else is
left as a person wrote it. The text is in `model_card.md.jinja`; `model_card.md` is the card of the
bundled weights.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml
from huggingface_hub import EvalResult, ModelCard, ModelCardData

from mnist_cnn import data, hub
from mnist_cnn.model import BUNDLED
from mnist_cnn.reading import DOUBTFUL_MNIST_LABELS, wilson
from mnist_cnn.report import Report

BUNDLED_CARD = Path(__file__).with_name("model_card.md")
HUB_DATASETS = {"mnist": "ylecun/mnist", "fashion-mnist": "zalando-datasets/fashion_mnist"}
TAGS = {"mnist", "handwritten-digits"}  # each only where it is true
SHOWN_MISTAKES = 24  # on the sheet that a run leaves

_BLOCK = re.compile(r"(<!-- begin ([\w-]+) -->)\n?(.*?)\n?(<!-- end \2 -->)", re.DOTALL)


@dataclass(frozen=True)
class Cost:
    """What a run cost: its time is measured, the rest is assumed."""

    seconds: float
    threads: int  # in use; 0 on a GPU
    watts_a_thread: int = 10  # a server's share for one thread in use
    watts_a_gpu: int = 500  # a data-centre GPU at work
    grams_a_kwh: int = (
        480  # of CO₂: the world's mean of 2023 (Ember, Global Electricity Review 2024)
    )

    @classmethod
    def of(cls, report: Report) -> "Cost":
        machine = report.machine
        return cls(report.seconds.total, machine.threads if machine.device == "cpu" else 0)

    @property
    def watt_hours(self) -> float:
        return self.seconds / 3600 * (self.watts_a_thread * self.threads or self.watts_a_gpu)

    @property
    def grams(self) -> float:
        """Of CO₂."""
        return self.watt_hours / 1000 * self.grams_a_kwh


def render(
    report: Report | None, *, repo_id: str = "USER/NAME", beyond: str = "", pictures: str = ""
) -> str:
    """The card of the weights that a report describes.

    Args:
        report: a run's report; None if nothing is known.
        repo_id: where the weights are published.
        beyond: what was measured beyond the data set; known already for the bundled weights.
        pictures: the folder of the run's pictures, as seen from the card.
    """
    if not beyond and report == Report.read(BUNDLED / "report.json", "the bundled weights"):
        beyond = blocks(BUNDLED_CARD.read_text(encoding="utf-8"))["beyond"]
    facts = {"repo_id": repo_id, "beyond": beyond, "pictures": pictures} | _facts(report)
    template = str(Path(__file__).with_name("model_card.md.jinja"))
    return f"{ModelCard.from_template(_metadata(report), template, **facts)}\n"


def _facts(report: Report | None) -> dict[str, Any]:
    """The report, and what follows from it."""
    if not report:
        return {"report": None, "reads_digits": True}
    return {
        "report": report,
        "reads_digits": _reads_digits(report),
        "dataset": report.dataset,
        "title": data.title(report.dataset),
        "warning": data.warning(report.dataset),
        "is_folder": data.is_folder(report.dataset),
        "cost": Cost.of(report),
        "doubtful": len(DOUBTFUL_MNIST_LABELS),
        "shown": SHOWN_MISTAKES,
        "wilson": wilson,
    }


def merge(theirs: str, ours: str) -> str:
    """A card that people may have edited, with the generated blocks and metrics of a new one.

    Raises:
        ValueError: the metadata of the edited card cannot be read.
    """
    new = ModelCard(ours)
    try:
        edited = ModelCard(theirs)
        if not edited.text.strip():  # the Hub's stub for a new repo: a licence and no text
            new.data.__dict__ |= {k: v for k, v in edited.data.__dict__.items() if v is not None}
            return str(new)
        edited = ModelCard(fill(theirs, blocks(ours)))
    except (ValueError, yaml.YAMLError) as error:
        raise ValueError(f"the metadata of README.md cannot be read: {error}") from error
    _merge_metadata(cast(ModelCardData, edited.data), cast(ModelCardData, new.data))
    return str(edited)


def _merge_metadata(edited: ModelCardData, new: ModelCardData) -> None:
    """What a push wrote about the weights before goes, also where the new ones say nothing."""
    written = HUB_DATASETS.values()
    kept = [
        result
        for result in edited.eval_results or []
        if result.dataset_type not in written or result.metric_type != "accuracy"
    ]
    edited.eval_results = [*kept, *(new.eval_results or [])] or None
    edited.model_name = edited.model_name or new.model_name
    named = [edited.datasets] if isinstance(edited.datasets, str) else edited.datasets or []
    others = [name for name in named if name not in written]
    edited.datasets = [*(new.datasets or []), *others] or None
    untrue = TAGS - set(new.tags or [])
    edited.tags = [tag for tag in edited.tags or [] if tag not in untrue] or None
    for key in ("co2_eq_emissions", "base_model"):
        if (value := new.get(key)) is not None:
            edited[key] = value


def blocks(text: str) -> dict[str, str]:
    """The generated blocks of a text, by their names."""
    return {name: content for _, name, content, _ in _BLOCK.findall(text)}


def fill(text: str, named: Mapping[str, str]) -> str:
    """Replace the generated blocks of a text; blocks of other names stay as they are."""

    def content(match: re.Match[str]) -> str:
        if match[2] not in named:
            return match[0]
        return f"{match[1]}\n{named[match[2]].strip()}\n{match[4]}"

    return _BLOCK.sub(content, text)


def table(*rows: tuple[str, ...]) -> str:
    """A Markdown table; the first row is its head."""
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def _reads_digits(report: Report) -> bool:
    return tuple(report.config.get("class_names", data.DIGITS)) == data.DIGITS


def _metadata(report: Report | None) -> ModelCardData:
    trained_on = HUB_DATASETS.get(report.dataset) if report else None
    result = _result(report, trained_on) if report and trained_on else None
    untrue = {
        "mnist": not report or report.dataset != "mnist",
        "handwritten-digits": report and not _reads_digits(report),
    }
    return ModelCardData(
        language="en",
        license="mit",
        library_name="mnist_cnn",
        pipeline_tag="image-classification",
        tags=[
            *(tag for tag in sorted(TAGS) if not untrue[tag]),
            *("pytorch_model_hub_mixin", "model_hub_mixin"),
        ],
        datasets=[trained_on] if trained_on else None,
        base_model=_base_model(report.recipe.get("init_from", "")) if report else None,
        metrics=["accuracy"] if result else None,
        model_name=f"mnist_cnn {report.name}" if report and result else None,
        eval_results=[result] if result else None,
        co2_eq_emissions=_emissions(report) if report else None,
    )


def _emissions(report: Report) -> dict[str, Any]:
    cost = Cost.of(report)
    return {
        "emissions": float(f"{cost.grams:.3g}"),  # grams
        "source": f"run time × assumed power × {cost.grams_a_kwh} g of CO2 a kWh",
        "training_type": "fine-tuning" if report.recipe.get("init_from") else "pre-training",
        "hardware_used": report.machine.processor,
    }


def _base_model(init_from: str) -> str | None:
    repo_id = init_from.partition("@")[0]
    return repo_id if hub.REPO_ID.fullmatch(repo_id) and not Path(init_from).is_dir() else None


def _result(report: Report, trained_on: str) -> EvalResult:
    return EvalResult(
        task_type="image-classification",
        task_name="Image classification",
        dataset_type=trained_on,
        dataset_name=data.title(report.dataset),
        dataset_split="test",
        metric_type="accuracy",
        metric_name="Accuracy",
        metric_value=round(report.test.accuracy, 6),
    )
