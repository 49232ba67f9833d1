"""The state of a run, the batches that it sees, and its loss; the loop over them is in `loop`."""

import math
from collections.abc import Callable
from contextlib import nullcontext
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from accelerate.utils import broadcast_object_list
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import Dataset

from mnist_cnn.data import Augmenter
from mnist_cnn.model import MnistCNN, load_model
from mnist_cnn.report import Evaluation
from mnist_cnn.training.engine import Engine
from mnist_cnn.training.mixture import NOT_A_DIGIT
from mnist_cnn.training.recipes import Recipe, Run


class Batches(Dataset):
    """Augmented batches, each a pure function of (seed, epoch, step).

    So a resumed run sees what an uninterrupted one saw, epochs differ, and data-loader workers
    cannot repeat each other. Of several training processes each makes whole batches and takes its
    share, so their number does not change what is trained on.
    """

    def __init__(
        self, run: Run, frames: Tensor, labels: Tensor, share: tuple[int, int] = (0, 1)
    ) -> None:
        """The frames end with the recipe's added ones; `share` is (which process, of how many)."""
        self.batch_size, processes = run.recipe.batch_size, share[1]
        if self.batch_size % processes:
            raise ValueError(
                f"batch_size {self.batch_size} cannot be shared by {processes} processes: "
                f"pass a multiple of {processes}"
            )
        if run.config.batch_norm and self.batch_size == processes:
            raise ValueError(
                "batch norm needs two frames or more in each process: pass a larger --batch-size"
            )
        self.frames, self.labels = frames.numpy(), labels
        self.seed, self.share = run.seed, share
        self.augmenter = Augmenter(run.augmentation)
        real, seen = len(frames) - run.recipe.added, run.recipe.added_seen
        self.parts = real, run.recipe.added, seen
        self.steps = (real + seen) // self.batch_size

    def __getitem__(self, key: tuple[int, int]) -> tuple[Tensor, Tensor]:
        epoch, step = key
        order = _order(*self.parts, self.seed, epoch)
        rows = order[step * self.batch_size : (step + 1) * self.batch_size]
        frames = self.augmenter(self.frames[rows], (self.seed, epoch, step))
        process, processes = self.share
        return torch.from_numpy(frames[process::processes]), self.labels[rows[process::processes]]

    def keys(self, epochs: int, start: tuple[int, int] = (0, 0)) -> list[tuple[int, int]]:
        """All (epoch, step) from `start` on."""
        keys = [(epoch, step) for epoch in range(start[0], epochs) for step in range(self.steps)]
        return keys[start[1] :]


@lru_cache(maxsize=2)
def _order(real: int, added: int, taken: int, seed: int, epoch: int) -> np.ndarray:
    """The frames of an epoch: all real ones, and some of the added ones behind them."""
    rng = np.random.default_rng((seed, epoch))
    chosen = real + rng.permutation(added)[:taken]
    return rng.permutation(np.concatenate([np.arange(real), chosen]))


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
        self.history: list[dict[str, Any]] = []
        self.commits: list[str | None] = []  # that trained it: two, if resumed

    def _average(self, averaged: Tensor, current: Tensor, count: Tensor | int) -> Tensor:
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
        result = self.averaged.module if self.run.recipe.ema else self.model
        assert isinstance(result, MnistCNN)
        return result

    def update(self, frames: Tensor, labels: Tensor) -> None:
        """One step on a batch, or on this process's share of it."""
        device, amp = self.accelerator.device, self.engine.amp
        frames, labels = (part.to(device, non_blocking=True) for part in (frames, labels))
        # What dropout draws depends on the step alone, so a resumed run draws the same.
        place = (self.run.seed, self.epoch, self.step, self.accelerator.process_index)
        _seed(device, int(np.random.SeedSequence(place).generate_state(1)[0]))
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
                f"at {self._remedy()}"
            )

    def lr(self) -> float:
        return float(self.schedule.get_last_lr()[0])

    def measures(self) -> dict[str, float]:
        """Loss, accuracy and seconds of this epoch so far, on this process's share."""
        seen = max(1, self.sums["seen"])
        return {
            "frames": int(self.sums["seen"]),  # that show a digit
            "loss": self.sums["loss"] / seen,
            "accuracy": self.sums["correct"] / seen,
            "seconds": self.sums["seconds"],
        }

    def end_epoch(self, validation: Callable[[], Evaluation | None]) -> dict[str, Any]:
        """Close the epoch; its record, the same in all processes."""
        shares = torch.tensor(list(self.sums.values()), device=self.accelerator.device)
        whole = self.accelerator.reduce(shares, "sum").tolist()
        self.sums = dict(zip(self.sums, whole, strict=True))
        self.sums["seconds"] /= self.accelerator.num_processes
        record: dict[str, Any] = {"epoch": self.epoch + 1, **self.measures(), "lr": self.lr()}
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

    def refuse_infinite_weights(self) -> None:
        if not all(value.isfinite().all() for value in self.model.parameters()):
            raise FloatingPointError(
                f"the weights became infinite in epoch {self.epoch + 1}, step {self.step}, at "
                f"{self._remedy()}"
            )

    def _remedy(self) -> str:
        return (
            f"learning rate {self.lr():.2g}. Start anew, in another --out, "
            "with a lower --lr, --grad-clip 1 or --amp off."
        )

    def state(self) -> dict[str, Any]:
        """What `load` takes up."""
        parts = {name: part.state_dict() for name, part in self._parts().items()}
        return parts | {name: getattr(self, name) for name in _PROGRESS}

    def load(self, state: dict[str, Any]) -> None:
        """Take up what `state` gave."""
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        for name in _PROGRESS:
            setattr(self, name, state[name])


def _seed(device: torch.device, number: int) -> None:
    """Seed what a step draws; `torch.manual_seed` also queues it, each time, for idle devices."""
    torch.default_generator.manual_seed(number)
    if device.type != "cpu":
        torch.get_device_module(device).manual_seed(number)


_PROGRESS = ("epoch", "step", "sums", "history", "commits")


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
    if recipe.warmup * recipe.epochs * steps == 1:  # PyTorch divides by the steps after the first
        raise ValueError(
            f"warmup {recipe.warmup} of {recipe.epochs * steps} steps is a single one: "
            "pass another --warmup, or more --epochs"
        )
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


def weights_of(init_from: str) -> MnistCNN:
    """The weights that a recipe starts from."""
    return load_model(None if init_from == "bundled" else init_from)
