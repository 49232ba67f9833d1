import copy
import dataclasses
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from PIL import Image
from safetensors.torch import load_file

from mnist_cnn import data, load_model
from mnist_cnn.data import named
from mnist_cnn.data.drawn import strokes
from mnist_cnn.publish import weights as publish
from mnist_cnn.reading.evaluation import errors_outside_doubtful, evaluate, evidence, raw_logits
from mnist_cnn.run import folder as run_folder
from mnist_cnn.run import plots
from mnist_cnn.training import checkpoint, engine, loop, main
from mnist_cnn.training.calibration import calibrate
from mnist_cnn.training.engine import Engine, pick_amp
from mnist_cnn.training.mixture import NOT_A_DIGIT
from mnist_cnn.training.recipes import ADDED, RECIPES
from mnist_cnn.training.state import Training, loss_of

ROOT = Path(__file__).parents[2]
DRAWN = [name.replace("_", "-") for name in ADDED]
# Two epochs of a small network: a few seconds.
SMALL = ["--dataset", "synthetic", "--channels", "16,32", "--kernel-sizes", "3,3", "--val-size"]
SMALL += ["400", "--epochs", "2", "--batch-size", "100", "--drawn-digits", "0", "--ema", "0.98"]
SMALL += ["--reinked-digits", "0", "--nondigits", "0", "--candidates", "0"]


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A finished run, made by the command itself."""
    out = tmp_path_factory.mktemp("runs") / "small"
    done = subprocess.run(
        [sys.executable, "train.py", *SMALL, "--out", str(out)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "epoch   2  loss" in done.stdout
    assert "test accuracy" in done.stdout
    return out


def test_it_learns_and_the_report_is_true(run):
    report = json.loads((run / "report.json").read_text())
    assert report["test"]["accuracy"] > 0.9
    assert report["history"][1]["loss"] < report["history"][0]["loss"]
    result = evaluate(load_model(run), *data.load("synthetic", "", train=False))
    assert result.errors == report["test"]["errors"]
    assert report["command"].startswith("python train.py --recipe flagship --seed 0 --dataset")
    amp = {"bfloat16": "bf16", "float16": "fp16", "float32": "off"}[report["precision"]]
    assert report["command"].endswith(f" --amp {amp}")
    assert report["training_frames"] == 3600
    assert report["versions"]["torch"] == torch.__version__.split("+")[0]


def test_a_run_leaves_what_it_should(run):
    names = {file.name for file in run.iterdir()}
    assert names == {
        "README.md",
        "augmentation.json",
        "checkpoints",
        "config.json",
        "model.safetensors",
        "report.html",
        "report.json",
        *run_folder.PICTURES,
    }
    assert names == {*publish.PUBLISHED, "checkpoints"}
    for name in run_folder.PICTURES:
        assert np.asarray(Image.open(run / name).convert("L")).std() > 5, name
    accuracy = json.loads((run / "report.json").read_text())["test"]["accuracy"]
    assert f"{accuracy:.2%}" in (run / "README.md").read_text()
    assert load_model(run / "checkpoints" / "best").config.channels == (16, 32)


def test_what_was_not_augmented_is_not_shown_as_augmented(run, finished_run):
    assert (run / "augmented.png").exists()
    assert not (finished_run / "augmented.png").exists()
    page = (finished_run / "report.html").read_text()
    assert page.count("data:image/png;base64,") == len(run_folder.PICTURES) - 1


def test_what_a_cut_start_leaves_is_no_run(tmp_path):
    (tmp_path / "tracking").mkdir()
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / ".last.pt.tmp").write_bytes(b"half")
    assert checkpoint.is_unused(tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    assert not checkpoint.is_unused(tmp_path)


def test_a_run_never_overwrites_another(run, capsys):
    before = (run / "model.safetensors").read_bytes()
    assert main([*SMALL, "--out", str(run)]) == 1
    assert "is not empty" in capsys.readouterr().err
    assert (run / "model.safetensors").read_bytes() == before


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_trains(name, tmp_path, monkeypatch):
    monkeypatch.setattr(named, "SYNTHETIC_SIZES", {True: 300, False: 50})
    out = tmp_path / name
    flags = ["--recipe", name, "--dataset", "synthetic", "--epochs", "1", "--val-size", "20"]
    flags += ["--drawn-digits", "20", "--reinked-digits", "20", "--nondigits", "20"]
    flags += ["--candidates", "20"]
    flags += ["--out", str(out), "--workers", "0"]
    assert main([*flags, "--batch-size", "64"]) == 0
    assert load_model(out).config.channels == RECIPES[name].config.channels


def test_non_digits_teach_a_threshold(tmp_path, monkeypatch):
    monkeypatch.setattr(named, "SYNTHETIC_SIZES", {True: 600, False: 50})
    flags = [*SMALL, "--val-size", "200", "--nondigits", "200", "--epochs", "4", "--workers", "0"]
    assert main([*flags, "--out", str(tmp_path / "run")]) == 0
    model = load_model(tmp_path / "run")
    assert model.config.threshold > 0
    assert model.config.temperature != 1
    assert model.report.config["threshold"] == model.config.threshold
    assert "--threshold" not in model.report.command
    assert model.report.training_frames == 400 + 200

    # Fine-tuned without held-out digits, they are refused as before: drawn ones tell the threshold.
    out, flags = tmp_path / "tuned", ["--val-size", "0", "--init-from", str(tmp_path / "run")]
    small = ["--dataset", "synthetic", "--nondigits", "50", "--epochs", "1", "--batch-size", "100"]
    others = ["--drawn-digits", "0", "--reinked-digits", "0", "--candidates", "0", "--workers", "0"]
    assert main([*flags, *small, *others, "--out", str(out)]) == 0
    tuned = load_model(out).config
    assert tuned.temperature == model.config.temperature
    assert 0 < tuned.threshold != model.config.threshold


def test_the_threshold_refuses_its_share_of_the_validation_digits(model):
    model, run = copy.deepcopy(model), RECIPES["flagship"]
    run = dataclasses.replace(run, recipe=dataclasses.replace(run.recipe, refused=0.1))
    frames, labels = map(torch.from_numpy, strokes.draw_frames(300, seed=4))
    calibrate(model, run, frames, labels)
    refused = evidence(raw_logits(model, frames)) < model.config.threshold
    assert refused.float().mean().item() == pytest.approx(0.1, abs=0.01)


def test_non_digits_cost_least_where_the_network_is_undecided():
    """Equal logits for a non-digit cost log 10; a confident answer costs more."""
    recipe = dataclasses.replace(RECIPES["compact"].recipe, nondigit_weight=1.0)
    labels = torch.tensor([NOT_A_DIGIT])
    undecided = loss_of(torch.zeros(1, 10), labels, recipe).item()
    assert undecided == pytest.approx(np.log(10))
    assert loss_of(10 * torch.eye(10)[:1], labels, recipe).item() > undecided + 1
    sure = loss_of(10 * torch.eye(10)[:1], torch.tensor([0]), recipe).item()
    assert sure < 0.01


def test_the_squared_loss():
    """Two classes at even odds: (1/2)² twice for a wrong or right answer, 0 for a sure one."""
    recipe = dataclasses.replace(RECIPES["compact"].recipe, loss="squared")
    even, sure = torch.zeros(1, 2), torch.tensor([[50.0, 0.0]])
    assert loss_of(even, torch.tensor([1]), recipe).item() == pytest.approx(0.5)
    assert loss_of(sure, torch.tensor([0]), recipe).item() == pytest.approx(0)
    assert loss_of(sure, torch.tensor([1]), recipe).item() == pytest.approx(2)


def test_early_stopping_keeps_the_best_epoch(tmp_path, monkeypatch):
    monkeypatch.setattr(named, "SYNTHETIC_SIZES", {True: 300, False: 50})
    accuracies = iter([0.5, 0.9, 0.6, 0.7, 0.8])

    def scripted(model, frames, labels, batch_size=1000):
        result = evaluate(model, frames, labels)
        return dataclasses.replace(result, accuracy=next(accuracies, 0.1))

    monkeypatch.setattr(loop, "evaluate", scripted)
    out = tmp_path / "run"
    flags = ["--dataset", "synthetic", "--epochs", "9", "--patience", "2", "--val-size", "50"]
    flags += ["--recipe", "compact", "--workers", "0", "--out", str(out)]
    assert main(flags) == 0
    report = json.loads((out / "report.json").read_text())
    assert [record["val_accuracy"] for record in report["history"]] == [0.5, 0.9, 0.6, 0.7]
    best = load_file(out / "checkpoints" / "best" / "model.safetensors")
    final = load_file(out / "model.safetensors")
    assert all(torch.equal(best[key], final[key]) for key in best)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ["--recipe", "fastest"],
            "invalid choice 'fastest' for argument '--recipe'. Expected one of",
        ),
        (["--dataset", "cats"], "unknown dataset 'cats'; choose one of mnist, fashion-mnist"),
        (
            ["--optimizer", "lion"],
            "invalid choice 'lion' for argument '--optimizer'",
        ),
        (["--epochs", "0"], "epochs must be greater than 0, got 0"),
        (["--patience", "3", "--val-size", "0"], "patience needs a validation split"),
        (["--dropout", "1.5"], "dropout must be"),
        (
            ["--loss", "hinge"],
            "invalid choice 'hinge' for argument '--loss'",
        ),
        (["--track", "paper"], "unknown tracker 'paper'; choose of aim, tensorboard"),
        (["--device", "abacus"], "device 'abacus' cannot be used here"),
        (["--seed", "-1"], "seed must be at least 0, got -1"),
        (["--lr", "nan"], "lr must be a finite number, got nan"),
        (["--loss", "squared"], "pass --label-smoothing 0"),
        (["--recipe", "sgd", "--cycle-momentum"], "goes with --schedule onecycle"),
        (["--recipe", "sgd", "--beta1", ".5"], "--beta1 does nothing with --optimizer sgd"),
        (["--recipe", "sgd", "--warmup", ".5"], "--warmup does nothing with --schedule constant"),
        (["--recipe", "tiny", "--added-share", ".5"], "does nothing with no added frames"),
        (["--p-affine", "0", "--rotate", "9"], "--rotate does nothing with --p-affine 0"),
        ([*SMALL, "--batch-size", "1"], "batch norm needs two frames or more"),
        ([*SMALL, "--epochs", "1", "--batch-size", "1800", "--warmup", ".5"], "is a single one"),
        (["--skip-unreadable"], "goes with --dataset folder:DIR"),
        (["--dataset", "fashion-mnist", "--nondigits", "9"], "--nondigits cannot go with"),
        (["--init-from", "bundled", "--hidden", "9"], "--hidden cannot go with --init-from"),
        (["--init-from", "no/where/at all"], "is not a folder here"),
        (["--dataset", "folder:nowhere"], "nowhere is not a folder"),
        (["--kernel-sizes", "3,3,3,3,3,4"], "kernel_sizes must be odd"),
        (["--dataset", "synthetic", "--val-size", "4000"], "leaves none of 4000 frames"),
        (["--dataset", "synthetic", "--val-size", "0", "--batch-size", "99999"], "larger than the"),
        (["--p-affine", "3"], "p_affine must be at most 1, got 3.0"),
        (["--workers", "-1"], "--workers must not be negative"),
        (["--resume", "nowhere"], "nothing to resume"),
    ],
)
def test_bad_flags_say_what_is_allowed(flags, message, tmp_path, capsys):
    out = [] if "--resume" in flags else ["--out", str(tmp_path / "run")]
    try:
        code = main([*flags, *out])
    except SystemExit as exit:  # tyro's, which puts a frame around the message
        code = exit.code
    assert code in (1, 2)
    assert message in " ".join(capsys.readouterr().err.replace("│", " ").split())


def test_class_names_are_no_formulas(tmp_path):
    labels, frames = np.arange(2), np.zeros((2, 28, 28), np.uint8)
    answered = plots.Answered(frames, labels, np.eye(2)[::-1], ("$x_{$", "二"))
    for draw in (plots.mistakes, plots.confusion, plots.per_class, plots.predictions):
        draw(answered, tmp_path / "picture.png")


def test_an_output_folder_that_cannot_be_made(tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    assert main([*SMALL, "--out", str(tmp_path / "file" / "run")]) == 1
    assert "file" in capsys.readouterr().err


def test_a_loss_that_explodes_stops_the_run(tmp_path, capsys):
    out = tmp_path / "run"
    flags = [*SMALL, "--lr", "1e30", "--optimizer", "sgd", "--grad-clip", "0", "--no-batch-norm"]
    assert main([*flags, "--out", str(out), "--workers", "0"]) == 1
    message = capsys.readouterr().err
    assert "the loss became" in message
    assert "in epoch 1, step" in message
    assert "learning rate" in message
    assert not (out / "model.safetensors").exists()
    state = torch.load(out / "checkpoints" / "last.pt", weights_only=True)
    assert all(value.isfinite().all() for value in state["model"].values())


@pytest.fixture
def clothes(tmp_path, frames) -> Path:
    """A data folder with Fashion-MNIST's files, small ones: ten kinds of marks."""
    from idx_files import write

    for split, times in (("train", 3), ("t10k", 1)):
        labels = np.repeat(np.arange(10, dtype=np.uint8), 10)
        images, labels = np.tile(frames, (times, 1, 1)), np.tile(labels, times)
        files = {f"{split}-images-idx3-ubyte": images, f"{split}-labels-idx1-ubyte": labels}
        write(tmp_path / "FashionMNIST" / "raw", files)
    return tmp_path


def test_class_names_and_statistics_travel_with_the_weights(clothes, tmp_path, capsys):
    flags = ["--dataset", "fashion-mnist", "--data-dir", str(clothes), "--val-size", "50"]
    flags += ["--channels", "16", "--kernel-sizes", "5", "--pool-after", "1", "--epochs", "1"]
    out = tmp_path / "run"
    assert main([*flags, "--batch-size", "50", "--workers", "0", "--out", str(out)]) == 0
    model = load_model(out)
    assert model.config.class_names[9] == "Ankle boot"
    frames, _ = data.load("fashion-mnist", clothes, train=True)
    assert model.config.mean == pytest.approx((frames / 255).mean().item(), abs=1e-4)
    assert model.config.std == pytest.approx((frames / 255).std().item(), abs=1e-4)
    assert model.report.recipe["drawn_digits"] == 0  # digits are no clothes
    assert "--mean" not in model.report.command
    card = (out / "README.md").read_text()
    assert "100 Fashion-MNIST test images" in card
    assert "Ankle boot" in card
    assert "Fashion-MNIST" in (out / "report.html").read_text()


def test_a_set_with_mnists_test_writers_is_pointed_out(tmp_path, monkeypatch, capsys):
    source = dataclasses.replace(data.DATASETS["synthetic"], warning="shares writers")
    monkeypatch.setitem(data.DATASETS, "synthetic", source)
    monkeypatch.setattr(named, "SYNTHETIC_SIZES", {True: 300, False: 50})
    out = tmp_path / "run"
    flags = ["--recipe", "sgd", "--dataset", "synthetic", "--epochs", "1", "--val-size", "0"]
    assert main([*flags, "--out", str(out)]) == 0
    assert "train.py: shares writers" in capsys.readouterr().err
    assert "shares writers" in (out / "report.html").read_text()


def test_fine_tuning_keeps_what_fits(clothes, run, tmp_path):
    """Features are taken over; the output layer only where the classes are the same."""
    known = load_model(run)
    same, other = tmp_path / "same", tmp_path / "other"
    flags = ["--init-from", str(run), "--epochs", "1", "--workers", "0", "--lr", "1e-9"]
    flags += ["--batch-size", "100", "--val-size", "0", "--ema", "0", "--weight-decay", "0"]
    digits = ["--dataset", "synthetic", *(f"--{name}=0" for name in DRAWN)]
    assert main([*flags, *digits, "--out", str(same)]) == 0
    new = ["--dataset", "fashion-mnist", "--data-dir", str(clothes)]
    assert main([*flags, *new, "--out", str(other)]) == 0
    for folder, head in ((same, True), (other, False)):
        model = load_model(folder)
        assert model.config.channels == (16, 32)
        pairs = [(key, value, known.state_dict()[key]) for key, value in model.named_parameters()]
        for key, value, before in pairs:
            expected = head or not key.startswith("head")
            assert torch.allclose(value, before, atol=1e-5) == expected, key
    assert load_model(same).report.command.count("--init-from") == 1
    assert "--channels" not in load_model(same).report.command


def test_fine_tuned_weights_are_kept_when_their_start_is_gone(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(named, "SYNTHETIC_SIZES", {True: 300, False: 50})
    start, out = shutil.copytree(run, tmp_path / "start"), tmp_path / "out"
    monkeypatch.setattr(loop, "calibrate", lambda *_: shutil.rmtree(start))
    flags = ["--recipe", "sgd", "--dataset", "synthetic", "--epochs", "1", "--val-size", "0"]
    assert main([*flags, "--init-from", str(start), "--out", str(out)]) == 0
    assert "no comparison with the weights before" in capsys.readouterr().err
    assert load_model(out).report.before is None


def test_tensorboard_files_lie_in_the_run_folder(tmp_path, monkeypatch):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.setattr(named, "SYNTHETIC_SIZES", {True: 300, False: 50})
    out = tmp_path / "run"
    flags = ["--recipe", "sgd", "--dataset", "synthetic", "--epochs", "2", "--val-size", "20"]
    assert main([*flags, "--track", "tensorboard", "--out", str(out)]) == 0
    events = EventAccumulator(str(out / "tracking"))
    events.Reload()
    history = json.loads((out / "report.json").read_text())["history"]
    for name in ("loss", "accuracy", "val_loss", "val_accuracy", "lr"):
        found = [event.value for event in events.Scalars(name)]
        assert found == pytest.approx([record[name] for record in history]), name
    assert [event.step for event in events.Scalars("loss")] == [4, 8]


def test_a_tracker_without_its_package_says_how_to_get_it(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(engine, "get_available_trackers", list)
    out = tmp_path / "run"
    assert main([*SMALL, "--track", "wandb", "--out", str(out)]) == 1
    assert "--track wandb needs its package: pip install wandb" in capsys.readouterr().err
    assert not out.exists()


def test_the_page_holds_everything(run):
    """Every picture is inside, nothing is loaded, and the numbers are the report's."""
    page = (run / "report.html").read_text()
    report = json.loads((run / "report.json").read_text())
    assert page.count("data:image/png;base64,") == len(run_folder.PICTURES) == 7
    assert not re.search(r"""(src|href)=["'](?!data:)""", page)
    assert "http" not in page
    assert f"{100 * report['test']['accuracy']:.2f} %" in page
    assert report["command"] in page
    for record in report["history"]:
        assert f"<td>{record['val_loss']:.4f}</td>" in page


def test_doubtful_labels_are_counted_apart():
    result = evaluate_all_wrong(10_000)
    assert errors_outside_doubtful(result) == 10_000 - 15


def evaluate_all_wrong(n: int):
    frames, labels = torch.zeros(n, 28, 28, dtype=torch.uint8), torch.ones(n, dtype=torch.int64)

    class Zero(torch.nn.Module):
        config = RECIPES["tiny"].config

        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.eye(10)[:1])

        def forward(self, frames):
            return self.weight.expand(len(frames), 10)

    return evaluate(Zero(), frames, labels)


def test_precision_follows_the_device(monkeypatch):
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    assert pick_amp("auto", cpu) == torch.bfloat16
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True})
    assert pick_amp("auto", cpu) is None
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: False)
    assert pick_amp("auto", cuda) == torch.float16
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: True)
    assert pick_amp("auto", cuda) == torch.bfloat16
    assert pick_amp("off", cuda) is None


def test_fp16_trains_with_a_scaler():
    training = Training(
        RECIPES["compact"], 1, Engine(Accelerator(cpu=True), torch.float16, workers=0)
    )
    assert training.scaler.is_enabled()
    batch = torch.randint(0, 256, (8, 28, 28), dtype=torch.uint8), torch.arange(8)
    before = training.model.head[1].weight.clone()
    training.update(*batch)
    assert not torch.equal(training.model.head[1].weight, before)


def test_help_explains_every_knob(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "--grad-clip FLOAT largest gradient norm; 0 is off (default: 1.0)" in text
    assert "--rotate FLOAT degrees, ± (default: 15.0)" in text
    assert "--loss {cross-entropy,squared} squared: of the probabilities" in text
    assert "--temperature" not in text  # the validation digits decide it
    with pytest.raises(SystemExit):
        main(["--recipe", "tiny", "--help"])
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "--grad-clip FLOAT largest gradient norm; 0 is off (default: 1.0)" in text
    assert "--channels N,N,… output channels of each convolution" in text
    assert "(default:16,16,16,32,16)" in text.replace(" ", "")  # the frame may break it
