"""The model card and README: text by people, numbers and facts of a run by its report.

A generated block stands between `<!-- begin NAME -->` and `<!-- end NAME -->`; everything else is
left as a person wrote it. The source of every card is `model_card.md`.
"""

import re
from collections.abc import Mapping
from pathlib import Path

import yaml
from huggingface_hub import EvalResult, ModelCard

from mnist_cnn import data, hub
from mnist_cnn.reading import DOUBTFUL_MNIST_LABELS, wilson
from mnist_cnn.report import Report

TEMPLATE = Path(__file__).with_name("model_card.md")
BUNDLED_REPORT = Path(__file__).parent.parent / "weights" / "report.json"

# To estimate what a run cost. A server's share for one thread in use, and a data-centre GPU at
# work; the world's mean of 2023 (Ember, Global Electricity Review 2024).
WATTS_PER_THREAD, WATTS_PER_GPU = 10, 500
GRAMS_CO2_PER_KWH = 480

HUB_DATASETS = {"mnist": "ylecun/mnist", "fashion-mnist": "zalando-datasets/fashion_mnist"}
SHOWN_MISTAKES = 24  # on the sheet that plots.mistakes draws
UNKNOWN = "Not known: these weights came without a report."

_BLOCK = re.compile(r"(<!-- begin ([\w-]+) -->)\n?(.*?)\n?(<!-- end \2 -->)", re.DOTALL)
_AUGMENTATIONS = {
    "p_affine": "rotation, shift, scale and shear",
    "p_elastic": "elastic distortion",
    "p_grid": "grid distortion",
    "p_brightness": "brightness and contrast",
    "p_stroke": "thicker and thinner strokes",
    "p_erase": "a small hole",
    "p_rotate90": "quarter turns",
}
_OPTIMIZERS = {"adamw": "AdamW", "adam": "Adam", "sgd": "SGD with Nesterov momentum"}


def render(
    report: Report | None, *, repo_id: str = "USER/NAME", beyond: str = "", pictures: str = ""
) -> str:
    """The card of the weights that a report describes.

    Args:
        report: a run's report; None if nothing is known.
        repo_id: where the weights are published.
        beyond: what was measured beyond the data set; kept as it is for the bundled weights.
        pictures: the folder of the run's pictures, as seen from the card.
    """
    text = TEMPLATE.read_text(encoding="utf-8")
    named = blocks(report, repo_id, pictures)
    if beyond or report != Report.read(BUNDLED_REPORT, "the bundled weights"):
        named["beyond"] = beyond or _NOT_MEASURED
    return _with_metadata(fill(text, named), report)


def merge(theirs: str, ours: str) -> str:
    """A card that people may have edited, with the generated blocks and metrics of a new one.

    Raises:
        ValueError: the metadata of the edited card cannot be read.
    """
    try:
        edited, new = ModelCard(theirs), ModelCard(ours)
    except (ValueError, yaml.YAMLError) as error:
        raise ValueError(f"the metadata of README.md cannot be read: {error}") from error
    if not edited.text.strip():  # the Hub's stub for a new repo: a licence and no text
        new.data.__dict__ |= {k: v for k, v in edited.data.__dict__.items() if v is not None}
        return str(new)
    named = {name: content for _, name, content, _ in _BLOCK.findall(ours)}
    edited = ModelCard(fill(theirs, named))
    # What a push wrote about the weights before goes, also where the new ones say nothing.
    written = HUB_DATASETS.values()
    measured = new.data.eval_results or []
    kept = [
        old
        for old in edited.data.eval_results or []
        if (old.dataset_type, old.metric_type) not in {(name, "accuracy") for name in written}
    ]
    edited.data.eval_results = [*kept, *measured] or None
    edited.data.model_name = edited.data.model_name or new.data.model_name
    datasets = edited.data.datasets or []
    datasets = [datasets] if isinstance(datasets, str) else datasets
    others = [name for name in datasets if name not in written]
    edited.data.datasets = [*(new.data.datasets or []), *others] or None
    untrue = set(ModelCard.load(TEMPLATE).data.tags) - set(new.data.tags or [])
    edited.data.tags = [tag for tag in edited.data.tags or [] if tag not in untrue] or None
    for key in ("co2_eq_emissions", "base_model"):
        if (value := new.data.get(key)) is not None:
            edited.data[key] = value
    return str(edited)


def fill(text: str, named: Mapping[str, str]) -> str:
    """Replace the generated blocks of a text; blocks of other names stay as they are."""

    def content(match: re.Match[str]) -> str:
        if match[2] not in named:
            return match[0]
        return f"{match[1]}\n{named[match[2]].strip()}\n{match[4]}"

    return _BLOCK.sub(content, text)


def blocks(report: Report | None, repo_id: str = "USER/NAME", pictures: str = "") -> dict[str, str]:
    """The generated blocks that a report gives."""
    use = {"use": how_to_use(repo_id, report)}
    if not report:
        return use | dict.fromkeys(_GENERATED, UNKNOWN)
    generated = {name: block(report) for name, block in _GENERATED.items()}
    if report.test.errors:
        generated["limits"] += "\n\n" + _mistakes(report, pictures)
    return use | generated


def table(*rows: tuple[str, ...]) -> str:
    """A Markdown table; the first row is its head."""
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


# Blocks -------------------------------------------------------------------------------------------


def how_to_use(repo_id: str, report: Report | None) -> str:
    answer = (
        'answer = model.predict("seven.png")\nprint(answer.digit, answer.confidence)'
        if _reads_digits(report)
        else 'answer = model.predict("picture.png")\nif answer.digit is not None:\n'
        "    print(model.config.class_names[answer.digit], answer.confidence)"
    )
    return (
        "```python\nfrom mnist_cnn import load_model\n\n"
        f'model = load_model("{repo_id}")  # pin a version with "{repo_id}@COMMIT"\n{answer}\n```'
    )


def _reads_digits(report: Report | None) -> bool:
    return report is None or tuple(report.config.get("class_names", ())) == data.DIGITS


def _summary(report: Report) -> str:
    task = (
        "reads a handwritten digit from a 28×28 picture"
        if _reads_digits(report)
        else f"tells {len(report.config['class_names'])} classes of 28×28 pictures apart"
    )
    return (
        f"A small convolutional network that {task}, together with the preprocessing that brings a "
        "sketch, a photo or a scan into that form."
    )


def _results(report: Report) -> str:
    test, machine = report.test, report.machine
    seconds, rows = report.seconds.total, [("measure", "value")]
    duration = f"{seconds / 60:.0f} min" if seconds >= 120 else f"{seconds:.0f} s"
    threads = _count(machine.threads, "thread")
    (low, high), title = test.interval, data.title(report.dataset)
    rows.append((f"accuracy on {test.n:,} {title} test images", f"**{test.accuracy:.2%}**"))
    rows.append(("errors", f"{test.errors}"))
    if test.errors_outside_doubtful is not None:
        label = f"errors outside the {len(DOUBTFUL_MNIST_LABELS)} doubtful labels"
        rows.append((label, f"{test.errors_outside_doubtful}"))
    rows.append(("95 % interval (Wilson)", f"{low:.2%} to {high:.2%}"))
    rows.append(("expected calibration error", f"{test.ece:.2%}"))
    return table(
        *rows,
        ("runs", f"1 (seed {report.seed}, {_which_weights(report)})"),
        ("parameters", f"{report.parameters:,}"),
        ("multiply-adds an image", f"{report.multiply_adds:,}"),
        (
            "training",
            f"{duration} on {threads} of {machine.processor} "
            f"({machine.device}, {report.precision})",
        ),
    )


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def _which_weights(report: Report) -> str:
    recipe = report.recipe
    when = "best" if recipe["patience"] and recipe["val_size"] else "last"
    return f"{when} {'averaged ' if recipe['ema'] else ''}weights"


def _command(report: Report) -> str:
    return f"```\n{report.command}\n```"


def _data(report: Report) -> str:
    recipe = report.recipe
    text = f"Trained on {_described(recipe['dataset'])}."
    if recipe["val_size"]:
        fitted = " and the threshold of refusal" if recipe["nondigits"] else ""
        text += (
            f" {recipe['val_size']:,} of them are held out to watch the run and to fit the "
            f"temperature{fitted}."
        )
    added = [_ADDED[key] for key in _ADDED if recipe.get(key)]
    if added:
        text += f" Added are {', '.join(added[:-1])}{' and ' if added[:-1] else ''}{added[-1]}."
        if (seen := recipe.get("added_share", 1)) < 1:
            text += f" An epoch sees {seen:.0%} of what is added, another part each time."
    if recipe.get("init_from"):
        text += f" Training began with the weights of `{recipe['init_from']}`."
    if recipe["dataset"] == "mnist":
        text += (
            " EMNIST, QMNIST and other NIST sets are left out because they share writers with "
            "MNIST's test set."
        )
    if warning := data.warning(recipe["dataset"]):
        text += f" {warning}."
    return f"{text} The test images took no part in training or in any choice."


def _described(dataset: str) -> str:
    if data.is_folder(dataset):
        return f"the pictures of a folder, {data.title(dataset)}, one sub-folder a class"
    return {
        "mnist": "MNIST's training images ([ylecun/mnist](https://huggingface.co/datasets/ylecun/"
        "mnist); LeCun, Cortes and Burges 1998: digits of American high-school students and census "
        "employees)",
        "synthetic": "digits that the program draws as pen strokes; no real handwriting",
    }.get(dataset, f"the training images of {data.title(dataset)}")


_ADDED = {
    "drawn_digits": "digits that the program draws as pen strokes, which include ways of writing "
    "that are rare in the USA (a 1 with a flag, a 7 with a bar)",
    "reinked_digits": "training digits drawn again from their skeletons with other pens",
    "candidates": "digits, whole and broken, cut out of lines of touching digits",
    "nondigits": "non-digits (letters, drawn and printed, symbols, shapes, scribbles, "
    "pieces of digits, several digits at once)",
}


def _procedure(report: Report) -> str:
    recipe = report.recipe
    rate = (
        f"a one-cycle learning rate (Smith and Topin 2018) of at most {recipe['lr']:g}"
        if recipe["schedule"] == "onecycle"
        else f"a constant learning rate of {recipe['lr']:g}"
    )
    parts = [
        f"{_OPTIMIZERS.get(recipe['optimizer'], recipe['optimizer'])} with {rate}",
        f"{_count(recipe['epochs'], 'epoch')} in batches of {recipe['batch_size']}",
        *(["weight decay"] if recipe["weight_decay"] else []),
        *(["squared error of the probabilities"] if recipe.get("loss") == "squared" else []),
        *(["label smoothing"] if recipe["label_smoothing"] else []),
        *(["gradient clipping"] if recipe["grad_clip"] else []),
        f"{report.precision} arithmetic",
    ]
    result = {
        "best": "The result is what was best on the held-out images",
        "last": "The result is what the last epoch left",
    }[_which_weights(report).split()[0]]
    averaged = ", as averaged weights (EMA)" if recipe["ema"] else ""
    transforms = [name for key, name in _AUGMENTATIONS.items() if report.augmentation.get(key)]
    augmented = (
        f"Augmentation is by Albumentations: {', '.join(transforms)}; `augmentation.json` holds "
        "the pipeline."
        if transforms
        else "No augmentation."
    )
    refusal = (
        " Non-digits are trained by outlier exposure (Hendrycks et al. 2019): the answer to them "
        "should give all classes equal shares, and what comes too near to that is refused."
        if recipe["nondigits"]
        else ""
    )
    calibrated = (
        " The temperature is fitted on the held-out images (Guo et al. 2017)."
        if recipe["val_size"]
        else ""
    )
    return f"{'; '.join(parts)}. {result}{averaged}. {augmented}{refusal}{calibrated}"


def _training(report: Report) -> str:
    knobs = {
        **report.recipe,
        **{f"augmentation.{k}": v for k, v in report.augmentation.items()},
    }
    rows = [("training frames", f"{report.training_frames:,}")]
    rows += [(name, str(value)) for name, value in knobs.items()]
    rows += [(name, version) for name, version in report.versions.items()]
    return table(("setting", "value"), *rows)


def _architecture(report: Report) -> str:
    config = report.config
    layers = [
        f"{kernel}×{kernel} convolution to {width} channels"
        + (", pooled 2×2" if layer in config["pool_after"] else "")
        for layer, (width, kernel) in enumerate(
            zip(config["channels"], config["kernel_sizes"], strict=True), start=1
        )
    ]
    layers += [f"{width} fully connected" for width in config["hidden"]]
    names = ", ".join(config["class_names"])
    normed = "; batch norm after the convolutions and on the logits" if config["batch_norm"] else ""
    is_pyramid = set(config["kernel_sizes"]) == {3} and not config["same_padding"]
    follows = _FOLLOWED if is_pyramid and not config["hidden"] else ""
    return (
        f"{'; '.join(layers)}; {len(config['class_names'])} logits, one for each of {names}. "
        f"ReLU between the layers{normed}; {'zero' if config['same_padding'] else 'no'} padding."
        f"{follows}"
    )


_FOLLOWED = (
    " After the valid-convolution pyramids of S. An et al., *An Ensemble of Simple Convolutional "
    "Neural Network Models for MNIST Digit Recognition*, 2020 (arXiv 2008.10400)."
)


def _per_class(report: Report) -> str:
    rows = []
    for name, share in report.test.per_class.items():
        n = report.test.per_class_n.get(name)
        low_high = wilson(round(share * n), n) if n else None
        interval = "{:.2%} to {:.2%}".format(*low_high) if low_high else ""
        rows.append((name, f"{n:,}" if n else "", f"{share:.2%}", interval))
    return table(("class", "n", "accuracy", "95 % interval"), *rows)


def _limits(report: Report) -> str:
    recipe = report.recipe
    bullets = [
        "One run and one seed: the interval above says how far another set of test images could "
        "differ, not how far another seed would.",
        "Most of what is no digit is refused, but not all."
        if recipe["nondigits"]
        else "Nothing is refused: a letter or a scribble is read as some class, often with high "
        "confidence.",
    ]
    if recipe["dataset"] == "mnist":
        bullets.append("Writers of MNIST are American; others write 1, 4, 7 and 9 in other ways.")
    if recipe["dataset"] == "synthetic":
        bullets.append("It never saw real handwriting, and reads it clearly worse than its report.")
    if not any(report.augmentation.get(key) for key in _AUGMENTATIONS):
        bullets.append("Trained without augmentation: what is tilted or distorted is read worse.")
    if _reads_digits(report):
        bullets.append(
            "Rows of digits that touch each other are often read wrong, and `read` finds digits in "
            "many letters and words."
        )
    return "\n".join(f"- {bullet}" for bullet in bullets)


def _mistakes(report: Report, pictures: str) -> str:
    errors = report.test.errors
    which = (
        f"The {SHOWN_MISTAKES} surest of {errors}" if errors > SHOWN_MISTAKES else f"All {errors}"
    )
    return (
        f"{which} test images that it reads wrong:\n\n"
        f"![Wrongly read test images]({pictures}mistakes.png)"
    )


def _environment(report: Report) -> str:
    seconds, energy, grams = report.seconds.total, _kwh(report), _grams(report)
    duration = f"{seconds / 3600:.2f} h" if seconds >= 360 else f"{seconds:.0f} s"
    machine = report.machine
    watts = (
        f"{WATTS_PER_THREAD} W a thread ({_count(machine.threads, 'thread')})"
        if machine.device == "cpu"
        else f"{WATTS_PER_GPU} W for the GPU"
    )
    return (
        f"{duration} on {machine.processor} ({machine.device}): about {energy * 1000:.3g} "
        f"Wh or {grams:.3g} g of CO₂. The time is measured; assumed are {watts} and "
        f"{GRAMS_CO2_PER_KWH} g of CO₂ a kWh (the world's mean of 2023, Ember 2024)."
    )


def _kwh(report: Report) -> float:
    machine = report.machine
    on_cpu = machine.device == "cpu"
    watts = WATTS_PER_THREAD * machine.threads if on_cpu else WATTS_PER_GPU
    return report.seconds.total / 3600 * watts / 1000


def _grams(report: Report) -> float:
    return _kwh(report) * GRAMS_CO2_PER_KWH


_GENERATED = {
    "summary": _summary,
    "results": _results,
    "command": _command,
    "data": _data,
    "procedure": _procedure,
    "training": _training,
    "architecture": _architecture,
    "per-class": _per_class,
    "limits": _limits,
    "environment": _environment,
}
_NOT_MEASURED = (
    "These weights have been measured on their own data set alone: what they make of sketches, "
    "photos, corrupted digits and of what is no digit is not known."
)


# Metadata -----------------------------------------------------------------------------------------


def _with_metadata(card: str, report: Report | None) -> str:
    parsed = ModelCard(card)
    facts, recipe = parsed.data, report.recipe if report else {}
    dataset = HUB_DATASETS.get(recipe.get("dataset"))
    untrue = {
        "mnist": recipe.get("dataset") != "mnist",
        "handwritten-digits": not _reads_digits(report),
    }
    facts.tags = [tag for tag in facts.tags if not untrue.get(tag)]
    facts.datasets = [dataset] if dataset else None
    facts.base_model = _base_model(recipe.get("init_from", ""))
    facts.eval_results = _eval_results(report) if report and dataset else None
    facts.model_name = f"mnist_cnn {report.name}" if report and dataset else None
    facts.metrics = ["accuracy"] if facts.eval_results else None
    facts["co2_eq_emissions"] = (
        {
            "emissions": float(f"{_grams(report):.3g}"),  # grams
            "source": f"run time × assumed power × {GRAMS_CO2_PER_KWH} g of CO2 a kWh",
            "training_type": "fine-tuning" if recipe.get("init_from") else "pre-training",
            "hardware_used": report.machine.processor,
        }
        if report
        else None
    )
    return str(parsed)


def _base_model(init_from: str) -> str | None:
    repo_id = init_from.partition("@")[0]
    return repo_id if hub.REPO_ID.fullmatch(repo_id) and not Path(init_from).is_dir() else None


def _eval_results(report: Report) -> list[EvalResult]:
    return [
        EvalResult(
            task_type="image-classification",
            task_name="Image classification",
            dataset_type=HUB_DATASETS[report.dataset],
            dataset_name=data.title(report.dataset),
            dataset_split="test",
            metric_type="accuracy",
            metric_name="Accuracy",
            metric_value=round(report.test.accuracy, 6),
        )
    ]
