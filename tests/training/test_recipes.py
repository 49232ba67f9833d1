"""The recipes are what their authors described, and the benchmark of them counts right."""

import dataclasses
import json

import numpy as np
import pytest
from idx_files import write

from benchmarks import classic, recipes, render, reports
from mnist_cnn.data.augmentation import Augmentation
from mnist_cnn.training.flags import decide, parse
from mnist_cnn.training.recipes import ADDED, NO_AUGMENTATION, RECIPES

# Layer by layer from the descriptions: (convolutions, kernel, "same" padding, fully connected).
DESCRIBED = {
    "wide-5x5": {"channels": (32, 64), "kernel_sizes": (5, 5), "hidden": (1000,), "dropout": 0.4},
    "deep-dropout": {
        "channels": (32, 64),
        "kernel_sizes": (5, 5),
        "hidden": (1024,),
        "dropout": 0.5,
    },
    "compact": {"channels": (10, 20), "kernel_sizes": (5, 5), "hidden": (50,), "dropout": 0.25},
}
TRAINED = {
    "wide-5x5": {"optimizer": "adam", "lr": 3e-4, "epochs": 20, "batch_size": 64},
    "deep-dropout": {
        "optimizer": "adamw",
        "weight_decay": 0.01,
        "schedule": "onecycle",
        "lr": 0.01,
        "epochs": 30,
        "grad_clip": 1.0,
        "cycle_momentum": True,
    },
    "notebook": {"optimizer": "adam"},
    "compact": {"optimizer": "adam", "lr": 1e-3, "epochs": 10, "batch_size": 100},
    "sgd": {"optimizer": "sgd"},
}


@pytest.mark.parametrize("name", TRAINED)
def test_the_replaced_projects_are_trained_as_they_describe(name):
    run = RECIPES[name]
    recipe, config, augmentation = run.recipe, run.config, run.augmentation
    for field, value in TRAINED[name].items():
        assert getattr(recipe, field) == value, field
    for field, value in DESCRIBED.get(name, {}).items():
        assert getattr(config, field) == value, field
    # Plain cross-entropy, no averaging, PyTorch's own Adam; MNIST alone.
    assert (recipe.loss, recipe.label_smoothing, recipe.ema) == ("cross-entropy", 0, 0)
    assert (recipe.beta1, recipe.beta2) == (0.9, 0.999)
    assert not any(getattr(recipe, field) for field in ADDED)
    if name != "deep-dropout":
        assert augmentation == NO_AUGMENTATION
        assert recipe.schedule == "constant"


def test_compact_flattens_to_320_and_drops_channels():
    config = RECIPES["compact"].config
    assert config.channels[-1] * config.sizes()[-1] ** 2 == 320
    assert config.conv_dropout > 0


def test_the_albumentations_of_deep_dropout():
    """Rotation, elastic transform, grid distortion, brightness and contrast; quarter turns off."""
    augmentation = RECIPES["deep-dropout"].augmentation
    names = [type(t).__name__ for t in augmentation.compose().transforms]
    assert names == ["Affine", "ElasticTransform", "GridDistortion", "RandomBrightnessContrast"]
    assert augmentation == dataclasses.replace(
        Augmentation(), p_affine=1, rotate=15, shift=0, scale=0, shear=0, p_stroke=0, p_erase=0
    )
    turned = parse(["--recipe", "deep-dropout", "--p-rotate90", "0.5"])
    assert type(turned.augmentation.compose().transforms[0]).__name__ == "RandomRotate90"


def test_sizes_promised():
    assert RECIPES["tiny"].config.parameters() <= 16_000
    assert RECIPES["flagship"].config.parameters() <= 500_000
    assert RECIPES["flagship"].config.multiply_adds() <= 20_000_000


def test_the_means_hold_what_is_promised():
    """The report of the measured runs; what is missed is in the README's table beside its goal."""
    rows = reports.read("recipes")["rows"]
    accuracy = {
        name: np.mean([run["accuracy"] for run in row["runs"]]) for name, row in rows.items()
    }
    least = {"flagship": 0.997, "tiny": 0.995, "speed": 0.99, "speed-3-epochs": 0.994}
    least |= {"wide-5x5": 0.98, "deep-dropout": 0.992, "notebook": 0.96, "compact": 0.98}
    assert {name for name, share in least.items() if accuracy[name] < share} == set()
    trained = [run["training_accuracy"] for run in rows["compact"]["runs"]]
    assert np.mean(trained) >= 0.99
    assert {name: len(row["runs"]) for name, row in rows.items()} == {
        name: row.seeds for name, row in recipes.ROWS.items()
    }


@pytest.mark.parametrize("name", recipes.ROWS)
def test_every_row_is_a_command_that_train_understands(name):
    row = recipes.ROWS[name]
    run = decide(parse(["--recipe", row.recipe, *row.flags]))
    assert run.name == row.recipe
    assert (run != RECIPES[row.recipe]) == bool(row.flags)


@pytest.fixture
def benchmark(data_dir, tmp_path, monkeypatch):
    """Runs the benchmark's command with its report and runs in a temporary folder."""
    monkeypatch.setattr(reports, "FOLDER", tmp_path)

    def command(*rows: str) -> dict:
        flags = ["--seeds", "1", "--data-dir", str(data_dir), "--runs", str(tmp_path / "runs")]
        monkeypatch.setattr("sys.argv", ["recipes", *rows, *flags])
        assert recipes.main() == 0
        return json.loads((tmp_path / "recipes.json").read_text())

    return command


def test_speed_reaches_99_percent_and_is_not_run_twice(benchmark, monkeypatch, tmp_path):
    report = benchmark("speed")
    (run,) = report["rows"]["speed"]["runs"]
    assert run["accuracy"] >= 0.985  # one seed; the mean over ten is 99 % and more
    assert run["errors"] == round(10_000 * (1 - run["accuracy"]))
    assert run["errors"] - 15 <= run["errors_outside_doubtful"] < run["errors"]

    def refuse(*_, **__):
        raise AssertionError("trained again")

    monkeypatch.setattr(recipes.subprocess, "run", refuse)
    again = benchmark("speed", "shipped")
    assert again["rows"]["speed"]["runs"][0]["accuracy"] == run["accuracy"]
    assert again["shipped"]["n"] == 10_000
    other = recipes.Row("speed", ("--lr", "0.001"))
    monkeypatch.setitem(recipes.ROWS, "speed", other)
    with pytest.raises(ValueError, match="was trained with another recipe: delete it"):
        benchmark("speed")


def test_means_and_ratios_in_the_table():
    """99.0 and 99.2 % have a mean of 99.1 and a deviation of 0.14; 10 s are a hundredth of 1000."""
    run = {
        "errors": 90, "seconds": 10.0, "one_frame_ms": 1.0,
        "parameters": 1000, "multiply_adds": 2000,
        "machine": {"threads": 2, "processor": "P", "device": "cpu"},
    }  # fmt: skip
    runs = [{**run, "accuracy": 0.99}, {**run, "accuracy": 0.992}]
    history = [{"seconds": 300, "accuracy": 0.98}, {"seconds": 700, "accuracy": 0.9906}]
    report = {
        "rows": {"speed": {"runs": runs, "claim": ""}},
        "classic": {"history": history},
        "shipped": {
            "accuracy": 0.997, "errors": 30, "errors_outside_doubtful": 20,
            "interval": (0.995, 0.998),
        },
    }  # fmt: skip
    text = render.recipes_table(report)
    row = "| `speed` | **99.100%** ± 0.141 | 2 | 90.0 | – | 10 s, 2 threads | 1.0 ms |"
    assert f"{row} 1,000 | 2,000 |" in text
    assert "takes 17 min for 2 epochs" in text
    assert "`speed` is 100 times faster (goal 500), and 100 times faster (goal 150) than" in text
    assert "than the example's first" in text
    assert "(epoch 2)" in text
    assert "20 of the errors are outside" in text


def test_the_tutorials_example_goes_on_where_it_was(tmp_path, frames):
    raw = tmp_path / "MNIST" / "raw"
    labels = np.repeat(np.arange(10, dtype=np.uint8), 10)
    for split in ("train", "t10k"):
        names = f"{split}-images-idx3-ubyte", f"{split}-labels-idx1-ubyte"
        write(raw, dict(zip(names, (frames, labels), strict=True)))
    assert sum(p.numel() for p in classic.network().parameters()) == 1_199_882
    first = classic.train(tmp_path, tmp_path / "run", epochs=1)
    both = classic.train(tmp_path, tmp_path / "run", epochs=2)
    assert both[:1] == first
    assert len(both) == 2
    assert 0 <= both[1]["accuracy"] <= 1


def test_a_recorded_run_is_not_made_again_unless_its_recipe_has_changed(monkeypatch, tmp_path):
    monkeypatch.setattr(reports, "FOLDER", tmp_path)
    assert recipes.recorded("tiny", 0) is None
    run = {"seed": 0, "digest": recipes.digest_of("tiny", 0), "accuracy": 0.5}
    recipes.keep_run("tiny", run)
    assert recipes.recorded("tiny", 0) == run
    assert recipes.recorded("tiny", 1) is None
    row = dataclasses.replace(recipes.ROWS["tiny"], flags=("--epochs", "1"))
    monkeypatch.setitem(recipes.ROWS, "tiny", row)
    assert recipes.recorded("tiny", 0) is None


def test_the_time_of_a_row_is_that_of_its_runs_on_most_threads():
    def run(seconds: float, threads: int, device: str = "cpu") -> dict:
        return {"seconds": seconds, "machine": {"device": device, "threads": threads}}

    runs = [run(300, 1), run(150, 2), run(130, 2), run(9, 16, "H100")]
    assert render._time(runs) == "2 min, 2 threads (2 of the runs)"
    assert render._time(runs[:1]) == "5 min, 1 thread"
    assert render._time(runs[3:]) == "9 s"
