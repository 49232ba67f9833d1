import dataclasses
import gzip
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import train
from mnist_cnn import data, load_model
from mnist_cnn.evaluate import evaluate

ROOT = Path(__file__).parent.parent
# Two epochs of a small network: a few seconds.
SMALL = ["--dataset", "synthetic", "--channels", "16,32", "--kernel-sizes", "3,3", "--val-size"]
SMALL += ["400", "--epochs", "2", "--batch-size", "100", "--drawn-digits", "0", "--ema", "0.98"]
SMALL += ["--reinked-digits", "0", "--nondigits", "0"]


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
    assert report["training_frames"] == 3600
    assert report["versions"]["torch"] == torch.__version__.split("+")[0]


def test_a_run_leaves_what_it_should(run):
    names = {file.name for file in run.iterdir()}
    assert names == {
        "README.md",
        "augmentation.json",
        "checkpoints",
        "config.json",
        "curves.png",
        "model.safetensors",
        "report.json",
    }
    assert Image.open(run / "curves.png").width > 800
    accuracy = json.loads((run / "report.json").read_text())["test"]["accuracy"]
    assert f"{accuracy:.2%}" in (run / "README.md").read_text()
    assert load_model(run / "checkpoints" / "best").config.channels == (16, 32)


def test_a_stopped_run_goes_on_to_the_same_weights(run, tmp_path, monkeypatch, capsys):
    """Ctrl-C in the second epoch; the resumed run ends bit for bit as the uninterrupted one."""
    real, out = train.Training.epoch_step, tmp_path / "stopped"

    def interrupted(self, batches, bar):
        if self.epoch == 1:
            raise KeyboardInterrupt
        return real(self, batches, bar)

    monkeypatch.setattr(train.Training, "epoch_step", interrupted)
    assert train.main([*SMALL, "--out", str(out)]) == 130
    assert f"--resume {out}" in capsys.readouterr().err
    monkeypatch.undo()
    assert train.main(["--resume", str(out)]) == 0
    ours, theirs = (load_file(folder / "model.safetensors") for folder in (out, run))
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


def test_resuming_with_other_settings_is_refused(run, capsys):
    assert train.main(["--resume", str(run), "--lr", "1"]) == 1
    assert "leave out flags that change it" in capsys.readouterr().err


def test_a_run_never_overwrites_another(run, capsys):
    before = (run / "model.safetensors").read_bytes()
    assert train.main([*SMALL, "--out", str(run)]) == 1
    assert "is not empty" in capsys.readouterr().err
    assert (run / "model.safetensors").read_bytes() == before


@pytest.mark.parametrize("name", train.RECIPES)
def test_every_recipe_trains(name, tmp_path, monkeypatch):
    monkeypatch.setattr(data, "SYNTHETIC_SIZES", {True: 300, False: 50})
    out = tmp_path / name
    flags = ["--recipe", name, "--dataset", "synthetic", "--epochs", "1", "--val-size", "20"]
    flags += ["--drawn-digits", "20", "--reinked-digits", "20", "--nondigits", "20"]
    flags += ["--out", str(out), "--workers", "0"]
    assert train.main([*flags, "--batch-size", "64"]) == 0
    assert load_model(out).config.channels == train.RECIPES[name][1].channels


def test_non_digits_teach_a_threshold(tmp_path, monkeypatch):
    monkeypatch.setattr(data, "SYNTHETIC_SIZES", {True: 600, False: 50})
    flags = [*SMALL, "--val-size", "200", "--nondigits", "200", "--epochs", "4", "--workers", "0"]
    assert train.main([*flags, "--out", str(tmp_path / "run")]) == 0
    model = load_model(tmp_path / "run")
    assert model.config.threshold > 0
    assert model.config.temperature != 1
    assert model.report["config"]["threshold"] == model.config.threshold
    assert "--threshold" not in model.report["command"]
    assert model.report["training_frames"] == 400 + 200


def test_non_digits_cost_least_where_the_network_is_undecided():
    """Equal logits for a non-digit cost log 10; a confident answer costs more."""
    recipe, config, augmentation = train.RECIPES["compact"]
    recipe = dataclasses.replace(recipe, nondigit_weight=1.0)
    run = train.Run("compact", 0, recipe, config, augmentation)
    training = train.Training(run, 1, torch.device("cpu"), None)
    labels = torch.tensor([train.NOT_A_DIGIT])
    undecided = training._loss(torch.zeros(1, 10), labels).item()
    assert undecided == pytest.approx(np.log(10))
    assert training._loss(10 * torch.eye(10)[:1], labels).item() > undecided + 1
    sure = training._loss(10 * torch.eye(10)[:1], torch.tensor([0])).item()
    assert sure < 0.01


def test_early_stopping_keeps_the_best_epoch(tmp_path, monkeypatch):
    monkeypatch.setattr(data, "SYNTHETIC_SIZES", {True: 300, False: 50})
    accuracies = iter([0.5, 0.9, 0.6, 0.7, 0.8])

    def scripted(model, frames, labels, batch_size=1000):
        result = evaluate(model, frames, labels)
        return dataclasses.replace(result, accuracy=next(accuracies, 0.1))

    monkeypatch.setattr(train, "evaluate", scripted)
    out = tmp_path / "run"
    flags = ["--dataset", "synthetic", "--epochs", "9", "--patience", "2", "--val-size", "50"]
    flags += ["--recipe", "compact", "--workers", "0", "--out", str(out)]
    assert train.main(flags) == 0
    report = json.loads((out / "report.json").read_text())
    assert [record["val_accuracy"] for record in report["history"]] == [0.5, 0.9, 0.6, 0.7]
    best = load_file(out / "checkpoints" / "best" / "model.safetensors")
    final = load_file(out / "model.safetensors")
    assert all(torch.equal(best[key], final[key]) for key in best)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--recipe", "fastest"], "unknown recipe 'fastest'; choose one of flagship, wide-5x5"),
        (["--dataset", "cats"], "unknown dataset 'cats'; choose one of mnist, synthetic"),
        (["--optimizer", "lion"], "unknown optimizer 'lion'; choose one of adamw, adam, sgd"),
        (["--epochs", "0"], "epochs must be more than 0"),
        (["--patience", "3", "--val-size", "0"], "patience needs a validation split"),
        (["--dropout", "1.5"], "dropout must lie in"),
        (["--kernel-sizes", "3,3,3,3,3,4"], "kernel_sizes must be odd"),
        (["--dataset", "synthetic", "--val-size", "4000"], "leaves none of 4000 frames"),
        (["--dataset", "synthetic", "--val-size", "0", "--batch-size", "99999"], "larger than the"),
        (["--p-affine", "3"], "augmentation:"),
        (["--resume", "nowhere"], "nothing to resume"),
    ],
)
def test_bad_flags_say_what_is_allowed(flags, message, tmp_path, capsys):
    out = [] if "--resume" in flags else ["--out", str(tmp_path / "run")]
    assert train.main([*flags, *out]) == 1
    assert message in capsys.readouterr().err


def test_an_output_folder_that_cannot_be_made(tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    assert train.main([*SMALL, "--out", str(tmp_path / "file" / "run")]) == 1
    assert "file" in capsys.readouterr().err


def test_a_loss_that_explodes_stops_the_run(tmp_path, capsys):
    out = tmp_path / "run"
    flags = [*SMALL, "--lr", "1e30", "--optimizer", "sgd", "--grad-clip", "0", "--no-batch-norm"]
    assert train.main([*flags, "--out", str(out), "--workers", "0"]) == 1
    message = capsys.readouterr().err
    assert "the loss became" in message
    assert "in epoch 1, step" in message
    assert not (out / "model.safetensors").exists()


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr("torchvision.datasets.utils.urllib.request.urlopen", refuse)


def test_missing_data_says_how_to_supply_it(tmp_path, no_network):
    with pytest.raises(ValueError, match=r"put the four files train-images-idx3-ubyte\.gz"):
        data.load("mnist", tmp_path, train=True)


@pytest.fixture
def copied_data(data_dir, tmp_path) -> Path:
    shutil.copytree(data_dir / "MNIST" / "raw", tmp_path / "MNIST" / "raw")
    return tmp_path / "MNIST" / "raw"


def test_damaged_archives_are_refused(copied_data, no_network):
    file = copied_data / "t10k-images-idx3-ubyte.gz"
    content = bytearray(file.read_bytes())
    content[1000] ^= 1
    file.write_bytes(content)
    with pytest.raises(ValueError, match="not complete"):
        data.load("mnist", copied_data.parent.parent, train=False)


def test_damaged_unpacked_files_are_refused(copied_data):
    for file in copied_data.glob("*.gz"):
        (copied_data / file.stem).write_bytes(gzip.decompress(file.read_bytes()))
    assert len(data.load("mnist", copied_data.parent.parent, train=False)[0]) == 10_000
    file = copied_data / "t10k-images-idx3-ubyte"
    content = bytearray(file.read_bytes())
    content[50_000] ^= 1
    file.write_bytes(content)
    with pytest.raises(ValueError, match="are damaged: the SHA-256 of the test split"):
        data.load("mnist", copied_data.parent.parent, train=False)


def test_packed_data_is_left_as_it_is(copied_data):
    before = sorted(copied_data.iterdir())
    data.load("mnist", copied_data.parent.parent, train=False)
    assert sorted(copied_data.iterdir()) == before


def test_precision_follows_the_device(monkeypatch):
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    assert train.pick_amp("auto", cpu) == torch.bfloat16
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True})
    assert train.pick_amp("auto", cpu) is None
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: False)
    assert train.pick_amp("auto", cuda) == torch.float16
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: True)
    assert train.pick_amp("auto", cuda) == torch.bfloat16
    assert train.pick_amp("off", cuda) is None


def test_fp16_trains_with_a_scaler():
    recipe, config, augmentation = train.RECIPES["compact"]
    run = train.Run("compact", 0, recipe, config, augmentation)
    training = train.Training(run, 1, torch.device("cpu"), torch.float16)
    assert training.scaler.is_enabled()
    batch = torch.randint(0, 256, (8, 28, 28), dtype=torch.uint8), torch.arange(8)
    before = training.model.head[1].weight.clone()
    training.epoch_step(iter([batch]), train.tqdm(disable=True))
    assert not torch.equal(training.model.head[1].weight, before)


def test_help_explains_every_knob(capsys):
    with pytest.raises(SystemExit):
        train.main(["--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "--grad-clip X largest gradient norm; 0 is off" in text
    assert "--rotate X degrees, ±" in text
