"""The model card: true for every recipe, valid metadata, and people's words stay."""

import dataclasses
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from mnist_cnn.data import datasets as data
from mnist_cnn.model import BUNDLED
from mnist_cnn.report import Machine, Report, Seconds
from mnist_cnn.run import card
from mnist_cnn.training import RECIPES

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def report(finished_run) -> Report:
    return Report.read(finished_run / "report.json", "a run")


def report_of(recipe_name: str, report: Report, dataset: str = "mnist") -> Report:
    """The report that a run of this recipe would leave, but for its accuracies."""
    run = dataclasses.asdict(RECIPES[recipe_name])
    recipe, config, augmentation = run["recipe"], run["config"], run["augmentation"]
    recipe["dataset"] = dataset
    config["class_names"] = data.class_names(dataset)
    parts = {"recipe": recipe, "config": config, "augmentation": augmentation}
    return replace(report, name=recipe_name, **parts)


@pytest.mark.parametrize("dataset", ["mnist", "synthetic", "fashion-mnist"])
@pytest.mark.parametrize("name", RECIPES)
def test_a_card_says_what_its_own_recipe_did(name, dataset, report):
    text = card.render(report_of(name, report, dataset))
    run = RECIPES[name]
    recipe, config, augmentation = run.recipe, run.config, run.augmentation
    said = {
        "outlier exposure": recipe.nondigits,
        "Nothing is refused": not recipe.nondigits,
        "drawn again from their skeletons": recipe.reinked_digits,
        "a 7 with a bar": recipe.drawn_digits,
        "averaged weights": recipe.ema,
        "one-cycle": recipe.schedule == "onecycle",
        "a constant learning rate of": recipe.schedule == "constant",
        "AdamW with": recipe.optimizer == "adamw",
        "Adam with": recipe.optimizer == "adam",
        "SGD with": recipe.optimizer == "sgd",
        "label smoothing": recipe.label_smoothing,
        "gradient clipping": recipe.grad_clip,
        "elastic distortion": augmentation.p_elastic,
        "No augmentation.": not augmentation.p_affine,
        "batch norm after": config.batch_norm,
        "Writers of MNIST": dataset == "mnist",
        "ylecun/mnist": dataset == "mnist",
        "zalando-datasets/fashion_mnist": dataset == "fashion-mnist",
        "model-index": dataset != "synthetic",
        "model_name": False,
        "digit from a 28×28 picture": dataset != "fashion-mnist",
        "tells 10 classes of 28×28 pictures apart": dataset == "fashion-mnist",
        "print(answer.digit": dataset != "fashion-mnist",
        "print(model.config.class_names[answer.digit]": dataset == "fashion-mnist",
        "Rows of digits": dataset != "fashion-mnist",
        "pyramids of S. An": name in ("flagship", "tiny"),
        "flagship": name == "flagship" and dataset != "synthetic",  # in the model-index
        "never saw real handwriting": dataset == "synthetic",
        "is not known.": True,  # nobody measured this run on photos
        "camera photo": False,
    }
    assert {phrase: phrase in prose(text) for phrase in said} == {
        phrase: bool(expected) for phrase, expected in said.items()
    }


def prose(text: str) -> str:
    """Without the table of settings, which names every knob."""
    before, _, rest = text.partition("<!-- begin training -->")
    return before + rest.partition("<!-- end training -->")[2]


def test_the_metadata_is_what_the_hub_expects(report):
    facts = ModelCard(card.render(report_of("sgd", report))).data
    assert (facts.license, facts.library_name) == ("mit", "mnist_cnn")
    assert (facts.pipeline_tag, facts.language) == ("image-classification", "en")
    assert facts.datasets == ["ylecun/mnist"]
    assert facts.metrics == ["accuracy"]
    assert facts["co2_eq_emissions"]["emissions"] > 0
    (result,) = facts.eval_results
    assert facts.model_name == "mnist_cnn sgd"
    assert (result.task_type, result.dataset_type) == ("image-classification", "ylecun/mnist")
    assert (result.dataset_split, result.metric_type) == ("test", "accuracy")
    assert result.metric_value == pytest.approx(report.test.accuracy)
    synthetic = ModelCard(card.render(report_of("sgd", report, "synthetic"))).data
    assert (synthetic.datasets, synthetic.eval_results, synthetic.metrics) == (None, None, None)
    assert "mnist" not in synthetic.tags


def test_every_section_of_a_good_card_is_there(report):
    lines = card.render(report).splitlines()
    headings = [line[3:] for line in lines if line.startswith("## ")]
    assert headings == [
        *("How to use", "Uses", "Training data", "Preprocessing", "Training procedure"),
        *("Architecture", "Evaluation", "Limits", "Environmental cost", "Citation"),
        "Licence and questions",
    ]
    assert any(line.startswith("**Out of scope.**") for line in lines)
    assert "![Wrongly read test images](mistakes.png)" in lines


def test_the_cost_comes_from_the_run_time(report):
    """An hour on 4 threads of 10 W: 40 Wh, which at 480 g a kWh are 19.2 g."""
    machine = Machine(processor="X", threads=4, device="cpu")
    report = replace(report, seconds=Seconds(total=3600, epochs=1), machine=machine)
    text = card.render(report)
    assert "1.00 h on X (cpu): about 40 Wh or 19.2 g of CO₂" in text
    assert ModelCard(text).data["co2_eq_emissions"]["emissions"] == pytest.approx(19.2)


def test_classes_have_intervals(report):
    """9 of 10 right: Wilson's interval is 59.6 % to 98.2 %."""
    test = replace(report.test, per_class={"a": 0.9}, per_class_n={"a": 10})
    assert "| a | 10 | 90.00% | 59.58% to 98.21% |" in card.render(replace(report, test=test))


def test_the_bundled_card_is_the_templates_own(model):
    report = model.report
    text = card.render(report)
    assert "| camera photo |" in text
    assert "mistakes.png" in text
    assert (BUNDLED / "mistakes.png").exists()
    other = card.render(replace(report, seed=1))
    assert "| camera photo |" not in other
    (result,) = ModelCard(text).data.eval_results
    assert result.metric_value == pytest.approx(report.test.accuracy, abs=1e-6)


def test_only_the_blocks_change():
    text = "kept <!-- begin a -->old<!-- end a --> kept"
    assert card.fill(text, {"a": "new"}) == "kept <!-- begin a -->\nnew\n<!-- end a --> kept"
    other = "<!-- begin b -->old<!-- end b -->"
    assert card.fill(other, {"a": "new"}) == other


def test_merging_keeps_results_on_other_data_and_drops_old_ones(report):
    old = card.render(report_of("sgd", report))
    theirs = ModelCard(old)
    (result,) = theirs.data.eval_results
    other = replace(result, dataset_type="someone/digits", metric_value=0.5)
    theirs.data.eval_results = [result, other]
    worse = replace(report, test=replace(report.test, accuracy=0.123))
    new = card.render(report_of("sgd", worse))
    merged = ModelCard(card.merge(str(theirs), new)).data
    values = {result.dataset_type: result.metric_value for result in merged.eval_results}
    assert values == {"ylecun/mnist": 0.123, "someone/digits": 0.5}


def test_merging_says_nothing_of_data_that_the_new_weights_never_saw(report):
    """MNIST's accuracy, name and tag belonged to the weights before; what a person added stays."""
    theirs = ModelCard(card.render(report_of("sgd", report)))
    theirs.data.datasets = ["someone/digits", "ylecun/mnist"]
    theirs.data.tags += ["hobby"]
    merged = ModelCard(card.merge(str(theirs), card.render(report_of("sgd", report, "synthetic"))))
    assert merged.data.eval_results is None
    assert "model-index" not in str(merged)
    assert merged.data.datasets == ["someone/digits"]
    assert {"mnist", "hobby"} & set(merged.data.tags) == {"hobby"}
    again = ModelCard(card.merge(str(merged), card.render(report_of("sgd", report))))
    assert again.data.datasets == ["ylecun/mnist", "someone/digits"]
    assert card.merge(str(again), card.render(report_of("sgd", report))) == str(again)


def test_counts_and_times_read_well(report):
    machine = Machine(processor="X", threads=1, device="cpu")
    seconds = Seconds(total=12.4, epochs=1)
    text = card.render(replace(report, seconds=seconds, machine=machine))
    assert "12 s on 1 thread of X" in text
    assert "12 s on X (cpu)" in text
    assert "1 epoch in batches" in text
    assert "are 10 W a thread (1 thread) and" in text


def test_merging_leaves_removed_blocks_out(report):
    theirs = "---\nlicense: mit\n---\n# Mine\n<!-- begin limits -->\nold\n<!-- end limits -->\n"
    merged = card.merge(theirs, card.render(report))
    assert "Nothing is refused" in merged
    assert "old" not in merged
    assert "## Evaluation" not in merged
