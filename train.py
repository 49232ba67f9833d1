"""Train a network: `python train.py [--recipe NAME] [--dataset NAME] [--data-dir DIR] [--out DIR]`.

Several processes or GPUs: `accelerate launch train.py …`. A run folder holds what a Hub repo holds
(config.json, model.safetensors, report.json, augmentation.json, README.md, pictures and
report.html), and checkpoints/ to resume from.
"""

import argparse
import dataclasses
import inspect
import io
import math
import os
import pickle
import re
import shlex
import signal
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.tracking import get_available_trackers
from accelerate.utils import LoggerType, broadcast_object_list
from accelerate.utils.memory import should_reduce_batch_size
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from mnist_cnn import data, publish, run_folder, strokes
from mnist_cnn.augment import Augmentation, Augmenter
from mnist_cnn.damage import damage
from mnist_cnn.evaluate import (
    Evaluation,
    errors_outside_doubtful,
    evaluate,
    fit_temperature,
    fit_threshold,
    raw_logits,
)
from mnist_cnn.model import Config, MnistCNN, load_model
from mnist_cnn.nondigits import nondigit_frames
from mnist_cnn.provenance import git_commit, machine, versions
from mnist_cnn.recipes import RECIPES, Recipe, Run
from mnist_cnn.reink import reink_frames
from mnist_cnn.rows import candidate_frames

SAVE_SECONDS = 30  # between checkpoints within an epoch: what a killed run loses at most
WORN = 0.3  # share of the drawn ink that is damaged; more would teach what nobody can read
NOT_A_DIGIT = -1  # the label of a frame that no class fits
VALIDATION_SEED = 1_000_003  # apart from the seeds that people pass, so drawings do not repeat


@dataclass(frozen=True)
class Engine:
    """What computes a run; its result depends on it only by rounding."""

    accelerator: Accelerator  # device and processes
    amp: torch.dtype | None  # of mixed precision; None for full precision
    workers: int  # processes that augment, for each process that trains


class Batches(Dataset):
    """Augmented batches, each a pure function of (seed, epoch, step).

    So a resumed run sees what an uninterrupted one saw, epochs differ, and data-loader workers
    cannot repeat each other. Of several training processes each makes whole batches and takes its
    share, so their number does not change what is trained on.
    """

    def __init__(
        self,
        frames: Tensor,
        labels: Tensor,
        batch_size: int,
        run: Run,
        share: tuple[int, int] = (0, 1),  # (which process, of how many)
    ) -> None:
        if batch_size % share[1]:
            raise ValueError(
                f"batch_size {batch_size} cannot be shared by {share[1]} processes: "
                f"pass a multiple of {share[1]}"
            )
        self.frames, self.labels = frames.numpy(), labels
        self.batch_size, self.seed, self.share = batch_size, run.seed, share
        self.augmenter = Augmenter(run.augmentation)
        self.steps = len(frames) // batch_size

    def __getitem__(self, key: tuple[int, int]) -> tuple[Tensor, Tensor]:
        epoch, step = key
        order = _permutation(len(self.frames), self.seed, epoch)
        rows = order[step * self.batch_size : (step + 1) * self.batch_size]
        frames = self.augmenter(self.frames[rows], (self.seed, epoch, step))
        process, processes = self.share
        return torch.from_numpy(frames[process::processes]), self.labels[rows[process::processes]]

    def keys(self, epochs: int, start: tuple[int, int] = (0, 0)) -> list[tuple[int, int]]:
        """All (epoch, step) from `start` on."""
        keys = [(epoch, step) for epoch in range(start[0], epochs) for step in range(self.steps)]
        return keys[start[1] :]


@lru_cache(maxsize=2)
def _permutation(n: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.default_rng((seed, epoch)).permutation(n)


def split(run: Run, frames: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Training and validation frames and labels, both cut from the training set.

    What the program draws is added to the training frames; non-digits have the label -1.
    """
    if run.recipe.val_size >= len(frames):
        raise ValueError(
            f"val_size {run.recipe.val_size} leaves none of {len(frames)} frames to train on; "
            "pass a smaller --val-size"
        )
    kept_frames = len(frames) - run.recipe.val_size
    total = kept_frames + sum(getattr(run.recipe, name) for name in DRAWN)
    if run.recipe.batch_size > total:  # before drawing, which takes a while
        raise ValueError(
            f"batch_size {run.recipe.batch_size} is larger than the {total} training frames; "
            "pass a smaller --batch-size"
        )
    order = torch.from_numpy(np.random.default_rng(run.seed).permutation(len(frames)))
    held_out, kept = order[: run.recipe.val_size], order[run.recipe.val_size :]
    extra_frames, extra_labels = extra(run, frames[kept].numpy(), labels[kept].numpy())
    return (
        torch.cat([frames[kept], torch.from_numpy(extra_frames)]),
        torch.cat([labels[kept], torch.from_numpy(extra_labels)]),
        frames[held_out],
        labels[held_out],
    )


def extra(run: Run, frames: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What the program adds to the training frames: digits and non-digits that it makes."""
    recipe, seed = run.recipe, run.seed
    drawn, drawn_labels = strokes.draw_frames(recipe.drawn_digits, seed, change=worn)
    rows = np.random.default_rng(seed).integers(0, len(frames), recipe.reinked_digits)
    reinked = reink_frames(frames[rows], seed, change=worn)
    others = nondigit_frames(recipe.nondigits, seed, (frames, labels), change=worn)
    cut, cut_labels = candidate_frames(recipe.candidates, seed, (frames, labels), worn)
    return (
        np.concatenate([drawn, reinked, others, cut]),
        np.concatenate([drawn_labels, labels[rows], np.full(len(others), NOT_A_DIGIT), cut_labels]),
    )


def worn(ink: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Most ink as it is, the rest with what cameras and thresholds do to it."""
    return damage(ink, rng) if rng.random() < WORN else ink


def calibrate(model: MnistCNN, run: Run, frames: Tensor, labels: Tensor) -> None:
    """Fit temperature and refusal threshold on validation digits, and on as many drawn ones.

    Drawn digits are rarer ways of writing: a threshold from MNIST alone would refuse too many.
    """
    logits = raw_logits(model, frames)
    model.config = dataclasses.replace(model.config, temperature=fit_temperature(logits, labels))
    if run.recipe.nondigits:
        drawn, _ = strokes.draw_frames(len(frames), run.seed + VALIDATION_SEED, change=worn)
        logits = torch.cat([logits, raw_logits(model, torch.from_numpy(drawn))])
        threshold = fit_threshold(logits, run.recipe.refused)
        model.config = dataclasses.replace(model.config, threshold=threshold)


class Training:
    """The state of a run: what a checkpoint keeps, and how one step changes it."""

    def __init__(self, run: Run, steps: int, engine: Engine) -> None:
        torch.manual_seed(run.seed)
        self.run, self.steps, self.engine = run, steps, engine
        self.accelerator, device = engine.accelerator, engine.accelerator.device
        self.model = MnistCNN(run.config).to(device)
        self.network = self.accelerator.prepare_model(self.model)  # averages gradients, if need be
        self.averaged = AveragedModel(self.model, avg_fn=self._average, use_buffers=True)
        self.optimizer = _optimizer(run.recipe, self.model)
        self.schedule = _schedule(run.recipe, self.optimizer, steps)
        # Only fp16 needs its gradients scaled; a scaler that is off passes everything through.
        self.scaler = torch.amp.GradScaler(device.type, enabled=engine.amp == torch.float16)
        self.epoch, self.step = 0, 0  # how many epochs are done, and steps of the next one
        self.sums = _no_sums()  # over the steps of that epoch
        self.history: list[dict[str, float]] = []

    def _average(self, averaged: Tensor, current: Tensor, count: Tensor) -> Tensor:
        # A short run must not average its random start in: the decay grows to its full value.
        decay = min(self.run.recipe.ema, (1 + int(count)) / (10 + int(count)))
        return averaged + (current - averaged) * (1 - decay)

    def start_from(self, weights: MnistCNN) -> None:
        """Take up trained weights, except the output layer where it names other classes."""
        tensors = weights.state_dict()
        if weights.config.class_names != self.run.config.class_names:
            layers = [i for i, layer in enumerate(weights.head) if isinstance(layer, nn.Linear)]
            new = {f"head.{index}" for index in range(layers[-1], len(weights.head))}
            tensors = {k: v for k, v in tensors.items() if k.rpartition(".")[0] not in new}
        self.model.load_state_dict(self.model.state_dict() | tensors)
        self.averaged.module.load_state_dict(self.model.state_dict())

    def result(self) -> MnistCNN:
        """The weights that a run stands for: the averaged ones, unless averaging is off."""
        return self.averaged.module if self.run.recipe.ema else self.model

    def update(self, frames: Tensor, labels: Tensor) -> None:
        """One step on a batch, or on this process's share of it."""
        device, amp = self.accelerator.device, self.engine.amp
        frames, labels = (part.to(device, non_blocking=True) for part in (frames, labels))
        # What dropout draws depends on the step alone, so a resumed run draws the same.
        place = (self.run.seed, self.epoch, self.step, self.accelerator.process_index)
        torch.manual_seed(int(np.random.SeedSequence(place).generate_state(1)[0]))
        with torch.autocast(device.type, amp) if amp else nullcontext():
            logits = self.network(frames)
        loss = loss_of(logits.float(), labels, self.run.recipe)
        self._refuse_to_explode(loss)
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()
        if self.run.recipe.grad_clip:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.model.parameters(), self.run.recipe.grad_clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.schedule.step()
        if self.run.recipe.ema:
            self.averaged.update_parameters(self.model)
        self.step += 1
        digits = int((labels != NOT_A_DIGIT).sum())
        self.sums["loss"] += loss.item() * digits
        self.sums["correct"] += int((logits.argmax(1) == labels).sum())
        self.sums["seen"] += digits

    def _refuse_to_explode(self, loss: Tensor) -> None:
        if not math.isfinite(loss.item()):
            raise FloatingPointError(
                f"the loss became {loss.item()} in epoch {self.epoch + 1}, step {self.step + 1}, "
                f"at learning rate {self.lr():.2g}. Try a lower --lr, --grad-clip 1 or --amp off."
            )

    def lr(self) -> float:
        return self.schedule.get_last_lr()[0]

    def measures(self) -> dict[str, float]:
        """Loss, accuracy and seconds of this epoch so far, on this process's share."""
        seen = max(1, self.sums["seen"])
        return {
            "frames": int(self.sums["seen"]),  # that show a digit
            "loss": self.sums["loss"] / seen,
            "accuracy": self.sums["correct"] / seen,
            "seconds": self.sums["seconds"],
        }

    def end_epoch(self, validation: Callable[[], Evaluation | None]) -> dict[str, float]:
        """Close the epoch; its record, the same in all processes."""
        shares = torch.tensor(list(self.sums.values()), device=self.accelerator.device)
        whole = self.accelerator.reduce(shares, "sum").tolist()
        self.sums = dict(zip(self.sums, whole, strict=True))
        self.sums["seconds"] /= self.accelerator.num_processes
        record = {"epoch": self.epoch + 1, **self.measures(), "lr": self.lr()}
        if self.accelerator.is_main_process and (result := validation()):
            record |= {"val_loss": result.loss, "val_accuracy": result.accuracy}
        (record,) = broadcast_object_list([record])
        self.history.append(record)
        self.epoch, self.step, self.sums = self.epoch + 1, 0, _no_sums()
        return record

    def best_epoch(self) -> int:
        """The epoch of the highest validation accuracy so far, counted from 1."""
        best = max(self.history, key=lambda record: record["val_accuracy"])
        return int(best["epoch"])

    def is_over(self) -> bool:
        """Whether all epochs are done, or accuracy has not grown for `patience` epochs."""
        recipe = self.run.recipe
        stuck = recipe.patience and self.history
        return self.epoch >= recipe.epochs or bool(
            stuck and self.epoch - self.best_epoch() >= recipe.patience
        )

    def _parts(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "averaged": self.averaged,
            "optimizer": self.optimizer,
            "schedule": self.schedule,
            "scaler": self.scaler,
        }

    def save(self, file: Path, digest: str) -> None:
        """Write a checkpoint under a temporary name, then rename it over the last one.

        Raises:
            FloatingPointError: the weights are not finite; the last checkpoint stays.
        """
        if not all(value.isfinite().all() for value in self.model.parameters()):
            raise FloatingPointError(
                f"the weights became infinite in epoch {self.epoch + 1}, step {self.step}, at "
                f"learning rate {self.lr():.2g}. Try a lower --lr, --grad-clip 1 or --amp off."
            )
        state: dict[str, Any] = {name: part.state_dict() for name, part in self._parts().items()}
        state |= {name: getattr(self, name) for name in _PROGRESS}
        state |= {"run": dataclasses.asdict(self.run), "data": digest, "amp": str(self.engine.amp)}
        content = io.BytesIO()
        torch.save(state, content)
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary = file.with_suffix(".tmp")
        try:
            with temporary.open("wb") as stream:
                stream.write(content.getbuffer())
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(file)
        except OSError as error:
            raise OSError(
                f"cannot write {file}: {error.strerror}. The checkpoint before it is whole: make "
                "room, then go on with --resume."
            ) from error
        finally:
            temporary.unlink(missing_ok=True)

    def load(self, state: dict[str, Any]) -> None:
        """Take up the state of a checkpoint."""
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        for name in _PROGRESS:
            setattr(self, name, state[name])


_PROGRESS = ("epoch", "step", "sums", "history")


def _no_sums() -> dict[str, float]:
    return {"loss": 0.0, "correct": 0, "seen": 0, "seconds": 0.0}


def _optimizer(recipe: Recipe, model: nn.Module) -> torch.optim.Optimizer:
    groups = [
        {
            "params": [p for p in model.parameters() if p.ndim > 1],
            "weight_decay": recipe.weight_decay,
        },
        {"params": [p for p in model.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, recipe.lr, momentum=0.9, nesterov=True, fused=True)
    kind = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}[recipe.optimizer]
    return kind(groups, recipe.lr, betas=(recipe.beta1, recipe.beta2), fused=True)


def _schedule(
    recipe: Recipe, optimizer: torch.optim.Optimizer, steps: int
) -> torch.optim.lr_scheduler.LRScheduler:
    if recipe.schedule == "constant":
        return torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0)
    return torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        max_lr=recipe.lr,
        total_steps=recipe.epochs * steps,
        pct_start=recipe.warmup,
        cycle_momentum=recipe.cycle_momentum,
    )


def loss_of(logits: Tensor, labels: Tensor, recipe: Recipe) -> Tensor:
    """Mean loss of a batch; non-digits should leave the network undecided.

    The second part is outlier exposure (Hendrycks et al. 2019, arXiv 1812.04606): the
    cross-entropy between the answer and equal shares for all classes.
    """
    if recipe.loss == "squared":
        known = labels != NOT_A_DIGIT
        wanted = F.one_hot(labels[known], logits.shape[1])
        digits = ((logits[known].softmax(1) - wanted) ** 2).sum()
    else:
        digits = F.cross_entropy(
            logits,
            labels,
            ignore_index=NOT_A_DIGIT,
            label_smoothing=recipe.label_smoothing,
            reduction="sum",
        )
    undecided = -logits[labels == NOT_A_DIGIT].log_softmax(1).mean(1).sum()
    return (digits + recipe.nondigit_weight * undecided) / len(labels)


class Stopped(Exception):  # noqa: N818 - it was asked for, it is no error
    """Ctrl-C or SIGTERM came, and the state was saved; its argument is the signal's number."""


class Interruption:
    """Notes SIGINT and SIGTERM, so that a step is never cut; a second one ends the process."""

    def __enter__(self) -> "Interruption":
        self.signal: int | None = None
        self._before = {
            number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)
        }
        return self

    def _note(self, number: int, _: Any) -> None:
        self.signal = number
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def __exit__(self, *_: object) -> None:
        self._restore()


def _leave_signals_to_the_parent(_: int) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def train(
    run: Run,
    frames: Tensor,
    labels: Tensor,
    out: Path,
    engine: Engine,
    checkpoint: dict[str, Any] | None = None,
) -> tuple[MnistCNN, dict[str, Any]]:
    """Train from the start, or on from a checkpoint.

    Args:
        run: what to train, and how.
        frames, labels: the whole training set of the run's data set.
        out: the run folder; `checkpoints/last.pt` in it is written again and again.

    Returns:
        The trained network in eval mode, and what its report says about the training.

    Raises:
        Stopped: SIGINT or SIGTERM came; the checkpoint is written.
        FloatingPointError: the loss is no number any more; the last checkpoint is from before.
    """
    start, recipe, accelerator = time.perf_counter(), run.recipe, engine.accelerator
    commit = git_commit()  # now: the checkout may change while it trains
    last, digest = out / "checkpoints" / "last.pt", data.digest(frames, labels)
    frames, labels, val_frames, val_labels = split(run, frames, labels)
    share = (accelerator.process_index, accelerator.num_processes)
    dataset = Batches(frames, labels, recipe.batch_size, run, share)
    training = Training(run, dataset.steps, engine)
    if checkpoint:
        training.load(checkpoint)
    elif recipe.init_from:
        training.start_from(_weights(recipe.init_from))
    before = sum(record["seconds"] for record in training.history) + training.sums["seconds"]

    def save() -> None:
        if accelerator.is_main_process:
            training.save(last, digest)

    def validation() -> Evaluation | None:
        return evaluate(training.result(), val_frames, val_labels) if len(val_frames) else None

    loader = DataLoader(
        dataset,
        batch_size=None,
        sampler=dataset.keys(recipe.epochs, (training.epoch, training.step)),
        num_workers=engine.workers,
        prefetch_factor=8 if engine.workers else None,
        pin_memory=accelerator.device.type == "cuda",
        worker_init_fn=_leave_signals_to_the_parent,
    )
    with Interruption() as interruption, _bar(training, accelerator) as bar:
        save()
        saved = clock = time.perf_counter()
        batches = iter(loader)
        while not training.is_over():
            bar.set_description(f"epoch {training.epoch + 1}/{recipe.epochs}", refresh=False)
            while training.step < training.steps:
                training.update(*next(batches))
                now = time.perf_counter()
                training.sums["seconds"] += now - clock
                clock = now
                _show(bar, training)
                if interruption.signal:
                    accelerator.set_trigger()
                if accelerator.check_trigger():  # in any process
                    save()
                    raise Stopped(interruption.signal or signal.SIGTERM)
                if now - saved > SAVE_SECONDS:
                    save()
                    saved = clock = time.perf_counter()
            record = training.end_epoch(validation)
            if accelerator.is_main_process:
                if "val_accuracy" in record and training.best_epoch() == training.epoch:
                    training.result().save_pretrained(out / "checkpoints" / "best")
                bar.write(_line(record))
            accelerator.log(record, step=training.epoch * training.steps)
            save()
            saved = clock = time.perf_counter()
    model = training.result().eval()
    if recipe.patience:
        model = MnistCNN.from_pretrained(out / "checkpoints" / "best").to(accelerator.device)
    if len(val_frames):
        calibrate(model, run, val_frames, val_labels)
    return model, {
        "git_commit": commit,
        "training_frames": len(frames),
        "seconds": {
            "epochs": sum(record["seconds"] for record in training.history),
            "total": before + time.perf_counter() - start,
        },
        "history": training.history,
        "validation": _evaluated(model, val_frames, val_labels),
    }


def _bar(training: Training, accelerator: Accelerator) -> tqdm:
    total = training.run.recipe.epochs * training.steps
    done = training.epoch * training.steps + training.step
    hidden = None if accelerator.is_main_process else True  # None: shown on a terminal only
    return tqdm(total=total, initial=done, unit="step", disable=hidden)


def _show(bar: tqdm, training: Training) -> None:
    bar.update()
    if not bar.disable:
        measures = training.measures()
        loss, accuracy = f"{measures['loss']:.4f}", f"{measures['accuracy']:.2%}"
        bar.set_postfix(loss=loss, accuracy=accuracy, refresh=False)


def _line(record: dict[str, float]) -> str:
    text = (
        f"epoch {record['epoch']:3}  loss {record['loss']:.4f}  accuracy {record['accuracy']:.2%}"
    )
    if "val_accuracy" in record:
        text += f"  val loss {record['val_loss']:.4f}  val accuracy {record['val_accuracy']:.2%}"
    return f"{text}  {record['seconds']:.1f} s"


def _evaluated(model: MnistCNN, frames: Tensor, labels: Tensor) -> dict[str, Any] | None:
    return dataclasses.asdict(evaluate(model, frames, labels)) if len(frames) else None


def _weights(source: str) -> MnistCNN:
    return load_model(None if source == "bundled" else source)


def command(run: Run) -> str:
    """The command line that repeats a run: its recipe, and the flags that differ from it."""
    words = ["python train.py", f"--recipe {run.name}", f"--seed {run.seed}"]
    for mine, usual in zip(
        (run.recipe, run.config, run.augmentation), RECIPES[run.name], strict=True
    ):
        if run.recipe.init_from and mine is run.config:
            continue  # the network is that of the weights
        for field in dataclasses.fields(mine):
            value = getattr(mine, field.name)
            if field.name in FROM_THE_DATA or value == getattr(usual, field.name):
                continue
            if isinstance(value, bool):
                words.append(_flag(field.name) if value else f"--no-{_flag(field.name)[2:]}")
            else:
                text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
                words.append(f"{_flag(field.name)} {shlex.quote(text)}")
    return " ".join(words)


def pick_engine(args: argparse.Namespace, run: Run, out: Path) -> Engine:
    """The device and processes that train, their precision, and the trackers that watch."""
    known = [str(name) for name in LoggerType.list() if str(name) != "all"]
    trackers = list(args.track or ())
    here = [str(name) for name in get_available_trackers()]
    for name in trackers:
        if name not in known:
            raise ValueError(f"unknown tracker {name!r}; choose of {', '.join(known)}")
        if name not in here:
            raise ValueError(f"--track {name} needs its package: pip install {name}")
    accelerator = Accelerator(
        cpu=_pick_device(args.device) == "cpu",
        mixed_precision="no",  # precision is ours: the same with and without `accelerate launch`
        log_with=trackers or None,
        project_dir=out,
    )
    workers = args.workers
    if workers is None:  # frames that are not augmented are made at once
        workers = int(bool(run.augmentation.compose().transforms))
    return Engine(accelerator, pick_amp(args.amp, accelerator.device), workers)


def _pick_device(name: str) -> str:
    """The kind of a device; of several GPUs, the one that was named becomes the current one."""
    if name == "auto":
        return name
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
        if device.type == "cuda" and device.index is not None:
            torch.cuda.set_device(device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"device {name!r} cannot be used here: {error}".splitlines()[0]) from error
    if device.type not in ("cpu", "cuda", "mps"):
        raise ValueError(f"unknown device {name!r}; choose one of auto, cpu, cuda, cuda:N, mps")
    return device.type


def pick_amp(name: str, device: torch.device) -> torch.dtype | None:
    """The dtype of mixed precision, None for full precision.

    "auto" is bf16 where the hardware multiplies in it (CPUs with AVX512-BF16 or AMX, GPUs since
    Ampere), fp16 on older GPUs, off elsewhere: emulated bf16 is slower than fp32.
    """
    if name != "auto":
        return {"bf16": torch.bfloat16, "fp16": torch.float16, "off": None}[name]
    if device.type == "cuda":
        new = torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if new else torch.float16
    if device.type == "cpu":
        can = torch.cpu.get_capabilities()
        return torch.bfloat16 if can.get("avx512_bf16") or can.get("amx_bf16") else None
    return None


AMP_NAMES = {str(torch.bfloat16): "bf16", str(torch.float16): "fp16", str(None): "off"}
FLAG_GROUPS = {"recipe": Recipe, "network": Config, "augmentation": Augmentation}
# What the data, or the validation digits after training, decide about a network.
FROM_THE_DATA = ("class_names", "mean", "std", "temperature", "threshold", "version")
DRAWN = ("drawn_digits", "reinked_digits", "nondigits", "candidates")


def parser() -> argparse.ArgumentParser:
    """The command line: every field of recipe, network and augmentation is a flag."""
    result = argparse.ArgumentParser(
        description="Train a network.", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    group = result.add_argument_group("run")
    group.add_argument("--recipe", default="flagship", help=", ".join(RECIPES))
    group.add_argument("--data-dir", default="data", help="where data lies or is downloaded to")
    group.add_argument("--out", type=Path, help="run folder (default: runs/RECIPE-seedN)")
    group.add_argument("--seed", type=int, default=0, metavar="N")
    group.add_argument("--resume", type=Path, metavar="RUN", help="go on with a stopped run")
    group.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")
    group.add_argument("--amp", default="auto", choices=["auto", "bf16", "fp16", "off"])
    group.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="processes that augment (1, or 0 if nothing does)",
    )
    group.add_argument(
        "--track",
        action="append",
        metavar="NAME",
        help="tensorboard, wandb, …; several if repeated",
    )
    group.add_argument("--push-to-hub", metavar="USER/NAME", help="publish the run when it is done")
    for title, kind in FLAG_GROUPS.items():
        group = result.add_argument_group(title, "defaults come from the recipe")
        for field in dataclasses.fields(kind):
            text = _comments(kind).get(field.name)
            if field.name in FROM_THE_DATA:
                continue
            if field.type is bool:
                action = argparse.BooleanOptionalAction
                group.add_argument(_flag(field.name), action=action, help=text)
            else:
                kind_of = _flag_type(field.type)
                group.add_argument(_flag(field.name), type=kind_of, metavar="X", help=text)
    return result


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _comments(kind: type) -> dict[str, str]:
    """The comment beside each field, which is also its help."""
    found = re.findall(r"^    (\w+): .*?  # (.*)$", inspect.getsource(kind), re.MULTILINE)
    return {name: text.replace("%", "%%") for name, text in found}


def _flag_type(kind: Any) -> Callable[[str], Any]:
    if kind in (int, float, str):
        return kind

    def comma_separated(text: str) -> tuple[int, ...]:
        return tuple(int(part) for part in text.split(",")) if text else ()

    return comma_separated


def _given(kind: type, args: argparse.Namespace) -> dict[str, Any]:
    """The fields of a dataclass that the command line sets."""
    values = {field.name: getattr(args, field.name, None) for field in dataclasses.fields(kind)}
    return {name: value for name, value in values.items() if value is not None}


def run_of(args: argparse.Namespace) -> Run:
    if args.recipe not in RECIPES:
        raise ValueError(f"unknown recipe {args.recipe!r}; choose one of {', '.join(RECIPES)}")
    if args.seed < 0:
        raise ValueError(f"seed must not be negative, got {args.seed}")
    bases = RECIPES[args.recipe]
    recipe, config, augmentation = (dataclasses.replace(b, **_given(type(b), args)) for b in bases)
    if recipe.init_from:
        if given := _given(Config, args):
            flags = ", ".join(map(_flag, given))
            raise ValueError(
                f"{flags} cannot go with --init-from: the network is that of the weights"
            )
        config = _weights(recipe.init_from).config
        config = dataclasses.replace(
            config, temperature=Config.temperature, threshold=Config.threshold
        )
    names = data.class_names(recipe.dataset)
    if names != data.DIGITS:
        if asked := [_flag(name) for name in DRAWN if getattr(args, name)]:
            raise ValueError(
                f"{', '.join(asked)} cannot go with --dataset {recipe.dataset}: only digits are "
                "drawn, and its classes are others"
            )
        recipe = dataclasses.replace(recipe, **dict.fromkeys(DRAWN, 0))
    return Run(
        args.recipe, args.seed, recipe, dataclasses.replace(config, class_names=names), augmentation
    )


def _resumed(folder: Path, args: argparse.Namespace) -> tuple[Run, dict[str, Any]]:
    file = folder / "checkpoints" / "last.pt"
    if not file.exists():
        raise ValueError(f"nothing to resume: {file} does not exist (it is written as steps begin)")
    try:
        state = torch.load(file, weights_only=True)
        kept = state["run"]
        run = Run(
            kept["name"],
            kept["seed"],
            Recipe(**kept["recipe"]),
            Config(**kept["config"]),
            Augmentation(**kept["augmentation"]),
        )
        amp = AMP_NAMES[state["amp"]]
    except (RuntimeError, EOFError, LookupError, TypeError, pickle.UnpicklingError) as error:
        raise ValueError(
            f"{file} is no checkpoint of this version of train.py: {type(error).__name__}: {error}"
        ) from error
    differing = [
        f"{_flag(name)} is {getattr(part, name)} there, {value} here"
        for part in (run.recipe, run.config, run.augmentation)
        for name, value in _given(type(part), args).items()
        if value != getattr(part, name)
    ]
    differing += [
        f"--{name} is {there} there, {here} here"
        for name, there, here in (
            ("recipe", run.name, args.recipe),
            ("seed", run.seed, args.seed),
            ("amp", amp, args.amp),
        )
        if here not in (there, parser().get_default(name))
    ]
    if differing:
        raise ValueError(
            f"--resume goes on as {folder} began; leave out what differs: {'; '.join(differing)}"
        )
    return run, state


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    try:
        if args.push_to_hub:
            publish.check_login(args.push_to_hub)
        return _main(args)
    except (ValueError, OSError, FloatingPointError) as error:
        return _failed(str(error))
    except (RuntimeError, MemoryError) as error:
        if not (isinstance(error, MemoryError) or should_reduce_batch_size(error)):
            raise
        return _failed("out of memory: pass a smaller --batch-size (or --workers 0)")
    except KeyboardInterrupt:
        return _failed("stopped before the first step; there is nothing to resume", 130)


def _failed(message: str, code: int = 1) -> int:
    print(f"train.py: {message}", file=sys.stderr)
    return code


def _main(args: argparse.Namespace) -> int:
    if args.resume:
        out = args.resume
        run, state = _resumed(out, args)
        args.amp = AMP_NAMES[state["amp"]]
    else:
        run, state = run_of(args), None
        out = args.out or Path("runs") / f"{run.name}-seed{run.seed}"
    engine = pick_engine(args, run, out)
    accelerator, dataset = engine.accelerator, run.recipe.dataset
    if accelerator.is_main_process and not state:
        if out.exists() and any(out.iterdir()):
            raise ValueError(f"{out} is not empty: pass another --out, or --resume {out}")
        out.mkdir(parents=True, exist_ok=True)
    with accelerator.main_process_first():  # which downloads the data, if need be
        frames, labels = data.load(dataset, args.data_dir, True, run.recipe.skip_unreadable)
    if state and state["data"] != data.digest(frames, labels):
        raise ValueError(f"the training data is not what {out} began with")
    if not state:
        mean, std = data.statistics(frames)
        run = dataclasses.replace(run, config=dataclasses.replace(run.config, mean=mean, std=std))
    if accelerator.is_main_process:
        _announce(run, engine)
    accelerator.init_trackers("tracking", _flat(run))
    try:
        model, trained = train(run, frames, labels, out, engine, state)
    except Stopped as stopped:
        code = 128 + stopped.args[0]  # as shells report a signal
        return _failed(f"stopped, and saved. Go on with: {_resume_command(args, out)}", code)
    if accelerator.is_main_process:
        # The test set is opened here, once, after the last decision.
        test = data.load(dataset, args.data_dir, False, run.recipe.skip_unreadable)
        _finish(model, run, trained, engine, out, test, frames)
        if args.push_to_hub:
            push(out, args.push_to_hub)
    accelerator.end_training()
    return 0


def push(out: Path, repo_id: str) -> None:
    """Publish a finished run; if that fails, the run is whole and can be pushed by itself."""
    try:
        done = publish.push(out, repo_id)
    except (ValueError, OSError) as error:
        again = f"python -m mnist_cnn push {shlex.quote(str(out))} {repo_id}"
        raise type(error)(f"{error}\nThe run is complete. To push it: {again}") from error
    print(done)
    print(f"published: {done.url}")


def _announce(run: Run, engine: Engine) -> None:
    processes = engine.accelerator.num_processes
    print(
        f"{run.name}: {run.config.parameters():,} parameters on {engine.accelerator.device.type}, "
        f"{engine.amp or 'float32'}" + (f", {processes} processes" if processes > 1 else "")
    )
    if warning := data.warning(run.recipe.dataset):
        print(f"train.py: {warning}", file=sys.stderr)


def _flat(run: Run) -> dict[str, Any]:
    """A run's settings as trackers take them."""
    parts = (run.recipe, run.config, run.augmentation)
    values = {k: v for part in parts for k, v in dataclasses.asdict(part).items()}
    values |= {"recipe": run.name, "seed": run.seed}
    return {k: ",".join(map(str, v)) if isinstance(v, tuple) else v for k, v in values.items()}


def _finish(
    model: MnistCNN,
    run: Run,
    trained: dict[str, Any],
    engine: Engine,
    out: Path,
    test: tuple[Tensor, Tensor],
    frames: Tensor,
) -> None:
    """Evaluate on the test set and write what a run leaves."""
    result = evaluate(model, *test)
    model.report = {
        **dataclasses.asdict(run),
        "config": dataclasses.asdict(model.config),
        "command": command(run),
        "parameters": run.config.parameters(),
        "multiply_adds": run.config.multiply_adds(),
        **trained,
        "precision": str(engine.amp or torch.float32).removeprefix("torch."),
        "processes": engine.accelerator.num_processes,
        "machine": machine(engine.accelerator.device),
        "versions": versions(),
        "finished": time.strftime("%Y-%m-%d"),
        "test": dataclasses.asdict(result),
    }
    if run.recipe.dataset == "mnist":
        model.report["test"]["errors_outside_doubtful"] = errors_outside_doubtful(result)
    run_folder.write(model, run, out, test, frames)
    print(f"test accuracy {result.accuracy:.2%} ({result.errors} errors in {result.n:,}) → {out}")


def _resume_command(args: argparse.Namespace, out: Path) -> str:
    words = ["python train.py", "--resume", shlex.quote(str(out))]
    if args.data_dir != parser().get_default("data_dir"):
        words += ["--data-dir", shlex.quote(args.data_dir)]
    return " ".join(words)


if __name__ == "__main__":
    sys.exit(main())
