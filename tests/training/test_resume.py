"""A run that is cut, in whatever way, goes on to the weights of one that was not."""

import dataclasses
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from mnist_cnn.data import named
from mnist_cnn.training import checkpoint, loop, main
from mnist_cnn.training.flags import parse
from mnist_cnn.training.state import Training

ROOT = Path(__file__).parents[2]
# Three epochs of six steps, with everything that has a state: dropout, batch norm, averaged
# weights, momentum, mixed precision, augmentation, added frames, a schedule, a validation split.
FLAGS = ["--recipe", "compact", "--dataset", "synthetic", "--epochs", "3", "--val-size", "100"]
FLAGS += ["--batch-size", "50", "--ema", "0.9", "--optimizer", "adamw", "--schedule", "onecycle"]
FLAGS += ["--batch-norm", "--nondigits", "50", "--added-share", "0.5"]
FLAGS += ["--p-affine", "0.9", "--p-elastic", "0.5", "--amp", "bf16", "--device", "cpu"]
SIZES = {True: 400, False: 50}


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(named, "SYNTHETIC_SIZES", SIZES)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> dict[str, torch.Tensor]:
    """The weights of a run that nothing cut."""
    out = tmp_path_factory.mktemp("whole") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(named, "SYNTHETIC_SIZES", SIZES)
        assert main([*FLAGS, "--out", str(out)]) == 0
    return load_file(out / "model.safetensors")


def assert_same(out: Path, whole: dict[str, torch.Tensor]) -> None:
    found = load_file(out / "model.safetensors")
    assert found.keys() == whole.keys()
    assert [key for key in whole if not torch.equal(found[key], whole[key])] == []


def done(out: Path) -> tuple[int, int]:
    """Epochs, and steps of the next one, that the checkpoint holds."""
    state = torch.load(out / "checkpoints" / "last.pt", weights_only=True)
    return state["epoch"], state["step"]


# Runs train.py and kills its own process, without any warning, when a condition holds.
KILLED = """
import os, signal, sys
from mnist_cnn.data import named
from mnist_cnn.training import loop, main
from mnist_cnn.training.state import Training
named.SYNTHETIC_SIZES = {sizes}
loop.SAVE_SECONDS = {save_seconds}
update, fsync, counts = Training.update, os.fsync, dict(updates=0, writes=0)
def dies_after_a_step(self, *batch):
    update(self, *batch)
    counts["updates"] += 1
    if counts["updates"] == {die_after_updates}:
        os.kill(os.getpid(), signal.SIGKILL)
def dies_while_writing(number):
    fsync(number)
    counts["writes"] += 1
    if counts["writes"] == {die_in_write}:
        os.kill(os.getpid(), signal.SIGKILL)
Training.update, os.fsync = dies_after_a_step, dies_while_writing
sys.exit(main(sys.argv[1:]))
"""


def run_until_killed(
    flags: list[str], save_seconds: float, die_after_updates: int = 0, die_in_write: int = 0
) -> None:
    code = KILLED.format(
        sizes=SIZES,
        save_seconds=save_seconds,
        die_after_updates=die_after_updates,
        die_in_write=die_in_write,
    )
    command = [sys.executable, "-c", code, *flags]
    killed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr


def test_killed_again_and_again(whole, tmp_path):
    """SIGKILL before the first regular checkpoint, within an epoch, and while one is written."""
    out = tmp_path / "run"
    run_until_killed([*FLAGS, "--out", str(out)], save_seconds=1e9, die_after_updates=3)
    assert done(out) == (0, 0)
    run_until_killed(["--resume", str(out)], save_seconds=0, die_after_updates=9)
    assert done(out) == (1, 2)
    # Its writes: one at the start, one a step; each of a file, then of the file's name.
    run_until_killed(["--resume", str(out)], save_seconds=0, die_in_write=5)
    assert (out / "checkpoints" / ".last.pt.tmp").exists()
    assert done(out) == (1, 3)
    assert main(["--resume", str(out)]) == 0
    assert_same(out, whole)
    assert not (out / "checkpoints" / ".last.pt.tmp").exists()


def test_a_run_names_all_the_code_that_trained_it(tmp_path, monkeypatch, capsys):
    out, update = tmp_path / "run", Training.update

    def signalled(self, *batch):
        signal.raise_signal(signal.SIGINT)
        update(self, *batch)

    for commit in ("one", "two", "two"):
        monkeypatch.setattr(loop, "git_commit", lambda commit=commit: commit)
        monkeypatch.setattr(Training, "update", signalled)
        start = ["--resume", str(out)] if commit == "two" else [*FLAGS, "--out", str(out)]
        assert main(start) == 130
    monkeypatch.setattr(Training, "update", update)
    assert main(["--resume", str(out)]) == 0
    report = (out / "report.json").read_text()
    assert json.loads(report)["git_commit"] == "one, then two"
    monkeypatch.setattr(loop, "git_commit", lambda: "three")
    assert main(["--resume", str(out)]) == 1
    assert f"{out} is finished: pass --init-from {out}" in capsys.readouterr().err
    assert (out / "report.json").read_text() == report


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_and_says_how_to_go_on(number, code, whole, tmp_path, monkeypatch, capsys):
    out, update = tmp_path / "a run", Training.update

    def signalled(self, *batch):
        if (self.epoch, self.step) == (1, 3):
            signal.raise_signal(number)  # the step is finished all the same
        update(self, *batch)

    before = signal.getsignal(number)
    monkeypatch.setattr(Training, "update", signalled)
    assert main([*FLAGS, "--out", str(out)]) == code
    assert f"Go on with: python train.py --resume '{out}'" in capsys.readouterr().err
    assert signal.getsignal(number) == before
    assert done(out) == (1, 4)
    monkeypatch.setattr(Training, "update", update)
    assert main(["--resume", str(out)]) == 0
    assert_same(out, whole)


def test_a_signal_while_an_epoch_is_evaluated(whole, tmp_path, monkeypatch, capsys):
    out, evaluate = tmp_path / "run", loop.evaluate

    def signalled(*args):
        signal.raise_signal(signal.SIGTERM)
        return evaluate(*args)

    monkeypatch.setattr(loop, "evaluate", signalled)
    assert main([*FLAGS, "--out", str(out)]) == 143
    assert done(out) == (1, 0)
    monkeypatch.setattr(loop, "evaluate", evaluate)
    assert main(["--resume", str(out)]) == 0
    assert_same(out, whole)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_outside_of_the_steps_says_how_to_go_on(
    number, code, whole, tmp_path, monkeypatch, capsys
):
    out = tmp_path / "run"

    def interrupted(*_):
        signal.raise_signal(number)

    monkeypatch.setattr(loop, "calibrate", interrupted)
    where = ["--data-dir", "my data", "--device", "cpu", "--track", "tensorboard"]
    assert main([*FLAGS, *where, "--out", str(out)]) == code
    again = f"train.py --resume {out} --data-dir 'my data' --device cpu --track tensorboard"
    assert f"Go on with: python {again}" in capsys.readouterr().err
    monkeypatch.undo()
    monkeypatch.setattr(named, "SYNTHETIC_SIZES", SIZES)
    assert main(["--resume", str(out), *where]) == 0
    assert_same(out, whole)


def test_a_full_disk_under_the_best_weights_is_said(tmp_path, monkeypatch, capsys):
    def full(*_, **__):
        raise SafetensorError("I/O error: No space left on device")

    monkeypatch.setattr("mnist_cnn.model.save_file", full)
    assert main([*FLAGS, "--workers", "0", "--out", str(tmp_path / "run")]) == 1
    assert "cannot write model.safetensors to" in capsys.readouterr().err
    assert done(tmp_path / "run") == (0, 0)


def test_a_full_disk_leaves_the_checkpoint_before_it(whole, tmp_path, monkeypatch, capsys):
    out, update = tmp_path / "run", Training.update

    def fills_the_disk(self, *batch):
        if (self.epoch, self.step) == (1, 2):
            (out / "checkpoints" / ".last.pt.tmp").symlink_to("/dev/full")
        update(self, *batch)

    monkeypatch.setattr(Training, "update", fills_the_disk)
    monkeypatch.setattr(loop, "SAVE_SECONDS", 0)
    assert main([*FLAGS, "--out", str(out)]) == 1
    message = capsys.readouterr().err
    assert "No space left on device. The checkpoint before it is whole" in message
    assert done(out) == (1, 2)
    monkeypatch.setattr(Training, "update", update)
    assert main(["--resume", str(out)]) == 0
    assert_same(out, whole)


def test_a_full_disk_at_the_end_leaves_a_run_to_resume(tmp_path, monkeypatch, capsys):
    out = tmp_path / "run"
    flags = [*FLAGS, "--epochs", "1", "--workers", "0", "--out", str(out)]

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mnist_cnn.run.plots.confusion", full)
    assert main(flags) == 1
    assert "No space left on device" in capsys.readouterr().err
    assert [file.name for file in out.iterdir()] == ["checkpoints"]
    monkeypatch.undo()
    monkeypatch.setattr(named, "SYNTHETIC_SIZES", SIZES)
    assert main(["--resume", str(out), "--workers", "0"]) == 0
    assert (out / "report.html").exists()


def test_weights_that_explode_are_never_saved(tmp_path, monkeypatch, capsys):
    out, update = tmp_path / "run", Training.update

    def explodes(self, *batch):
        update(self, *batch)
        if self.step == 2:
            self.model.head[1].weight.data[0, 0] = float("nan")

    monkeypatch.setattr(Training, "update", explodes)
    monkeypatch.setattr(loop, "SAVE_SECONDS", 0)
    assert main([*FLAGS, "--workers", "0", "--out", str(out)]) == 1
    assert "the weights became infinite in epoch 1, step 2, at learning rate" in (
        capsys.readouterr().err
    )
    assert done(out) == (0, 1)


@pytest.mark.parametrize(
    "kind", ["cpu", "cuda", "python", "is killed by signal: Killed.", "exited unexpectedly"]
)
def test_out_of_memory_says_which_flag_to_lower(kind, tmp_path, monkeypatch, capsys):
    def too_large(self, *_):
        if kind == "cpu":
            torch.empty(1 << 50)
        if kind == "cuda":
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB.")
        if kind not in ("cpu", "cuda", "python"):
            raise RuntimeError(f"DataLoader worker (pid(s) 9) {kind}")
        raise MemoryError

    monkeypatch.setattr(Training, "update", too_large)
    assert main([*FLAGS, "--workers", "0", "--out", str(tmp_path / "run")]) == 1
    assert "out of memory: pass a smaller --batch-size" in capsys.readouterr().err


@pytest.fixture(scope="module")
def begun(tmp_path_factory) -> Path:
    """A run that was stopped in its first epoch."""
    out = tmp_path_factory.mktemp("begun") / "run"
    update = Training.update

    def stopped(self, *batch):
        signal.raise_signal(signal.SIGTERM)
        update(self, *batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(named, "SYNTHETIC_SIZES", SIZES)
        patch.setattr(Training, "update", stopped)
        assert main([*FLAGS, "--workers", "0", "--out", str(out)]) == 143
    return out


def test_other_settings_are_named_and_refused(begun, capsys):
    flags = ["--lr", "1", "--hidden", "9", "--rotate", "5", "--seed", "3", "--amp", "off"]
    flags += ["--recipe", "flagship", "--out", "elsewhere"]
    assert main(["--resume", str(begun), *flags]) == 1
    message = capsys.readouterr().err
    assert "--lr is 0.001 there, 1.0 here; --hidden is 50 there, 9 here" in message
    assert "--rotate is 15.0 there, 5.0 here" in message
    assert "--recipe is compact there, flagship here; --seed is 0 there, 3 here" in message
    assert "--amp is bf16 there, off here; --out is " in message


def test_other_data_is_refused(begun, monkeypatch, capsys):
    monkeypatch.setattr(named, "SYNTHETIC_SIZES", {True: 401, False: 50})
    assert main(["--resume", str(begun)]) == 1
    assert "the training data is not what" in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"", b"not a checkpoint"])
def test_a_damaged_checkpoint_is_refused(content, tmp_path, capsys):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "last.pt").write_bytes(content)
    assert main(["--resume", str(tmp_path)]) == 1
    assert "is damaged, or no checkpoint of this version of train.py" in capsys.readouterr().err


def test_a_checkpoint_of_another_version_is_refused(begun, tmp_path, capsys):
    state = torch.load(begun / "checkpoints" / "last.pt", weights_only=True)
    state["run"]["recipe"]["colour"] = "blue"
    (tmp_path / "checkpoints").mkdir()
    torch.save(state, tmp_path / "checkpoints" / "last.pt")
    assert main(["--resume", str(tmp_path)]) == 1
    assert "colour" in capsys.readouterr().err


def test_every_field_of_a_run_is_kept(begun):
    """Nothing that decides a run may be lost between checkpoint and resumption."""
    state = torch.load(begun / "checkpoints" / "last.pt", weights_only=True)
    run = parse(["--resume", str(begun)]).run()
    assert dataclasses.asdict(run) == state["run"] == dataclasses.asdict(checkpoint.read(begun).run)
