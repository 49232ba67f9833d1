"""The command line: `mnist-cnn predict | evaluate | push | space | app | train`."""

import dataclasses
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro
from tyro.conf import Positional, arg
from tyro.constructors import PrimitiveConstructorSpec

# What takes seconds to import is imported by the command that needs it: help answers at once.
if TYPE_CHECKING:
    from mnist_cnn.model import MnistCNN
    from mnist_cnn.publish import Push

Model = Annotated[
    str | None,
    arg(metavar="MODEL", help="folder, or Hub repo USER/NAME[@REVISION]; None: bundled weights"),
]
AsJson = Annotated[bool, arg(name="json", help="one JSON value on stdout, for programs")]
Private = Annotated[bool, arg(help="if it is made now")]
# A flag that may name a folder.
DryRun = Annotated[
    Path | bool,
    PrimitiveConstructorSpec(
        nargs=(0, 1),
        metavar="[DIR]",
        instance_from_str=lambda words: Path(words[0]) if words else True,
        is_instance=lambda value: isinstance(value, Path | bool),
        str_from_instance=lambda value: [str(value)],
    ),
    arg(help="only list what would change, or write the Space's files to DIR"),
]


def main(argv: Sequence[str] | None = None) -> int:
    words = list(sys.argv[1:] if argv is None else argv)
    if words == ["--version"]:
        from importlib.metadata import version

        print(f"mnist-cnn {version('mnist-cnn')}")
        return 0
    try:
        if words[:1] in (["app"], ["train"]):
            return COMMANDS[words[0]](*words[1:])  # with flags of their own
        return tyro.extras.subcommand_cli_from_dict(
            COMMANDS,
            prog="mnist-cnn",
            description="Read handwritten digits. `--version` says which release this is.",
            args=words or ["--help"],
            config=(tyro.conf.FlagCreatePairsOff,),
        )
    except (ValueError, OSError) as error:
        return _failed(error)


def _failed(reason: Exception | str) -> int:
    print(f"mnist-cnn: {reason}", file=sys.stderr)
    return 1


# Commands -----------------------------------------------------------------------------------------


def predict(
    files: Annotated[Positional[tuple[str, ...]], arg(metavar="FILE…", help="- is standard input")],
    /,
    read: bool = False,
    model: Model = None,
    as_json: AsJson = False,
) -> int:
    """Read picture files, one digit each.

    Args:
        read: all digits of each picture, line by line
    """
    if not files:
        raise ValueError("predict needs a picture: mnist-cnn predict seven.png")
    from mnist_cnn.ink import find_ink
    from mnist_cnn.model import load_model
    from mnist_cnn.reading import SENTENCES, Prediction, Reading, predict_ink, read_ink

    reader, rows, failed = load_model(model), [], 0
    for file in files:
        try:
            ink = find_ink(sys.stdin.buffer.read() if file == "-" else file)
            answer: Prediction | Reading = (read_ink if read else predict_ink)(reader, ink)
            message = answer.reason and SENTENCES[answer.reason]
            rows.append({"file": file, **answer.to_dict(), "message": message})
        except ValueError as error:
            rows.append({"file": file, "error": str(error)})
            failed = _failed(error)
    if as_json:
        print(json.dumps(rows, indent=2, ensure_ascii=False))
    else:
        for row in rows:
            if "error" not in row:
                print(_line(row))
    return failed


def _line(row: dict[str, Any]) -> str:
    if row["message"]:
        hint = "; --read reads several" if row["reason"] == "not_one_digit" else ""
        return f"{row['file']}: no digit ({row['message']}{hint})"
    if "text" in row:
        # Several lines start below the file's name.
        between = "\n  " if "\n" in row["text"] else " "
        return f"{row['file']}:{between}" + row["text"].replace("\n", between)
    return f"{row['file']}: {row['label']} ({row['confidence']:.1%})"


def evaluate(
    dataset: Annotated[str | None, arg(metavar="NAME")] = None,
    data_dir: Annotated[Path, arg(metavar="DIR")] = Path("data"),
    images: Annotated[Path | None, arg(metavar="CSV")] = None,
    read: bool = False,
    wrong_dir: Annotated[Path | None, arg(metavar="DIR")] = None,
    model: Model = None,
    as_json: AsJson = False,
) -> int:
    """Measure accuracy, on a test set or on your own pictures.

    Args:
        dataset: mnist, fashion-mnist, … or folder:DIR; None: what the weights were trained on
        data_dir: where its files lie or are downloaded to
        images: your pictures instead: a table with the columns file and label
        read: with --images: labels are rows of digits
        wrong_dir: with --images: write a picture of every mistake here
    """
    from mnist_cnn.model import load_model

    reader = load_model(model)
    if images and dataset:
        raise ValueError("--images and --dataset are two things to evaluate on: pass one")
    if not images and (read or wrong_dir):
        raise ValueError("--read and --wrong-dir go with --images")
    if images:
        from mnist_cnn.reading import evaluate_pictures

        result: Any = evaluate_pictures(reader, images, read, wrong_dir)
        lines = _lines_of_pictures(dataclasses.asdict(result))
    else:
        result, lines = _evaluate_dataset(reader, dataset, data_dir)
    if as_json:
        print(json.dumps({"weights": reader.source, **dataclasses.asdict(result)}, indent=2))
        return 0
    for name, value in {"weights": reader.source, **lines}.items():
        print(f"{name:17} {value}")
    return 0


def _evaluate_dataset(
    model: "MnistCNN", dataset: str | None, data_dir: Path
) -> tuple[Any, dict[str, str]]:
    """The result on a test set, and its lines."""
    from mnist_cnn import data
    from mnist_cnn.reading import evaluate

    trained_on = model.report.dataset if model.report else "mnist"
    name = dataset or trained_on
    # A stranger's report must not choose folders to be read.
    if not dataset and trained_on not in data.DATASETS:
        raise ValueError(
            f"these weights were trained on {trained_on!r:.80}, which only you can find: pass "
            f"--dataset folder:DIR, or one of {', '.join(data.DATASETS)}"
        )
    if (classes := data.class_names(name)) != model.config.class_names:
        raise ValueError(
            f"the weights know the classes {', '.join(model.config.class_names)}; {name} has "
            f"{', '.join(classes)}. Pass the --dataset that they were trained on."
        )
    if trained_on in data.DATASETS and trained_on != name and data.warning(trained_on):
        print(f"mnist-cnn: {data.warning(trained_on)}", file=sys.stderr)
    result = evaluate(model, *data.load(name, data_dir, train=False))
    low, high = result.interval
    return result, {
        "test set": data.title(name),
        "accuracy": f"{result.accuracy:.2%} ({result.errors} errors in {result.n:,})",
        "interval": f"{low:.2%} to {high:.2%} (Wilson, 95 %)",
        "ece": f"{result.ece:.2%}",
        "per class": "  ".join(f"{name}: {share:.2%}" for name, share in result.per_class.items()),
        "seconds": f"{result.seconds:.1f}",
    }


def _lines_of_pictures(result: dict[str, Any]) -> dict[str, str]:
    lines = {}
    for name, value in result.items():
        if value is None or value == {}:
            value = "–"  # nothing to count
        elif isinstance(value, dict):
            value = "  ".join(f"{k}: {share:.2%}" for k, share in value.items())
        elif isinstance(value, float):
            value = f"{value:.1f}" if name == "seconds" else f"{value:.2%}"
        lines[name] = str(value)
    return lines


def push(
    run: Annotated[Positional[Path], arg(metavar="RUN", help="folder that training left")],
    repo_id: Annotated[Positional[str], arg(metavar="USER/NAME", help="where to, on the Hub")],
    /,
    private: Private = False,
    revision: Annotated[str | None, arg(metavar="BRANCH")] = None,
    create_pr: bool = False,
    tag: Annotated[str | None, arg(metavar="TAG")] = None,
    dry_run: bool = False,
    force: bool = False,
) -> int:
    """Publish a run folder on the Hub, in one commit.

    Args:
        revision: branch, made from main if needed; None: main
        create_pr: open a pull request instead
        tag: a name for the commit, such as v1
        dry_run: only list what would change
        force: also weights that are worse, or cannot be compared
    """
    from mnist_cnn import publish
    from mnist_cnn.model import load_model

    load_model(run)  # refuses to publish what nobody could load
    done = publish.push(
        run,
        repo_id,
        private=private,
        revision=revision,
        create_pr=create_pr,
        tag=tag,
        dry_run=dry_run,
        force=force,
    )
    return _pushed(done, dry_run)


def space(
    space_id: Annotated[Positional[str], arg(metavar="USER/SPACE", help="its name on the Hub")],
    /,
    model: Annotated[str, arg(metavar="USER/NAME[@REVISION]", help="Hub repo of the weights")],
    private: Private = False,
    zero_gpu: Annotated[bool, arg(help="for ZeroGPU instead of a CPU")] = False,
    dry_run: DryRun = False,
) -> int:
    """Make or update a Space on the Hub that runs the app."""
    from mnist_cnn.publish import space

    if isinstance(dry_run, Path):
        print(f"wrote {space.write(dry_run, model, zero_gpu=zero_gpu)}")
        return 0
    done = space.push(space_id, model, private=private, zero_gpu=zero_gpu, dry_run=dry_run)
    return _pushed(done, dry_run)


def _pushed(done: "Push", dry_run: bool) -> int:
    print(done)
    if dry_run:
        print("nothing was sent (--dry-run)")
    else:
        print(f"published: {done.url}" if done.url else "nothing changed: no commit")
    return 0


def app(*arguments: str) -> int:
    """Serve the sketchpad, and the interfaces for programs; `mnist-cnn app --help`."""
    from mnist_cnn.web import main

    return main(list(arguments))


def train(*arguments: str) -> int:
    """Train a network; `mnist-cnn train --help`."""
    from mnist_cnn.training import main

    return main(list(arguments), "mnist-cnn train")


COMMANDS: dict[str, Callable[..., int]] = {
    command.__name__: command for command in (predict, evaluate, push, space, app, train)
}


if __name__ == "__main__":
    sys.exit(main())
