"""One call of the trainer: from flags to a finished run folder."""

import dataclasses
import shlex
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mnist_cnn import data, publish
from mnist_cnn.model import MnistCNN
from mnist_cnn.reading import errors_outside_doubtful, evaluate
from mnist_cnn.report import Before, Epoch, Machine, Report, Seconds
from mnist_cnn.run import folder as run_folder
from mnist_cnn.run import machine, versions
from mnist_cnn.training import checkpoint
from mnist_cnn.training.engine import AMP_NAMES, Engine, start_engine
from mnist_cnn.training.flags import Flags, decide, go_on, repeat, text_of
from mnist_cnn.training.loop import Trained, train
from mnist_cnn.training.recipes import Run
from mnist_cnn.training.signals import Stopped
from mnist_cnn.training.state import weights_of


def run_session(flags: Flags, program: str) -> int:
    """Train, evaluate, write the run folder and publish it; the exit status.

    Args:
        flags: what to do.
        program: how the trainer was called, for the commands that are printed.
    """
    if flags.push_to_hub:
        publish.check_login(flags.push_to_hub)
    begun = checkpoint.read(flags.resume) if flags.resume else None
    run = begun.run if begun else decide(flags)
    folder = flags.resume or flags.out or Path("runs") / f"{run.name}-seed{run.seed}"
    workers = flags.workers
    if workers is None:  # frames that are not augmented are made at once
        workers = int(bool(run.augmentation.compose().transforms))
    engine = start_engine(flags.device, flags.amp, workers, flags.track, folder)
    if engine.accelerator.num_processes > 1:  # accelerate's word for several, on CPUs, too
        processes = engine.accelerator.num_processes
        program = f"accelerate launch --multi_gpu --num_processes {processes} train.py"
    if engine.accelerator.is_main_process and not begun:
        if folder.exists() and not checkpoint.is_unused(folder):
            raise ValueError(f"{folder} is not empty: pass another --out, or --resume {folder}")
        folder.mkdir(parents=True, exist_ok=True)
    run, training_set, test_set = _load(flags, run, begun, engine)
    if engine.accelerator.is_main_process:
        _announce(run, engine)
    engine.accelerator.init_trackers("tracking", _flat(run))
    try:
        trained = train(run, *training_set, folder, engine, begun.state if begun else None)
        if engine.accelerator.is_main_process:
            _finish(trained, run, engine, program, folder, test_set, training_set[0])
            if flags.push_to_hub:
                push(folder, flags.push_to_hub)
    except Stopped as stopped:
        if not checkpoint.last_of(folder).exists():
            raise
        if engine.accelerator.is_main_process:
            again = go_on(flags, folder, program)
            print(f"train.py: stopped, and saved. Go on with: {again}", file=sys.stderr)
        return stopped.code
    engine.accelerator.end_training()
    return 0


def _load(
    flags: Flags, run: Run, begun: checkpoint.Checkpoint | None, engine: Engine
) -> tuple[Run, tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """The run with what its data decides, the training set, and for one process the test set."""
    recipe = run.recipe
    with engine.accelerator.local_main_process_first():  # which downloads the data, if need be
        frames, labels = data.load(recipe.dataset, flags.data_dir, True, recipe.skip_unreadable)
    test_set = frames[:0], labels[:0]
    if engine.accelerator.is_main_process:
        # Read now, so that a bad file stops nothing later; looked at once, after the last decision.
        test_set = data.load(recipe.dataset, flags.data_dir, False, recipe.skip_unreadable)
    if begun and begun.data != data.digest(frames, labels):
        raise ValueError(f"the training data is not what {flags.resume} began with")
    if not begun:
        mean, std = data.statistics(frames)
        run = dataclasses.replace(run, config=dataclasses.replace(run.config, mean=mean, std=std))
    return run, (frames, labels), test_set


def push(folder: Path, repo_id: str) -> None:
    """Publish a finished run; if that fails, the run is whole and can be pushed by itself."""
    try:
        done = publish.push(folder, repo_id)
    except (ValueError, OSError) as error:
        again = f"python -m mnist_cnn push {shlex.quote(str(folder))} {repo_id}"
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
    return {k: text_of(v) if isinstance(v, tuple) else v for k, v in values.items()}


def _finish(
    trained: Trained,
    run: Run,
    engine: Engine,
    program: str,
    folder: Path,
    test_set: tuple[Tensor, Tensor],
    frames: Tensor,
) -> None:
    """Evaluate on the test set and write what a run leaves."""
    result, model = evaluate(trained.model, *test_set), trained.model
    if run.recipe.dataset == "mnist":
        count = errors_outside_doubtful(result)
        result = dataclasses.replace(result, errors_outside_doubtful=count)
    model.report = Report(
        name=run.name,
        seed=run.seed,
        recipe=dataclasses.asdict(run.recipe),
        config=dataclasses.asdict(model.config),
        augmentation=dataclasses.asdict(run.augmentation),
        command=repeat(run, AMP_NAMES[str(engine.amp)], program),
        parameters=run.config.parameters(),
        multiply_adds=run.config.multiply_adds(),
        git_commit=", then ".join(filter(None, trained.commits)) or None,
        training_frames=trained.frames,
        seconds=Seconds(
            epochs=sum(record["seconds"] for record in trained.history), total=trained.seconds
        ),
        history=tuple(Epoch(**record) for record in trained.history),
        validation=trained.validation,
        precision=str(engine.amp or torch.float32).removeprefix("torch."),
        processes=engine.accelerator.num_processes,
        machine=Machine(**machine(engine.accelerator.device)),
        versions=versions(),
        finished=time.strftime("%Y-%m-%d"),
        test=result,
        before=_before(run, model, test_set),
    )
    run_folder.write(model, folder, test_set, frames)
    print(
        f"test accuracy {result.accuracy:.2%} ({result.errors} errors in {result.n:,}) → {folder}"
    )


def _before(run: Run, model: MnistCNN, test_set: tuple[Tensor, Tensor]) -> Before | None:
    """How the weights that fine-tuning began with do on the same test set."""
    if not run.recipe.init_from:
        return None
    try:
        weights = weights_of(run.recipe.init_from)
    except (ValueError, OSError) as error:  # hours have passed; the new weights are whole
        print(f"train.py: no comparison with the weights before: {error}", file=sys.stderr)
        return None
    if weights.config.class_names != model.config.class_names:
        return None
    return Before(weights=weights.source, test=evaluate(weights, *test_set))
