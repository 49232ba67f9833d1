"""Every recipe over several seeds: `python -m benchmarks.recipes [ROW …] [--seeds N]`.

Writes benchmarks/recipes.json, whose other rows it keeps. Runs that are in there are not made again
unless their recipe has changed. Each run is a `train.py` of its own in runs/recipes/ROW-seedN:
finished ones are read, stopped ones resumed, so this can be cut at any time, and go on elsewhere.
The row `classic` is the baseline of `speed`; leave the machine alone while these two run.
"""

import argparse
import dataclasses
import hashlib
import json
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks import classic, reports
from mnist_cnn import data, load_model
from mnist_cnn.data.named import unpacking
from mnist_cnn.reading.evaluation import errors_outside_doubtful, evaluate
from mnist_cnn.training.flags import FROM_THE_DATA, decide, parse

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Row:
    """A recipe, with flags where it is a variant, and what its author promises, or our goal."""

    recipe: str
    flags: tuple[str, ...] = ()
    seeds: int = 3
    claim: str = ""


PARTS = "recipe", "config", "augmentation"
A_LITTLE = (
    "--p-affine",
    "1",
    "--rotate",
    "10",
    "--shift",
    "0.07",
    "--scale",
    "0.1",
    "--shear",
    "5",
)
NO_AUGMENTATION = ("--p-affine", "0", "--p-elastic", "0", "--p-grid", "0", "--p-brightness", "0")
ROWS = {
    "flagship": Row("flagship", seeds=5, claim="goal 99.75 %"),
    "tiny": Row("tiny", seeds=5, claim="goal 99.5 %"),
    "speed": Row("speed", seeds=10, claim="goal 99.0 % in 2 s"),
    "speed-3-epochs": Row(
        "speed", ("--epochs", "3", *A_LITTLE), seeds=10, claim="goal 99.4 % in 20 s"
    ),
    "wide-5x5": Row("wide-5x5", claim="> 98 %"),
    "deep-dropout": Row("deep-dropout", claim="99.2 %"),
    "deep-dropout-plain": Row("deep-dropout", NO_AUGMENTATION, claim="99.2 %"),
    "deep-dropout-quarter-turns": Row("deep-dropout", ("--p-rotate90", "0.5"), seeds=1),
    "notebook": Row("notebook", claim="≈ 96 %"),
    "compact": Row("compact", claim="98 %, training 99 %"),
    "sgd": Row("sgd", claim="high"),
}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("rows", nargs="*", help=f"of {', '.join(ROWS)}, classic, shipped; or all")
    parser.add_argument("--seeds", type=int, help="how many; else what the row says")
    parser.add_argument("--data-dir", default="data")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "recipes")
    args = parser.parse_args()
    names = args.rows or [*ROWS, "classic", "shipped"]
    if unknown := set(names) - {*ROWS, "classic", "shipped"}:
        parser.error(
            f"unknown row {', '.join(unknown)}; choose of {', '.join(ROWS)}, classic, shipped"
        )
    for name in names:
        if name == "classic":
            keep("classic", classic_run(args))
        elif name == "shipped":
            keep("shipped", shipped(args.data_dir))
        else:
            row = ROWS[name]
            for seed in range(args.seeds or row.seeds):
                run = recorded(name, seed) or one_run(name, seed, args)
                print(f"{name} seed {seed}: {run['accuracy']:.2%}, {run['seconds']:.2f} s")
                keep_run(name, run)
    return 0


def flags_of(name: str, seed: int) -> list[str]:
    """What `train.py` is told."""
    return ["--recipe", ROWS[name].recipe, "--seed", str(seed), *ROWS[name].flags]


def asked_of(name: str, seed: int) -> dict[str, dict[str, Any]]:
    """Recipe, config and augmentation of a run as JSON holds them, without what the data gives."""
    wanted = decide(parse(flags_of(name, seed)))
    parts = {part: dataclasses.asdict(getattr(wanted, part)) for part in PARTS}
    return {
        part: {k: v for k, v in json.loads(json.dumps(values)).items() if k not in FROM_THE_DATA}
        for part, values in parts.items()
    }


def digest_of(name: str, seed: int) -> str:
    """What changes when the run would be another one."""
    text = json.dumps(asked_of(name, seed), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def recorded(name: str, seed: int) -> dict[str, Any] | None:
    """The figures of a run that the report holds already."""
    runs = so_far()["rows"].get(name, {}).get("runs", ())
    asked = seed, digest_of(name, seed)
    return next((run for run in runs if (run["seed"], run["digest"]) == asked), None)


def one_run(name: str, seed: int, args: argparse.Namespace) -> dict[str, Any]:
    """The figures of one run, which is made or finished first if need be."""
    row, folder = ROWS[name], args.runs / f"{name}-seed{seed}"
    if not (folder / "report.json").exists():
        begun = (folder / "checkpoints" / "last.pt").exists()
        new = [*flags_of(name, seed), "--out", str(folder)]
        start = ["--resume", str(folder)] if begun else new
        command = [sys.executable, "train.py", *start, "--data-dir", str(args.data_dir)]
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    model = load_model(folder)
    report = model.report
    for part, asked in asked_of(name, seed).items():
        if any(getattr(report, part)[key] != value for key, value in asked.items()):
            raise ValueError(f"{folder} was trained with another {part}: delete it to run again")
    figures = {
        "seed": seed,
        "digest": digest_of(name, seed),
        "accuracy": report.test.accuracy,
        "errors": report.test.errors,
        "errors_outside_doubtful": report.test.errors_outside_doubtful,
        "seconds": report.seconds.epochs,
        "one_frame_ms": one_frame_ms(model),
        "precision": report.precision,
        "machine": dataclasses.asdict(report.machine),
        "versions": report.versions,
        "git_commit": report.git_commit,
        "parameters": report.parameters,
        "multiply_adds": report.multiply_adds,
    }
    if "training" in row.claim:
        figures["training_accuracy"] = evaluate(
            model, *data.load("mnist", args.data_dir, True)
        ).accuracy
    return figures


@torch.inference_mode()
def one_frame_ms(model: torch.nn.Module, times: int = 30) -> float:
    """Median milliseconds of one frame, on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    frame, seconds = torch.zeros(1, 28, 28, dtype=torch.uint8), []
    for _ in range(times):
        start = time.perf_counter()
        model(frame)
        seconds.append(time.perf_counter() - start)
    torch.set_num_threads(threads)
    return 1e3 * statistics.median(seconds)


def classic_run(args: argparse.Namespace) -> dict[str, Any]:
    """Seconds and accuracy of the tutorial's example, epoch by epoch."""
    with unpacking(Path(args.data_dir), "MNIST") as root:
        history = classic.train(root, args.runs / "classic")
    return reports.with_origin({"history": history})


def shipped(data_dir: str) -> dict[str, Any]:
    """The bundled weights on the test set."""
    model = load_model()
    result = evaluate(model, *data.load("mnist", data_dir, train=False))
    return {
        "accuracy": result.accuracy,
        "errors": result.errors,
        "errors_outside_doubtful": errors_outside_doubtful(result),
        "interval": result.interval,
        "n": result.n,
    }


def so_far() -> dict[str, Any]:
    """The report, which has no rows before the first run."""
    try:
        return reports.read("recipes")
    except FileNotFoundError:
        return {"rows": {}}


def keep(name: str, figures: dict[str, Any]) -> None:
    """Put figures into the report, beside what is there."""
    reports.write("recipes", {**so_far(), name: figures})


def keep_run(name: str, run: dict[str, Any]) -> None:
    """Put one seed's figures into its row; a seed that was there before is replaced."""
    rows = so_far()["rows"]
    row = rows.get(name, {"runs": []})
    runs = [other for other in row["runs"] if other["seed"] != run["seed"]] + [run]
    row = {**dataclasses.asdict(ROWS[name]), "runs": sorted(runs, key=lambda each: each["seed"])}
    order = [each for each in ROWS if each in rows or each == name]
    keep("rows", {each: row if each == name else rows[each] for each in order})


if __name__ == "__main__":
    sys.exit(main())
