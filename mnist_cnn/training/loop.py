"""The training loop: from frames to the network that a run stands for."""

import signal
import time
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.utils.data import DataLoader
from tqdm import tqdm

from mnist_cnn import data
from mnist_cnn.model import MnistCNN, load_model
from mnist_cnn.reading import evaluate
from mnist_cnn.report import Evaluation
from mnist_cnn.run import git_commit
from mnist_cnn.training import checkpoint
from mnist_cnn.training.calibration import calibrate
from mnist_cnn.training.engine import Engine
from mnist_cnn.training.mixture import split
from mnist_cnn.training.recipes import Run
from mnist_cnn.training.signals import Interruption, Stopped, handled, leave_to_the_parent
from mnist_cnn.training.state import Batches, Training, weights_of

SAVE_SECONDS = 30  # between checkpoints within an epoch: what a killed run loses at most


@dataclass(frozen=True)
class Trained:
    """What training leaves."""

    model: MnistCNN  # in eval mode, calibrated
    validation: Evaluation | None
    history: list[dict[str, Any]]  # a record for each epoch
    commits: list[str | None]  # of the code that trained it: two, if it was resumed in between
    frames: int  # that it was trained on
    seconds: float  # from the first frame to the last


def train(
    run: Run,
    frames: Tensor,
    labels: Tensor,
    folder: Path,
    engine: Engine,
    state: dict[str, Any] | None = None,
) -> Trained:
    """Train from the start, or on from a checkpoint.

    Args:
        run: what to train, and how.
        frames, labels: the whole training set of the run's data set.
        folder: the run's; `checkpoints/last.pt` in it is written again and again.
        engine: what computes it.
        state: of a checkpoint.

    Raises:
        Stopped: SIGINT or SIGTERM came; the checkpoint is written.
        FloatingPointError: the loss is no number any more; the last checkpoint is from before.
    """
    start, commit = time.perf_counter(), git_commit()  # the checkout may change while it trains
    digest = data.digest(frames, labels)
    frames, labels, *held_out = split(run, frames, labels)
    accelerator = engine.accelerator
    batches = Batches(run, frames, labels, (accelerator.process_index, accelerator.num_processes))
    training = Training(run, batches.steps, engine)
    if state:
        training.load(state)
    elif run.recipe.init_from:
        training.start_from(weights_of(run.recipe.init_from))
    if commit not in training.commits[-1:]:
        training.commits.append(commit)
    start -= sum(record["seconds"] for record in training.history) + training.sums["seconds"]
    _train_epochs(training, batches, held_out, Saver(training, digest, folder))
    accelerator.wait_for_everyone()  # the best weights are written by one process
    model = training.result().eval()
    if run.recipe.patience:
        model = load_model(checkpoint.best_of(folder)).to(accelerator.device)
    calibrate(model, run, *held_out)
    return Trained(
        model,
        _evaluated(model, *held_out),
        training.history,
        training.commits,
        len(frames),
        time.perf_counter() - start,
    )


class Saver:
    """Writes a run's checkpoints, and ends it after one when a signal has asked for that."""

    def __init__(self, training: Training, digest: str, folder: Path) -> None:
        self.training, self.digest, self.folder = training, digest, folder
        self.accelerator, self.interruption = training.accelerator, Interruption()
        self.saved = 0.0  # when

    def save(self) -> None:
        if self.accelerator.is_main_process:
            checkpoint.save(self.training, self.digest, self.folder)
        self.saved = time.perf_counter()

    def save_best(self) -> None:
        """Keep the weights of the epoch that has just ended, if no other was better."""
        training = self.training
        if self.accelerator.is_main_process and training.best_epoch() == training.epoch:
            training.result().save_pretrained(checkpoint.best_of(self.folder))

    def is_due(self) -> bool:
        return time.perf_counter() - self.saved > SAVE_SECONDS

    def stop_if_asked(self) -> None:
        """In all processes, whichever of them got the signal."""
        if self.interruption.signal:
            self.accelerator.set_trigger()
        if self.accelerator.check_trigger():
            self.save()
            raise Stopped(self.interruption.signal or signal.SIGTERM)


def _train_epochs(
    training: Training, batches: Batches, held_out: list[Tensor], saver: Saver
) -> None:
    """The loop: one step after the other until the run is over."""
    accelerator, epochs = training.accelerator, training.run.recipe.epochs
    with handled(saver.interruption.note), _bar(training) as bar:
        saver.save()
        clock = time.perf_counter()
        loaded = iter(_loader(batches, training))
        while not training.is_over():
            bar.set_description(f"epoch {training.epoch + 1}/{epochs}", refresh=False)
            for batch in islice(loaded, training.steps - training.step):
                training.update(*batch)
                now = time.perf_counter()
                training.sums["seconds"] += now - clock
                clock = now
                _show(bar, training)
                saver.stop_if_asked()
                if saver.is_due():
                    saver.save()
                    clock = time.perf_counter()
            record = training.end_epoch(lambda: _evaluated(training.result(), *held_out))
            if "val_accuracy" in record:
                saver.save_best()
            if accelerator.is_main_process:
                bar.write(_line(record))
            accelerator.log(record, step=training.epoch * training.steps)
            saver.save()
            saver.stop_if_asked()
            clock = time.perf_counter()


def _loader(batches: Batches, training: Training) -> DataLoader:
    """All batches from where the training is, in their order."""
    engine = training.engine
    return DataLoader(
        batches,
        batch_size=None,
        sampler=batches.keys(training.run.recipe.epochs, (training.epoch, training.step)),
        num_workers=engine.workers,
        prefetch_factor=8 if engine.workers else None,
        pin_memory=engine.accelerator.device.type == "cuda",
        worker_init_fn=leave_to_the_parent,
    )


def _evaluated(model: MnistCNN, frames: Tensor, labels: Tensor) -> Evaluation | None:
    return evaluate(model, frames, labels) if len(frames) else None


def _bar(training: Training) -> tqdm:
    total = training.run.recipe.epochs * training.steps
    done = training.epoch * training.steps + training.step
    hidden = None if training.accelerator.is_main_process else True  # None: on a terminal only
    return tqdm(total=total, initial=done, unit="step", disable=hidden)


def _show(bar: tqdm, training: Training) -> None:
    bar.update()
    if not bar.disable:
        measures = training.measures()
        loss, accuracy = f"{measures['loss']:.4f}", f"{measures['accuracy']:.2%}"
        bar.set_postfix(loss=loss, accuracy=accuracy, refresh=False)


def _line(record: dict[str, Any]) -> str:
    text = (
        f"epoch {record['epoch']:3}  loss {record['loss']:.4f}  accuracy {record['accuracy']:.2%}"
    )
    if "val_accuracy" in record:
        text += f"  val loss {record['val_loss']:.4f}  val accuracy {record['val_accuracy']:.2%}"
    return f"{text}  {record['seconds']:.1f} s"
