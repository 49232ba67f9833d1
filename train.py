"""Train a digit reader: `python train.py [--recipe NAME] [--data-dir DIR] [--out DIR]`.

A run folder holds what a Hub repo holds (config.json, model.safetensors, report.json,
augmentation.json, README.md), the training curves, and checkpoints/ to resume from.
"""

import argparse
import dataclasses
import inspect
import math
import os
import platform
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from mnist_cnn import card, data, hub, plots, strokes
from mnist_cnn.augment import Augmentation, Augmenter
from mnist_cnn.damage import damage
from mnist_cnn.evaluate import evaluate, fit_temperature, fit_threshold, raw_logits
from mnist_cnn.model import FLAGSHIP, PRESETS, Config, MnistCNN
from mnist_cnn.nondigits import nondigit_frames
from mnist_cnn.reink import reink_frames
from mnist_cnn.rows import candidate_frames


@dataclass(frozen=True)
class Recipe:
    """How to train, apart from the network and the augmentation."""

    dataset: str = "mnist"  # one of mnist, synthetic (drawn by the program, needs no files)
    drawn_digits: int = 0  # pen-stroke digits, drawn by the program, added to the training frames
    reinked_digits: int = 0  # training digits drawn again from their skeletons, added too
    nondigits: int = 0  # letters, shapes, scribbles and pieces, drawn by the program, added too
    candidates: int = 0  # whole and broken digits, cut out of drawn lines, added too
    nondigit_weight: float = 0.5  # of their loss, beside the digits'
    refused: float = 0.005  # share of the validation digits that may be refused as no digit
    val_size: int = 5000  # training frames held out to watch the run; 0 trains on all of them
    epochs: int = 20  # passes over the training frames
    batch_size: int = 256  # frames in a step
    optimizer: str = "adamw"  # one of adamw, adam, sgd
    lr: float = 3e-3  # highest learning rate
    weight_decay: float = 0.02  # on convolution and fully connected weights only
    schedule: str = "onecycle"  # one of onecycle (Smith and Topin 2018), constant
    label_smoothing: float = 0.05  # in [0, 1)
    grad_clip: float = 1.0  # largest gradient norm; 0 is off
    ema: float = 0.999  # decay of the averaged weights, which are the result; 0 is off
    patience: int = 0  # stop after so many epochs without a better validation accuracy; 0 is off
    warmup: float = 0.15  # share of the steps before the highest learning rate

    def __post_init__(self) -> None:
        choices = {"dataset": data.DATASETS, "optimizer": OPTIMIZERS, "schedule": SCHEDULES}
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ValueError(
                    f"unknown {name} {getattr(self, name)!r}; choose one of {', '.join(allowed)}"
                )
        for name in ("epochs", "batch_size", "lr"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be more than 0, got {getattr(self, name)}")
        at_least_0 = (
            "drawn_digits",
            "reinked_digits",
            "nondigits",
            "candidates",
            "nondigit_weight",
            "val_size",
            "weight_decay",
        )
        for name in (*at_least_0, "grad_clip", "patience"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        for name in ("label_smoothing", "ema", "warmup", "refused"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must lie in [0, 1), got {getattr(self, name)}")
        if self.patience and not self.val_size:
            raise ValueError(
                "patience needs a validation split: set val_size as well, or patience 0"
            )


WORN = 0.3  # share of the drawn ink that is damaged; more would teach what nobody can read
NOT_A_DIGIT = -1  # the label of a frame that no class fits
VALIDATION_SEED = 1_000_003  # apart from the seeds that people pass, so drawings do not repeat

OPTIMIZERS = {
    "adamw": lambda groups, lr: torch.optim.AdamW(groups, lr, betas=(0.9, 0.99)),
    "adam": lambda groups, lr: torch.optim.Adam(groups, lr),
    "sgd": lambda groups, lr: torch.optim.SGD(groups, lr, momentum=0.9, nesterov=True),
}
SCHEDULES = ("onecycle", "constant")

NO_AUGMENTATION = Augmentation(
    p_affine=0, p_elastic=0, p_grid=0, p_brightness=0, p_stroke=0, p_erase=0
)
_PLAIN = Recipe(
    optimizer="adam",
    schedule="constant",
    weight_decay=0,
    label_smoothing=0,
    grad_clip=0,
    ema=0,
)

# A recipe, the network that it trains, and the augmentation that it uses.
RECIPES: dict[str, tuple[Recipe, Config, Augmentation]] = {
    "flagship": (
        Recipe(
            epochs=18, drawn_digits=16_000, reinked_digits=10_000, nondigits=20_000,
            candidates=16_000, val_size=3000,
        ),
        FLAGSHIP,
        Augmentation(),
    ),
    "wide-5x5": (
        dataclasses.replace(_PLAIN, lr=3e-4, batch_size=64),
        PRESETS["wide-5x5"],
        NO_AUGMENTATION,
    ),
    "deep-dropout": (
        dataclasses.replace(
            _PLAIN, optimizer="adamw", lr=0.01, weight_decay=0.01, schedule="onecycle",
            epochs=30, batch_size=64, grad_clip=1.0, warmup=0.3,
        ),
        PRESETS["deep-dropout"],
        Augmentation(p_affine=1, shift=0, scale=0, shear=0, p_stroke=0, p_erase=0),
    ),
    "notebook": (
        dataclasses.replace(_PLAIN, lr=1e-3, epochs=5, batch_size=64),
        PRESETS["notebook"],
        NO_AUGMENTATION,
    ),
    "compact": (
        dataclasses.replace(_PLAIN, lr=1e-3, epochs=10, batch_size=100),
        PRESETS["compact"],
        NO_AUGMENTATION,
    ),
    "sgd": (
        dataclasses.replace(_PLAIN, optimizer="sgd", lr=0.01, epochs=10, batch_size=64),
        PRESETS["sgd"],
        NO_AUGMENTATION,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Run:
    """Everything that decides the result of a run; kept in its report and its checkpoint."""

    name: str
    seed: int
    recipe: Recipe
    config: Config
    augmentation: Augmentation


class Batches(Dataset):
    """Augmented batches, each a pure function of (seed, epoch, step).

    So a resumed run sees what an uninterrupted one saw, epochs differ, and data-loader workers
    cannot repeat each other.
    """

    def __init__(self, frames: Tensor, labels: Tensor, batch_size: int, run: Run) -> None:
        if batch_size > len(frames):
            raise ValueError(
                f"batch_size {batch_size} is larger than the {len(frames)} training frames; "
                "pass a smaller --batch-size"
            )
        self.frames, self.labels = frames.numpy(), labels
        self.batch_size, self.seed = batch_size, run.seed
        self.augmenter = Augmenter(run.augmentation)
        self.steps = len(frames) // batch_size

    def __getitem__(self, key: tuple[int, int]) -> tuple[Tensor, Tensor]:
        epoch, step = key
        order = _permutation(len(self.frames), self.seed, epoch)
        rows = order[step * self.batch_size : (step + 1) * self.batch_size]
        frames = self.augmenter(self.frames[rows], (self.seed, epoch, step))
        return torch.from_numpy(frames), self.labels[rows]

    def keys(self, first_epoch: int, epochs: int) -> Iterator[tuple[int, int]]:
        return ((epoch, step) for epoch in range(first_epoch, epochs) for step in range(self.steps))


@lru_cache(maxsize=2)
def _permutation(n: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.default_rng((seed, epoch)).permutation(n)


def split(run: Run, data_dir: str | Path) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Training and validation frames and labels, both cut from the training set.

    What the program draws is added to the training frames; non-digits have the label -1.
    """
    frames, labels = data.load(run.recipe.dataset, data_dir, train=True)
    if run.recipe.val_size >= len(frames):
        raise ValueError(
            f"val_size {run.recipe.val_size} leaves none of {len(frames)} frames to train on"
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
    """The state of a run: what a checkpoint keeps, and how one epoch changes it."""

    def __init__(self, run: Run, steps: int, device: torch.device, amp: torch.dtype | None) -> None:
        torch.manual_seed(run.seed)
        recipe = run.recipe
        self.run, self.steps, self.device, self.amp = run, steps, device, amp
        self.model = MnistCNN(run.config).to(device)
        self.averaged = AveragedModel(self.model, avg_fn=self._average, use_buffers=True)
        decayed = [p for p in self.model.parameters() if p.ndim > 1]
        others = [p for p in self.model.parameters() if p.ndim <= 1]
        self.optimizer = OPTIMIZERS[recipe.optimizer](
            [
                {"params": decayed, "weight_decay": recipe.weight_decay},
                {"params": others, "weight_decay": 0.0},
            ],
            recipe.lr,
        )
        self.schedule = self._schedule()
        # Only fp16 needs its gradients scaled; a scaler that is off passes everything through.
        self.scaler = torch.amp.GradScaler(device.type, enabled=amp == torch.float16)
        self.epoch = 0
        self.history: list[dict[str, float]] = []

    def _average(self, averaged: Tensor, current: Tensor, count: Tensor) -> Tensor:
        # A short run must not average its random start in: the decay grows to its full value.
        decay = min(self.run.recipe.ema, (1 + int(count)) / (10 + int(count)))
        return averaged + (current - averaged) * (1 - decay)

    def _schedule(self) -> torch.optim.lr_scheduler.LRScheduler:
        recipe = self.run.recipe
        if recipe.schedule == "constant":
            return torch.optim.lr_scheduler.ConstantLR(self.optimizer, factor=1.0)
        return torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer,
            max_lr=recipe.lr,
            total_steps=recipe.epochs * self.steps,
            pct_start=recipe.warmup,
            cycle_momentum=False,
        )

    def result(self) -> MnistCNN:
        """The weights that a run stands for: the averaged ones, unless averaging is off."""
        return self.averaged.module if self.run.recipe.ema else self.model

    def epoch_step(self, batches: Iterator[tuple[Tensor, Tensor]], bar: tqdm) -> dict[str, float]:
        """Train for one epoch; its loss, accuracy and learning rate."""
        # Dropout draws from here on depend on the epoch alone, so a resumed run repeats them.
        torch.manual_seed(self.run.seed * 100_003 + self.epoch)
        self.model.train()
        total_loss, correct, seen = 0.0, 0, 0
        for step in range(self.steps):
            frames, labels = (part.to(self.device, non_blocking=True) for part in next(batches))
            with torch.autocast(self.device.type, self.amp) if self.amp else nullcontext():
                logits = self.model(frames)
            loss = self._loss(logits.float(), labels)
            if not math.isfinite(loss.item()):
                raise FloatingPointError(
                    f"the loss became {loss.item()} in epoch {self.epoch + 1}, step {step + 1}, at "
                    f"learning rate {self._lr():.2g}. Try a lower --lr, --grad-clip 1 or --amp off."
                )
            self._update(loss)
            digits = int((labels != NOT_A_DIGIT).sum())
            total_loss += loss.item() * digits
            correct += int((logits.argmax(1) == labels).sum())
            seen += digits
            bar.update()
            bar.set_postfix(loss=f"{total_loss / seen:.4f}", accuracy=f"{correct / seen:.2%}")
        self.epoch += 1
        return {"loss": total_loss / seen, "accuracy": correct / seen, "lr": self._lr()}

    def _loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy of the digits; non-digits should leave the network undecided.

        The second part is outlier exposure (Hendrycks et al. 2019, arXiv 1812.04606): the
        cross-entropy between the answer and equal shares for all classes.
        """
        recipe = self.run.recipe
        digits = F.cross_entropy(
            logits,
            labels,
            ignore_index=NOT_A_DIGIT,
            label_smoothing=recipe.label_smoothing,
            reduction="sum",
        )
        undecided = -logits[labels == NOT_A_DIGIT].log_softmax(1).mean(1).sum()
        return (digits + recipe.nondigit_weight * undecided) / len(labels)

    def _update(self, loss: Tensor) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()
        if self.run.recipe.grad_clip:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.model.parameters(), self.run.recipe.grad_clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.schedule.step()
        self.averaged.update_parameters(self.model)

    def _lr(self) -> float:
        return self.schedule.get_last_lr()[0]

    def _parts(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "averaged": self.averaged,
            "optimizer": self.optimizer,
            "schedule": self.schedule,
            "scaler": self.scaler,
        }

    def save(self, file: Path) -> None:
        """Write a checkpoint under a temporary name, then rename it over the last one."""
        state: dict[str, Any] = {name: part.state_dict() for name, part in self._parts().items()}
        state |= {"epoch": self.epoch, "history": self.history, "run": dataclasses.asdict(self.run)}
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary = file.with_suffix(".tmp")
        with temporary.open("wb") as stream:
            torch.save(state, stream)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(file)

    def load(self, state: dict[str, Any]) -> None:
        """Take up the state of a checkpoint."""
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        self.epoch, self.history = state["epoch"], state["history"]


def train(
    run: Run,
    out: Path,
    data_dir: str | Path,
    device: torch.device,
    amp: torch.dtype | None,
    workers: int,
    checkpoint: dict[str, Any] | None = None,
) -> MnistCNN:
    """Train from the start or on from a checkpoint; writes checkpoints and, at the end, the run."""
    start, commit = time.perf_counter(), git_commit()
    frames, labels, val_frames, val_labels = split(run, data_dir)
    dataset = Batches(frames, labels, run.recipe.batch_size, run)
    training = Training(run, dataset.steps, device, amp)
    if checkpoint:
        training.load(checkpoint)
    before = sum(record["seconds"] for record in training.history)
    loader = DataLoader(
        dataset,
        batch_size=None,
        sampler=list(dataset.keys(training.epoch, run.recipe.epochs)),
        num_workers=workers,
        prefetch_factor=8 if workers else None,
        pin_memory=device.type == "cuda",
    )
    batches = iter(loader)
    total = run.recipe.epochs * dataset.steps
    with tqdm(
        total=total, initial=training.epoch * dataset.steps, unit="step", disable=None
    ) as bar:
        while training.epoch < run.recipe.epochs and not _is_stuck(training):
            bar.set_description(f"epoch {training.epoch + 1}/{run.recipe.epochs}")
            began = time.perf_counter()
            record = {"epoch": training.epoch + 1, **training.epoch_step(batches, bar)}
            record["seconds"] = time.perf_counter() - began
            if len(val_frames):
                result = evaluate(training.result(), val_frames, val_labels)
                record |= {"val_loss": result.loss, "val_accuracy": result.accuracy}
            training.history.append(record)
            if len(val_frames) and _best_epoch(training) == training.epoch:
                training.result().save_pretrained(out / "checkpoints" / "best")
            training.save(out / "checkpoints" / "last.pt")
            bar.write(_line(record))
    model = training.result().eval()
    if run.recipe.patience and len(val_frames):
        model = MnistCNN.from_pretrained(out / "checkpoints" / "best").to(device)
    if len(val_frames):
        calibrate(model, run, val_frames, val_labels)
    model.report = {
        **dataclasses.asdict(run),
        "config": dataclasses.asdict(model.config),
        "command": command(run),
        "parameters": run.config.parameters(),
        "multiply_adds": run.config.multiply_adds(),
        "training_frames": len(frames),
        "seconds": {
            "epochs": sum(record["seconds"] for record in training.history),
            "total": before + time.perf_counter() - start,
        },
        "precision": str(amp or torch.float32).removeprefix("torch."),
        "machine": machine(device),
        "versions": versions(),
        "git_commit": commit,
        "finished": time.strftime("%Y-%m-%d"),
        "history": training.history,
        "validation": _evaluated(model, val_frames, val_labels),
        # The test set is opened here, once, after the last decision.
        "test": _evaluated(model, *data.load(run.recipe.dataset, data_dir, train=False)),
    }
    write_run(model, out, dataset.augmenter)
    return model


def _best_epoch(training: Training) -> int:
    best = max(training.history, key=lambda record: record["val_accuracy"])
    return int(best["epoch"])


def _is_stuck(training: Training) -> bool:
    patience = training.run.recipe.patience
    return bool(patience and training.history) and (
        training.epoch - _best_epoch(training) >= patience
    )


def _line(record: dict[str, float]) -> str:
    text = (
        f"epoch {record['epoch']:3}  loss {record['loss']:.4f}  accuracy {record['accuracy']:.2%}"
    )
    if "val_accuracy" in record:
        text += f"  val loss {record['val_loss']:.4f}  val accuracy {record['val_accuracy']:.2%}"
    return f"{text}  {record['seconds']:.1f} s"


def _evaluated(model: MnistCNN, frames: Tensor, labels: Tensor) -> dict[str, Any] | None:
    return dataclasses.asdict(evaluate(model, frames, labels)) if len(frames) else None


def write_run(model: MnistCNN, out: Path, augmenter: Augmenter) -> None:
    """Write what a run leaves: weights, report, augmentation, curves and card."""
    model.save_pretrained(out)
    augmenter.save(out / "augmentation.json")
    plots.curves(model.report["history"], out / "curves.png")
    template = Path(__file__).with_name("model_card.md").read_text(encoding="utf-8")
    (out / "README.md").write_text(card.render(template, model.report), encoding="utf-8")


def command(run: Run) -> str:
    """The command line that repeats a run: its recipe, and the flags that differ from it."""
    words = ["python train.py", f"--recipe {run.name}", f"--seed {run.seed}"]
    for mine, usual in zip(
        (run.recipe, run.config, run.augmentation), RECIPES[run.name], strict=True
    ):
        for field in dataclasses.fields(mine):
            value = getattr(mine, field.name)
            if value == getattr(usual, field.name):
                continue
            flag = field.name.replace("_", "-")
            if isinstance(value, bool):
                words.append(f"--{flag}" if value else f"--no-{flag}")
            else:
                text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
                words.append(f"--{flag} {shlex.quote(text)}")
    return " ".join(words)


def machine(device: torch.device) -> dict[str, Any]:
    """The processor, its cores in use, and the device."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = [x for x in cpuinfo.read_text().splitlines() if x.startswith("model name")]
        name = lines[0].split(":", 1)[1].strip() if lines else name
    device_name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return {"processor": name, "threads": torch.get_num_threads(), "device": device_name}


def versions() -> dict[str, str]:
    """Python and the packages that a result may depend on."""
    packages = ("torch", "torchvision", "albumentations", "opencv-python-headless", "numpy")
    return {"python": platform.python_version()} | {name: version(name) for name in packages}


def git_commit() -> str | None:
    """The commit of this checkout, with "+changes" if it is not clean; None outside a checkout."""
    folder = Path(__file__).parent
    try:
        commit, changes = (
            subprocess.run(
                ["git", *command], cwd=folder, check=True, capture_output=True, text=True
            ).stdout.strip()
            for command in (["rev-parse", "HEAD"], ["status", "--porcelain"])
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit + ("+changes" if changes else "")


def pick_device(name: str) -> torch.device:
    """`name`, or for "auto" a GPU if there is one."""
    if name != "auto":
        return torch.device(name)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


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


def parser() -> argparse.ArgumentParser:
    """The command line: every field of recipe, network and augmentation is a flag."""
    result = argparse.ArgumentParser(
        description="Train a digit reader.", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    group = result.add_argument_group("run")
    group.add_argument("--recipe", default="flagship", help=", ".join(RECIPES))
    group.add_argument("--data-dir", default="data", help="where MNIST lies or is downloaded to")
    group.add_argument("--out", type=Path, help="run folder (default: runs/RECIPE-seedN)")
    group.add_argument("--seed", type=int, default=0)
    group.add_argument("--resume", type=Path, metavar="RUN", help="go on with a stopped run")
    group.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps, …")
    group.add_argument("--amp", default="auto", choices=["auto", "bf16", "fp16", "off"])
    group.add_argument("--workers", type=int, default=1, help="processes that augment; 0: none")
    group.add_argument("--push-to-hub", metavar="USER/NAME", help="publish the run when it is done")
    for title, kind in FLAG_GROUPS.items():
        group = result.add_argument_group(title, "defaults come from the recipe")
        for field in dataclasses.fields(kind):
            flag = "--" + field.name.replace("_", "-")
            text = _comments(kind).get(field.name)
            if field.type is bool:
                group.add_argument(flag, action=argparse.BooleanOptionalAction, help=text)
            elif field.name != "version":
                group.add_argument(flag, type=_flag_type(field.type), metavar="X", help=text)
    return result


FLAG_GROUPS = {"recipe": Recipe, "network": Config, "augmentation": Augmentation}


def _comments(kind: type) -> dict[str, str]:
    """The comment beside each field, which is also its help."""
    found = re.findall(r"^    (\w+): .*?  # (.*)$", inspect.getsource(kind), re.MULTILINE)
    return {name: text.replace("%", "%%") for name, text in found}


def _flag_type(kind: Any) -> Callable[[str], Any]:
    if kind in (int, float, str):
        return kind
    item = str if kind == tuple[str, ...] else int

    def comma_separated(text: str) -> tuple:
        return tuple(item(part) for part in text.split(",")) if text else ()

    return comma_separated


def _overridden(base: Any, args: argparse.Namespace) -> Any:
    given = {f.name: getattr(args, f.name, None) for f in dataclasses.fields(base)}
    return dataclasses.replace(base, **{k: v for k, v in given.items() if v is not None})


def _run_of(args: argparse.Namespace) -> Run:
    if args.recipe not in RECIPES:
        raise ValueError(f"unknown recipe {args.recipe!r}; choose one of {', '.join(RECIPES)}")
    parts = (_overridden(base, args) for base in RECIPES[args.recipe])
    return Run(args.recipe, args.seed, *parts)


def _resumed(folder: Path, args: argparse.Namespace) -> tuple[Run, dict[str, Any]]:
    file = folder / "checkpoints" / "last.pt"
    if not file.exists():
        raise ValueError(
            f"nothing to resume: {file} does not exist (it is written after each epoch)"
        )
    state = torch.load(file, weights_only=True)
    kept = state["run"]
    run = Run(
        kept["name"],
        kept["seed"],
        Recipe(**kept["recipe"]),
        Config(**kept["config"]),
        Augmentation(**kept["augmentation"]),
    )
    args.recipe, args.seed = run.name, run.seed
    asked = [_overridden(part, args) for part in (run.recipe, run.config, run.augmentation)]
    if asked != [run.recipe, run.config, run.augmentation]:
        raise ValueError(f"--resume goes on as {folder} began: leave out flags that change it")
    return run, state


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    try:
        return _main(args)
    except (ValueError, OSError, FloatingPointError) as error:
        print(f"train.py: {error}", file=sys.stderr)
        return 1


def _main(args: argparse.Namespace) -> int:
    state = None
    if args.resume:
        out = args.resume
        run, state = _resumed(out, args)
    else:
        run = _run_of(args)
        out = args.out or Path("runs") / f"{run.name}-seed{run.seed}"
        if out.exists() and any(out.iterdir()):
            raise ValueError(f"{out} is not empty: pass another --out, or --resume {out}")
    out.mkdir(parents=True, exist_ok=True)
    device = pick_device(args.device)
    amp = pick_amp(args.amp, device)
    print(f"{run.name}: {run.config.parameters():,} parameters on {device}, {amp or 'float32'}")
    try:
        model = train(run, out, args.data_dir, device, amp, args.workers, state)
    except KeyboardInterrupt:
        print(f"\nstopped. Go on with: python train.py --resume {out}", file=sys.stderr)
        return 130
    test = model.report["test"]
    print(
        f"test accuracy {test['accuracy']:.2%} ({test['errors']} errors in {test['n']:,}) → {out}"
    )
    if args.push_to_hub:
        print(f"published: {hub.push(out, args.push_to_hub)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
