"""Two processes, started by `accelerate launch`, train as one does."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from PIL import Image
from safetensors.torch import load_file

from mnist_cnn.training import RECIPES, engine, main
from mnist_cnn.training.engine import Engine
from mnist_cnn.training.state import Training

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def flags(tmp_path_factory, frames) -> list[str]:
    """One step on all of a folder's 80 training frames; SGD, so the step is the gradient."""
    folder = tmp_path_factory.mktemp("data")
    for digit in range(10):
        for part, first, last in (("train", 0, 9), ("test", 9, 10)):
            (folder / part / str(digit)).mkdir(parents=True)
            for number in range(first, last):
                picture = Image.fromarray(frames[10 * digit + number])
                picture.save(folder / part / str(digit) / f"{number}.png")
    flags = ["--recipe", "sgd", "--dataset", f"folder:{folder}", "--val-size", "10"]
    flags += ["--batch-size", "80", "--lr", "0.5", "--p-affine", "1"]
    return [*flags, "--workers", "0"]


def launch(flags: list[str]) -> subprocess.CompletedProcess:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # "multi_gpu" is accelerate's word for several processes on one machine; gloo serves CPUs.
    command = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu"]
    command += ["--num_processes", "2", "--num_machines", "1", "--mixed_precision", "no"]
    command += ["--dynamo_backend", "no", "--main_process_port", str(port), "train.py", *flags]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("amp", "clip", "rounding"), [("off", "0.1", 0), ("bf16", "0", 0.03)], ids=["clip", "amp"]
)
def test_two_processes_take_the_step_of_one(amp, clip, rounding, flags, tmp_path):
    """But for rounding, which in mixed precision is a share of each tensor's largest gradient."""
    flags = [*flags, "--device", "cpu", "--amp", amp, "--grad-clip", clip]
    one, two = tmp_path / "one", tmp_path / "two"
    assert main([*flags, "--epochs", "1", "--out", str(one)]) == 0
    done = launch([*flags, "--epochs", "1", "--out", str(two)])
    assert done.returncode == 0, done.stderr
    assert "2 processes" in done.stdout
    assert done.stdout.count("test accuracy") == 1  # only one of them writes
    config = json.loads((one / "config.json").read_text())
    assert config == json.loads((two / "config.json").read_text()) | {
        "temperature": config["temperature"]
    }
    ours, theirs = (load_file(folder / "model.safetensors") for folder in (one, two))
    torch.manual_seed(0)
    start = Training(RECIPES["sgd"], 1, Engine(Accelerator(cpu=True), None, 0)).model
    for name, before in start.state_dict().items():
        gradient = ours[name] - before
        assert gradient.abs().max() > 1e-5, name  # it did move
        atol = 1e-6 + rounding * gradient.abs().max().item()
        assert torch.allclose(theirs[name] - before, gradient, atol=atol), name
    reports = [json.loads((folder / "report.json").read_text()) for folder in (one, two)]
    assert [report["history"][0]["frames"] for report in reports] == [80, 80]
    assert [report["processes"] for report in reports] == [1, 2]
    losses = [report["history"][0]["loss"] for report in reports]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5 + rounding / 10)


def test_a_batch_that_cannot_be_shared_is_refused(flags, tmp_path):
    """They know of each other without `--device cpu`, too."""
    done = launch([*flags, "--batch-size", "79", "--out", str(tmp_path / "run")])
    assert done.returncode != 0
    assert "batch_size 79 cannot be shared by 2 processes: pass a multiple of 2" in done.stderr


def test_processes_that_would_train_apart_are_refused(flags, tmp_path, monkeypatch, capsys):
    accelerator = Accelerator(cpu=True)
    monkeypatch.setattr(engine, "Accelerator", lambda **_: accelerator)
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert main([*flags, "--out", str(tmp_path / "run")]) == 1
    assert "2 processes were launched, but each would train by itself" in capsys.readouterr().err
