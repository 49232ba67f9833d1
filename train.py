"""Train a network: `python train.py [--recipe NAME] [--dataset NAME] [--data-dir DIR] [--out DIR]`.

Several processes or GPUs: `accelerate launch train.py …`. A run folder holds what a Hub repo holds
(config.json, model.safetensors, report.json, augmentation.json, README.md, pictures and
report.html), and checkpoints/ to resume from.
"""

import argparse
import dataclasses
import inspect
import os
import pickle
import re
import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.tracking import get_available_trackers
from accelerate.utils import LoggerType
from accelerate.utils.memory import should_reduce_batch_size
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm import tqdm

from mnist_cnn import data, publish
from mnist_cnn.config import Config
from mnist_cnn.data import Augmentation
from mnist_cnn.data.drawn import candidate_frames, damage, nondigit_frames, reink_frames, strokes
from mnist_cnn.model import MnistCNN, load_model
from mnist_cnn.reading import (
    errors_outside_doubtful,
    evaluate,
    fit_temperature,
    fit_threshold,
    raw_logits,
)
from mnist_cnn.report import Before, Epoch, Evaluation, Machine, Report, Seconds
from mnist_cnn.run import folder as run_folder
from mnist_cnn.run import git_commit, machine, versions
from mnist_cnn.training import ADDED, NOT_A_DIGIT, RECIPES, Batches, Engine, Recipe, Run, Training

LEFT_AT_START = {"checkpoints", "tracking"}  # in a run folder, before the first step
SAVE_SECONDS = 30  # between checkpoints within an epoch: what a killed run loses at most
WORN = 0.3  # share of the drawn ink that is damaged; more would teach what nobody can read
VALIDATION_DRAWN = 2000  # drawn digits to fit a threshold on where none are held out
VALIDATION_SEED = 1_000_003  # apart from the seeds that people pass, so drawings do not repeat


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
    total = kept_frames + run.recipe.added_seen
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
    """Fit temperature and refusal threshold on validation digits.

    Without them the temperature stays, and the threshold is fitted on drawn digits.
    """
    if len(frames):
        logits = raw_logits(model, frames)
        temperature = fit_temperature(logits, labels)
        model.config = dataclasses.replace(model.config, temperature=temperature)
    elif run.recipe.nondigits:
        seed = run.seed + VALIDATION_SEED
        drawn, _ = strokes.draw_frames(VALIDATION_DRAWN, seed, change=worn)
        logits = raw_logits(model, torch.from_numpy(drawn))
    if run.recipe.nondigits:
        threshold = fit_threshold(logits, run.recipe.refused)
        model.config = dataclasses.replace(model.config, threshold=threshold)


class Stopped(BaseException):
    """Ctrl-C or SIGTERM came: no error, so only `main` catches it; it holds the signal's number."""


@contextmanager
def _stopped_by_sigterm() -> Iterator[None]:
    """Outside the steps SIGTERM ends the program as Ctrl-C does, with a word on how to go on."""

    def stop(number: int, _: Any) -> None:
        raise Stopped(number)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class Interruption:
    """Notes SIGINT and SIGTERM, so that a step is never cut; a second one ends the process."""

    signal: int | None = None  # which of them came

    def __enter__(self) -> None:
        self._before = {
            number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)
        }

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
    last, digest = _checkpoint(out), data.digest(frames, labels)
    frames, labels, val_frames, val_labels = split(run, frames, labels)
    share = (accelerator.process_index, accelerator.num_processes)
    added = (recipe.added, recipe.added_seen)
    dataset = Batches(frames, labels, recipe.batch_size, run, share, added)
    training = Training(run, dataset.steps, engine)
    if checkpoint:
        training.load(checkpoint)
    elif recipe.init_from:
        training.start_from(_weights(recipe.init_from))
    if commit not in training.commits[-1:]:
        training.commits.append(commit)
    before = sum(record["seconds"] for record in training.history) + training.sums["seconds"]

    def save() -> None:
        if accelerator.is_main_process:
            training.save(last, digest)

    def asked_to_stop() -> bool:
        if interruption.signal:
            accelerator.set_trigger()
        return accelerator.check_trigger()  # set in any process

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
    interruption = Interruption()
    with interruption, _bar(training, accelerator) as bar:
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
                if asked_to_stop():
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
            if asked_to_stop():
                raise Stopped(interruption.signal or signal.SIGTERM)
            saved = clock = time.perf_counter()
    accelerator.wait_for_everyone()  # the best weights are written by one process
    model = training.result().eval()
    if recipe.patience:
        model = MnistCNN.from_pretrained(out / "checkpoints" / "best").to(accelerator.device)
    calibrate(model, run, val_frames, val_labels)
    return model, {
        "git_commit": ", then ".join(filter(None, training.commits)) or None,
        "training_frames": len(frames),
        "seconds": Seconds(
            epochs=sum(record["seconds"] for record in training.history),
            total=before + time.perf_counter() - start,
        ),
        "history": tuple(Epoch(**record) for record in training.history),
        "validation": evaluate(model, val_frames, val_labels) if len(val_frames) else None,
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


def _weights(source: str) -> MnistCNN:
    return load_model(None if source == "bundled" else source)


def command(run: Run, amp: torch.dtype | None, processes: int = 1) -> str:
    """The command line that repeats a run: its recipe, and the flags that differ from it.

    Precision is always named: what `--amp auto` takes depends on the machine.
    """
    words = [_program(processes), f"--recipe {run.name}", f"--seed {run.seed}"]
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
    words.append(f"--amp {AMP_NAMES[str(amp)]}")
    return " ".join(words)


def _program(processes: int) -> str:
    if processes == 1:
        return "python train.py"
    # accelerate's word for several processes, on CPUs, too
    return f"accelerate launch --multi_gpu --num_processes {processes} train.py"


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
    launched = int(os.environ.get("WORLD_SIZE", 1))
    if launched != accelerator.num_processes:
        raise ValueError(
            f"{launched} processes were launched, but each would train by itself on "
            f"{accelerator.device.type}: pass --device cpu, or launch one"
        )
    workers = args.workers
    if workers is None:  # frames that are not augmented are made at once
        workers = int(bool(run.augmentation.compose().transforms))
    return Engine(accelerator, pick_amp(args.amp, accelerator.device), workers)


def _pick_device(name: str) -> str:
    """The kind of a device; of several GPUs, the one that was named becomes the current one."""
    if name == "auto":  # without a GPU, processes must be told so, or each would train by itself
        return name if torch.accelerator.is_available() else "cpu"
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
        return AMPS[name]
    if device.type == "cuda":
        new = torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if new else torch.float16
    if device.type == "cpu":
        can = torch.cpu.get_capabilities()
        return torch.bfloat16 if can.get("avx512_bf16") or can.get("amx_bf16") else None
    return None


AMPS = {"bf16": torch.bfloat16, "fp16": torch.float16, "off": None}
AMP_NAMES = {str(dtype): name for name, dtype in AMPS.items()}
FLAG_GROUPS = {"recipe": Recipe, "network": Config, "augmentation": Augmentation}
# What the data, or the validation digits after training, decide about a network.
FROM_THE_DATA = ("class_names", "mean", "std", "temperature", "threshold", "version")


def parser() -> argparse.ArgumentParser:
    """The command line: every field of recipe, network and augmentation is a flag."""
    result = argparse.ArgumentParser(
        description="Train a network.", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    group = result.add_argument_group("run")
    group.add_argument("--recipe", metavar="NAME", help=f"{', '.join(RECIPES)} (flagship)")
    group.add_argument("--data-dir", default="data", help="where data lies or is downloaded to")
    group.add_argument("--out", type=Path, help="run folder (default: runs/RECIPE-seedN)")
    group.add_argument("--seed", type=int, metavar="N", help="decides everything (0)")
    group.add_argument("--resume", type=Path, metavar="RUN", help="go on with a stopped run")
    group.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")
    group.add_argument("--amp", default="auto", choices=["auto", *AMPS])
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
    kind = getattr(kind, "__origin__", kind)  # of a type that is annotated with its limits
    if kind in (int, float, str):
        return kind

    def comma_separated(text: str) -> tuple[int, ...]:
        try:
            return tuple(int(part) for part in text.split(",")) if text else ()
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{text!r} is no list such as 16,32") from error

    return comma_separated


def _given(kind: type, args: argparse.Namespace) -> dict[str, Any]:
    """The fields of a dataclass that the command line sets."""
    values = {field.name: getattr(args, field.name, None) for field in dataclasses.fields(kind)}
    return {name: value for name, value in values.items() if value is not None}


def run_of(args: argparse.Namespace) -> Run:
    name, seed = args.recipe or "flagship", args.seed or 0
    if name not in RECIPES:
        raise ValueError(f"unknown recipe {name!r}; choose one of {', '.join(RECIPES)}")
    if not 0 <= seed < 2**63:
        raise ValueError(f"--seed must lie in [0, 2^63), got {seed}")
    if args.workers is not None and args.workers < 0:
        raise ValueError(f"--workers must not be negative, got {args.workers}")
    recipe, config, augmentation = RECIPES[name]
    recipe = dataclasses.replace(recipe, **_given(Recipe, args))
    augmentation = dataclasses.replace(augmentation, **_given(Augmentation, args))
    if recipe.init_from:
        if given := _given(Config, args):
            flags = ", ".join(map(_flag, given))
            raise ValueError(f"{flags} cannot go with --init-from, which brings its network")
        config = _weights(recipe.init_from).config
    else:
        config = dataclasses.replace(config, **_given(Config, args))
    names = data.class_names(recipe.dataset)
    if names != data.DIGITS:
        if asked := [_flag(name) for name in ADDED if getattr(args, name)]:
            raise ValueError(
                f"{', '.join(asked)} cannot go with --dataset {recipe.dataset}: only digits are "
                "drawn, and its classes are others"
            )
        recipe = dataclasses.replace(recipe, **dict.fromkeys(ADDED, 0), added_share=1.0)
    _refuse_idle(args, recipe, augmentation)
    if names != config.class_names:  # what was fitted for other classes tells nothing here
        config = dataclasses.replace(config, class_names=names, temperature=1.0, threshold=0.0)
    return Run(name, seed, recipe, config, augmentation)


def _refuse_idle(args: argparse.Namespace, recipe: Recipe, augmentation: Augmentation) -> None:
    """Refuse flags that another setting switches off, unless they ask for what is usual."""
    usual = {f.name: f.default for kind in (Recipe, Augmentation) for f in dataclasses.fields(kind)}
    off = (
        (("beta1", "beta2"), recipe.optimizer == "sgd", "--optimizer sgd"),
        (("warmup",), recipe.schedule == "constant", "--schedule constant"),
        (("added_share",), not recipe.added, "no added frames"),
        (("nondigit_weight",), not recipe.nondigits + recipe.candidates, "no added non-digits"),
        (("refused",), not recipe.nondigits, "--nondigits 0"),
        (("rotate", "shift", "scale", "shear"), not augmentation.p_affine, "--p-affine 0"),
    )
    for names, is_off, because in off:
        given = [_flag(name) for name in names if getattr(args, name) not in (None, usual[name])]
        if is_off and given:
            raise ValueError(
                f"{', '.join(given)} does nothing with {because}: leave one of them out"
            )


def _resumed(folder: Path, args: argparse.Namespace) -> tuple[Run, dict[str, Any]]:
    file = _checkpoint(folder)
    if (folder / "report.json").exists():
        raise ValueError(
            f"{folder} is finished: pass --init-from {folder} to train its weights on, or publish "
            f"them with python -m mnist_cnn push {folder} USER/NAME"
        )
    if not file.exists():
        raise ValueError(f"nothing to resume: {file} does not exist (it is written as steps begin)")
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)  # from any device
        kept = state["run"]
        run = Run(
            kept["name"],
            kept["seed"],
            Recipe(**kept["recipe"]),
            Config(**kept["config"]),
            Augmentation(**kept["augmentation"]),
        )
        amp, _ = AMP_NAMES[state["amp"]], state["commits"]
    except (RuntimeError, EOFError, LookupError, TypeError, pickle.UnpicklingError) as error:
        raise ValueError(
            f"{file} is damaged, or no checkpoint of this version of train.py: "
            f"{type(error).__name__}: {error}"
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
            ("out", folder, args.out),
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
        with _stopped_by_sigterm():
            return _main(args)
    except (ValueError, OSError, FloatingPointError) as error:
        return _failed(str(error))
    except (RuntimeError, MemoryError) as error:
        killed = re.search(r"DataLoader worker .* (is killed|exited unexpectedly)", str(error))
        if not (killed or isinstance(error, MemoryError) or should_reduce_batch_size(error)):
            raise
        return _failed("out of memory: pass a smaller --batch-size (or --workers 0)")
    except (Stopped, KeyboardInterrupt) as stopped:
        again = f"--resume {args.resume} goes on" if args.resume else "there is nothing to resume"
        return _failed(f"stopped before the first step; {again}", _code(stopped))


def _code(stopped: BaseException) -> int:
    """The exit status of a program that a signal ended, as shells report it."""
    return 128 + (stopped.args or (signal.SIGINT,))[0]


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
        if out.exists() and not _is_unused(out):
            raise ValueError(f"{out} is not empty: pass another --out, or --resume {out}")
        out.mkdir(parents=True, exist_ok=True)
    with accelerator.local_main_process_first():  # which downloads the data, if need be
        frames, labels = data.load(dataset, args.data_dir, True, run.recipe.skip_unreadable)
    if accelerator.is_main_process:
        # Read now, so that a bad file stops nothing later; looked at once, after the last decision.
        test = data.load(dataset, args.data_dir, False, run.recipe.skip_unreadable)
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
        if accelerator.is_main_process:
            _finish(model, run, trained, engine, out, test, frames)
            if args.push_to_hub:
                push(out, args.push_to_hub)
    except (Stopped, KeyboardInterrupt) as stopped:
        if not _checkpoint(out).exists():
            raise
        if not accelerator.is_main_process:
            return _code(stopped)
        again = _resume_command(args, out, accelerator)
        return _failed(f"stopped, and saved. Go on with: {again}", _code(stopped))
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
    if run.recipe.init_from:
        print(f"network and weights are those of {run.recipe.init_from}")
    if run.recipe.added:
        print(f"making {run.recipe.added:,} more frames first")
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
    if run.recipe.dataset == "mnist":
        count = errors_outside_doubtful(result)
        result = dataclasses.replace(result, errors_outside_doubtful=count)
    model.report = Report(
        name=run.name,
        seed=run.seed,
        recipe=dataclasses.asdict(run.recipe),
        config=dataclasses.asdict(model.config),
        augmentation=dataclasses.asdict(run.augmentation),
        command=command(run, engine.amp, engine.accelerator.num_processes),
        parameters=run.config.parameters(),
        multiply_adds=run.config.multiply_adds(),
        **trained,
        precision=str(engine.amp or torch.float32).removeprefix("torch."),
        processes=engine.accelerator.num_processes,
        machine=Machine(**machine(engine.accelerator.device)),
        versions=versions(),
        finished=time.strftime("%Y-%m-%d"),
        test=result,
        before=_before(run, model, test),
    )
    run_folder.write(model, run, out, test, frames)
    print(f"test accuracy {result.accuracy:.2%} ({result.errors} errors in {result.n:,}) → {out}")


def _before(run: Run, model: MnistCNN, test: tuple[Tensor, Tensor]) -> Before | None:
    """How the weights that fine-tuning began with do on the same test set."""
    if not run.recipe.init_from:
        return None
    try:
        weights = _weights(run.recipe.init_from)
    except (ValueError, OSError) as error:  # hours have passed; the new weights are whole
        print(f"train.py: no comparison with the weights before: {error}", file=sys.stderr)
        return None
    if weights.config.class_names != model.config.class_names:
        return None
    return Before(weights=weights.source, test=evaluate(weights, *test))


def _is_unused(out: Path) -> bool:
    """Whether a folder holds no more than a run leaves that was stopped before its first step."""
    return not (_checkpoint(out).exists() or {f.name for f in out.iterdir()} - LEFT_AT_START)


def _checkpoint(out: Path) -> Path:
    return out / "checkpoints" / "last.pt"


def _resume_command(args: argparse.Namespace, out: Path, accelerator: Accelerator) -> str:
    words = [_program(accelerator.num_processes), "--resume", shlex.quote(str(out))]
    for name in ("data_dir", "device", "workers", "track", "push_to_hub"):
        value = getattr(args, name)
        if value != parser().get_default(name):
            for each in value if isinstance(value, list) else [value]:
                words += [_flag(name), shlex.quote(str(each))]
    return " ".join(words)


if __name__ == "__main__":
    sys.exit(main())
