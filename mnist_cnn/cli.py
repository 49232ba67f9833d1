"""The command line: `python -m mnist_cnn predict | evaluate | push | space`."""

import argparse
import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

from mnist_cnn import data, publish
from mnist_cnn.model import MnistCNN, load_model
from mnist_cnn.publish import space
from mnist_cnn.reading import evaluate, evaluate_pictures

MODEL_HELP = "folder, or Hub repo USER/NAME[@REVISION] (default: the bundled weights)"


def parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(prog="python -m mnist_cnn", description="Read digits.")
    commands = result.add_subparsers(dest="command", required=True)

    command = commands.add_parser("predict", help="read picture files, one digit each")
    command.add_argument("files", nargs="+", metavar="FILE")
    command.add_argument("--read", action="store_true", help="read all digits of each picture")
    command.add_argument("--model", help=MODEL_HELP)
    command.add_argument("--json", action="store_true", help="one JSON list on stdout")
    command.set_defaults(run=_predict)

    command = commands.add_parser("evaluate", help="accuracy on a test set or on pictures")
    command.add_argument(
        "--dataset", help="name or folder:DIR (default: what they were trained on)"
    )
    command.add_argument("--data-dir", default="data", help="where MNIST lies or is downloaded to")
    command.add_argument("--images", type=Path, metavar="CSV", help="pictures: columns file, label")
    command.add_argument("--read", action="store_true", help="labels are rows of digits")
    command.add_argument("--wrong-dir", type=Path, help="write a picture of every mistake here")
    command.add_argument("--model", help=MODEL_HELP)
    command.add_argument("--json", action="store_true", help="one JSON object on stdout")
    command.set_defaults(run=_evaluate)

    command = commands.add_parser("push", help="publish a run folder on the Hub, in one commit")
    command.add_argument("folder", metavar="RUN")
    command.add_argument("repo_id", metavar="USER/NAME")
    command.add_argument("--private", action="store_true", help="if the repo is made now")
    command.add_argument("--revision", metavar="BRANCH", help="made from main if needed")
    command.add_argument("--create-pr", action="store_true", help="open a pull request instead")
    command.add_argument("--tag", help="a name for the commit, such as v1")
    command.add_argument("--dry-run", action="store_true", help="only list what would change")
    command.add_argument("--force", action="store_true", help="also weights that are worse")
    command.set_defaults(run=_push)

    command = commands.add_parser("space", help="create or update a Space that runs the app")
    command.add_argument("space_id", metavar="USER/SPACE")
    command.add_argument("--model", required=True, help="Hub repo USER/NAME[@REVISION]")
    command.add_argument("--private", action="store_true", help="if the Space is made now")
    command.add_argument("--zero-gpu", action="store_true", help="for ZeroGPU instead of a CPU")
    command.add_argument(
        "--dry-run",
        nargs="?",
        const="",
        metavar="DIR",
        help="only list what would change, or write the Space's files to DIR",
    )
    command.set_defaults(run=_space)
    return result


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    try:
        return args.run(args)
    except (ValueError, OSError) as error:
        print(f"mnist_cnn: {error}", file=sys.stderr)
        return 1


def _predict(args: argparse.Namespace) -> int:
    model = load_model(args.model)
    rows, failed = [], False
    for file in args.files:
        try:
            answer = model.read(file) if args.read else model.predict(file)
            rows.append({"file": file, **answer.to_dict()})
        except ValueError as error:
            failed = True
            rows.append({"file": file, "error": str(error)})
            print(f"mnist_cnn: {error}", file=sys.stderr)
    if args.json:
        print(json.dumps(rows, indent=2, ensure_ascii=False))
    else:
        for row in rows:
            if "error" not in row:
                print(_line(row, model.config.class_names))
    return int(failed)


def _line(row: dict[str, Any], class_names: tuple[str, ...]) -> str:
    if row["reason"] is not None:
        return f"{row['file']}: no digit ({row['reason']})"
    if "text" in row:
        # Several lines start below the file's name.
        between = "\n  " if "\n" in row["text"] else " "
        return f"{row['file']}:{between}" + row["text"].replace("\n", between)
    return f"{row['file']}: {class_names[row['digit']]} ({row['confidence']:.1%})"


def _evaluate(args: argparse.Namespace) -> int:
    model = load_model(args.model)
    if args.images and args.dataset:
        raise ValueError("--images and --dataset are two things to evaluate on: pass one")
    if args.images:
        return _evaluate_pictures(args, model)
    if args.read or args.wrong_dir:
        raise ValueError("--read and --wrong-dir go with --images")
    name = args.dataset or _trained_on(model)
    if (classes := data.class_names(name)) != model.config.class_names:
        raise ValueError(
            f"the weights know the classes {', '.join(model.config.class_names)}; {name} has "
            f"{', '.join(classes)}. Pass the --dataset that they were trained on."
        )
    trained_on = model.report.get("recipe", {}).get("dataset")
    if trained_on in data.DATASETS and trained_on != name and data.warning(trained_on):
        print(f"mnist_cnn: {data.warning(trained_on)}", file=sys.stderr)
    result = evaluate(model, *data.load(name, args.data_dir, train=False))
    if args.json:
        print(json.dumps({"weights": model.source, **dataclasses.asdict(result)}, indent=2))
        return 0
    low, high = result.interval
    print(f"weights   {model.source}")
    print(f"test set  {data.title(name)}")
    print(f"accuracy  {result.accuracy:.2%} ({result.errors} errors in {result.n:,})")
    print(f"interval  {low:.2%} to {high:.2%} (Wilson, 95 %)")
    print(f"ece       {result.ece:.2%}")
    print("per class " + "  ".join(f"{k}: {v:.2%}" for k, v in result.per_class.items()))
    print(f"seconds   {result.seconds:.1f}")
    return 0


def _trained_on(model: MnistCNN) -> str:
    """The data set that the report names; a stranger's must not choose folders to be read."""
    name = model.report.get("recipe", {}).get("dataset", "mnist")
    if name not in data.DATASETS:
        raise ValueError(
            f"these weights were trained on {name!r:.80}, which only you can find: pass --dataset "
            f"folder:DIR, or one of {', '.join(data.DATASETS)}"
        )
    return name


def _evaluate_pictures(args: argparse.Namespace, model: MnistCNN) -> int:
    result = evaluate_pictures(model, args.images, args.read, args.wrong_dir)
    if args.json:
        print(json.dumps({"weights": model.source, **dataclasses.asdict(result)}, indent=2))
        return 0
    print(f"{'weights':17} {model.source}")
    for name, value in dataclasses.asdict(result).items():
        if value is None or value == {}:
            value = "–"  # nothing to count
        elif isinstance(value, dict):
            value = "  ".join(f"{k}: {share:.2%}" for k, share in value.items())
        elif isinstance(value, float):
            value = f"{value:.1f}" if name == "seconds" else f"{value:.2%}"
        print(f"{name:17} {value}")
    return 0


def _push(args: argparse.Namespace) -> int:
    load_model(args.folder)  # refuses to publish what nobody could load
    done = publish.push(
        args.folder,
        args.repo_id,
        private=args.private,
        revision=args.revision,
        create_pr=args.create_pr,
        tag=args.tag,
        dry_run=args.dry_run,
        force=args.force,
    )
    return _pushed(done, args.dry_run)


def _pushed(done: publish.Push, dry_run: bool) -> int:
    print(done)
    if dry_run:
        print("nothing was sent (--dry-run)")
    else:
        print(f"published: {done.url}" if done.url else "nothing changed: no commit")
    return 0


def _space(args: argparse.Namespace) -> int:
    if args.dry_run:
        print(f"wrote {space.write(args.dry_run, args.model, zero_gpu=args.zero_gpu)}")
        return 0
    dry_run = args.dry_run is not None
    wish = {"private": args.private, "zero_gpu": args.zero_gpu, "dry_run": dry_run}
    return _pushed(space.push(args.space_id, args.model, **wish), dry_run)
