"""Write measured numbers and the list of modules into the documents: `python -m benchmarks.render`.

Numbers come from mnist_cnn/weights/report.json and from the reports in benchmarks/ (speed, reading,
fonts, recipes, serving and commands), nowhere else; a module's line is the first of its docstring.
"""

import ast
import statistics
import sys
from pathlib import Path

from benchmarks import reports
from benchmarks.recipes import ROWS
from mnist_cnn import load_model
from mnist_cnn.report import Evaluation
from mnist_cnn.run import card

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "mnist_cnn"
PAGES = ("README.md", "CONTRIBUTING.md", "docs/architecture.md", "docs/results.md", "docs/app.md")
SLICES = ("spaced", "touching")


def rendered() -> dict[Path, str]:
    """Every document that has a block to fill, as it should read."""
    report = load_model().report
    names = ("speed", "reading", "fonts", "recipes", "serving", "commands")
    speed, reading, fonts, recipes, serving, commands = map(reports.read, names)
    blocks = {
        **card.blocks(card.render(report)),
        "headline": headline(report.test, recipes, reading, fonts, speed),
        "modules": modules(),
        "commands": measured_table(commands),
        "tests": tests_take(commands),
        "speed": measured_table(speed),
        "recipes": recipes_table(recipes),
        "serving": measured_table(serving),
        "reading": reading_table(reading),
        "rows": share_table("rows, every digit right", "read", _named(reading["rows"], SLICES)),
        "nondigits": share_table(
            "not a digit", "refused", _named(reading["nondigits"], ("all kinds",))
        ),
        "changed": share_table("sketches", "read", reading["changed"]),
        "corruptions": share_table("MNIST digit with", "read", reading["corruptions"]),
        "mnist_refused": _mnist_refused(reading["mnist_refused"]),
        "fonts": _fonts_table(fonts),
    }
    pages = {ROOT / name: (ROOT / name).read_text(encoding="utf-8") for name in PAGES}
    return {page: card.fill(text, blocks) for page, text in pages.items()} | {
        card.BUNDLED_CARD: card.render(report, beyond=beyond_mnist(blocks), pictures="../weights/"),
    }


def beyond_mnist(blocks: dict[str, str]) -> str:
    """The part of the card that `benchmarks/reading.json` gives."""
    return (
        "Pictures made by the program, beside the same network on what most demos feed it. Real "
        f"photos are harder.\n\n{blocks['reading']}\n\nThe share of non-digits that is refused; "
        f'"other" kinds are never drawn in training:\n\n{blocks["nondigits"]}\n\nMNIST test '
        "digits, spoiled in 15 ways in the manner of MNIST-C (Mu and Gilmer 2019):\n\n"
        f"{blocks['corruptions']}"
    )


def headline(test: Evaluation, recipes: dict, reading: dict, fonts: dict, speed: dict) -> str:
    """The few numbers that matter most: one for each thing that the network is made for."""
    seeds = [run["accuracy"] for run in recipes["rows"]["flagship"]["runs"]]
    spread = f"{statistics.mean(seeds):.2%} ± {100 * statistics.stdev(seeds):.2f}"
    pictures, rows = reading["pictures"], reading["rows"]
    photo, sketch = pictures["camera photo"], pictures["plain sketch"]["ours"]
    spaced, touching = rows["drawn spaced photo"], rows["drawn touching photo"]
    refused, milliseconds = fonts["signs"], _value(speed, "`predict` of a 400×400 sketch")
    return card.table(
        ("what", "measured", "n"),
        ("MNIST test images read", f"**{test.accuracy:.2%}**", f"{test.n:,}"),
        ("the same recipe with other seeds, mean ± sd", spread, f"{len(seeds)} runs"),
        ("drawn sketches read", f"{sketch['share']:.1%}", str(sketch["n"])),
        (
            "camera photos of one digit read",
            f"{photo['ours']['share']:.1%}; resized to 28×28: {photo['resized']['share']:.1%}",
            str(photo["ours"]["n"]),
        ),
        ("rows of digits in a photo, all right", f"{spaced['share']:.1%}", str(spaced["n"])),
        ("the same where digits touch", f"{touching['share']:.1%}", str(touching["n"])),
        ("letters and signs of fonts refused", f"{refused['share']:.1%}", f"{refused['n']:,}"),
        ("time for a sketch, picture to answer", milliseconds, ""),
    )


def _value(report: dict, what: str) -> str:
    return next((row["value"] for row in report["rows"] if row["what"] == what), "not measured yet")


def modules() -> str:
    """Every module with the first line of its docstring, room by room."""
    rows = []
    for file in sorted(PACKAGE.rglob("*.py"), key=lambda file: (file.parent, file.stem)):
        said = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
        line = " ".join(said.partition("\n\n")[0].split()).replace("|", "\\|")
        path = file.relative_to(PACKAGE)
        room = path.name == "__init__.py"
        name = f"**`{path.parent.as_posix()}/`**" if room else f"`{path.as_posix()}`"
        if file.parent == PACKAGE and room:
            name = "**`mnist_cnn`**"
        rows.append((f"[{name}](../mnist_cnn/{path.as_posix()})", line))
    return card.table(("module", "what it holds"), *rows)


def tests_take(commands: dict) -> str:
    """How long the tests take, in a sentence."""
    return f"Time on {_machine(commands)}: {_value(commands, '`pytest -n 2`')}."


def measured_table(report: dict) -> str:
    """A report with rows of "what", "value" and "against" as a table."""
    rows = [(row["what"], row["value"], row["against"]) for row in report["rows"]]
    table = card.table(("what", "measured", "against"), *rows)
    return f"{table}\n\nMeasured on {_machine(report)}, {report['date']}."


def _machine(report: dict) -> str:
    return f"{report['machine']['threads']} threads of {report['machine']['processor']}"


def recipes_table(recipes: dict) -> str:
    """`benchmarks/recipes.json` as a table, and what it says about the shipped weights."""
    head = ("recipe", "test accuracy, mean ± sd", "runs", "errors", "their own claim, our goal")
    head += ("training", "one frame", "parameters", "multiply-adds")
    rows = [_recipe_row(name, row) for name, row in recipes["rows"].items()]
    machines = {_processor(run) for row in recipes["rows"].values() for run in row["runs"]}
    notes = [f"Trained on {'; '.join(sorted(machines))}."] if machines else []
    notes += _variants(recipes["rows"])
    if missing := _missing(recipes):
        notes.append(f"Still to be measured: {missing}.")
    if "classic" in recipes and "speed" in recipes["rows"]:
        notes.append(_against_classic(recipes))
    if "shipped" in recipes:
        notes.append(_shipped(recipes["shipped"]))
    return card.table(head, *rows) + "\n\n" + "\n\n".join(notes)


def _variants(rows: dict) -> list[str]:
    """Which flags make the rows that are no recipes, and what quarter turns cost."""
    lines = [
        f"- `{name}` is `--recipe {ROWS[name].recipe} {' '.join(ROWS[name].flags)}`."
        for name in rows
        if name in ROWS and ROWS[name].flags
    ]
    if {"deep-dropout", "deep-dropout-quarter-turns"} <= set(rows):
        usual, turned = (
            statistics.mean(run["accuracy"] for run in rows[name]["runs"])
            for name in ("deep-dropout", "deep-dropout-quarter-turns")
        )
        lines.append(
            f"- Random quarter turns, as one of the projects has them, cost "
            f"{100 * (usual - turned):.2f} points."
        )
    return ["\n".join(lines)] if lines else []


def _missing(recipes: dict) -> str:
    """Which rows lack runs, and how many of how many they have."""
    found = {name: len(row["runs"]) for name, row in recipes["rows"].items()}
    lacking = [
        f"`{name}` ({found.get(name, 0)} of {row.seeds} runs)"
        for name, row in ROWS.items()
        if found.get(name, 0) < row.seeds
    ]
    return ", ".join(lacking + ([] if "classic" in recipes else ["`classic`"]))


def _shipped(shipped: dict) -> str:
    (low, high), outside = shipped["interval"], shipped["errors_outside_doubtful"]
    return (
        f"The bundled weights: {shipped['accuracy']:.2%} ({shipped['errors']} errors, 95 % "
        f"interval {low:.2%} to {high:.2%}). {outside} of the errors are outside the 15 test "
        "labels that people did not uphold."
    )


def _recipe_row(name: str, row: dict) -> tuple[str, ...]:
    runs = row["runs"]
    accuracies = [run["accuracy"] for run in runs]
    accuracy = f"**{statistics.mean(accuracies):.3%}**"  # two digits would round a miss to a goal
    if len(runs) > 1:
        accuracy += f" ± {100 * statistics.stdev(accuracies):.3f}"
    trained = [run["training_accuracy"] for run in runs if "training_accuracy" in run]
    if trained:
        accuracy += f" (training {statistics.mean(trained):.2%})"
    return (
        f"`{name}`",
        accuracy,
        str(len(runs)),
        f"{statistics.mean(run['errors'] for run in runs):.1f}",
        row["claim"] or "–",
        _time(runs),
        f"{min(run['one_frame_ms'] for run in runs):.1f} ms",
        f"{runs[0]['parameters']:,}",
        f"{runs[0]['multiply_adds']:,}",
    )


def _against_classic(recipes: dict) -> str:
    """How many times faster `speed` is than the tutorial's example."""
    runs, history = recipes["rows"]["speed"]["runs"], recipes["classic"]["history"]
    seconds = statistics.mean(run["seconds"] for run in runs)
    total, last = sum(epoch["seconds"] for epoch in history), history[-1]["accuracy"]
    text = (
        f"The tutorials' example takes {_duration(total)} for {len(history)} epochs on the same "
        f"machine and reaches {last:.2%}: `speed` is {total / seconds:,.0f} times faster (goal 500)"
    )
    passed = [number for number, epoch in enumerate(history, 1) if epoch["accuracy"] >= 0.99]
    if passed:
        until = sum(epoch["seconds"] for epoch in history[: passed[0]])
        text += (
            f", and {until / seconds:,.0f} times faster (goal 150) than the example's first epoch "
            f"that ends at 99 % or more (epoch {passed[0]})"
        )
    return text + "."


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 120 else f"{seconds:.2g} s"


def _processor(run: dict) -> str:
    machine = run["machine"]
    return machine["processor"] if machine["device"] == "cpu" else machine["device"]


def _time(runs: list[dict]) -> str:
    """What a run takes, the median: some were paused, or shared the machine.

    On a CPU by those with most threads.
    """
    on_cpu = [run for run in runs if run["machine"]["device"] == "cpu"]
    if not on_cpu:
        return _duration(statistics.median(run["seconds"] for run in runs))
    threads = max(run["machine"]["threads"] for run in on_cpu)
    timed = [run["seconds"] for run in on_cpu if run["machine"]["threads"] == threads]
    which = f" ({len(timed)} of the runs)" if len(timed) < len(runs) else ""
    plural = "s" if threads > 1 else ""
    return f"{_duration(statistics.median(timed))}, {threads} thread{plural}{which}"


def reading_table(reading: dict) -> str:
    """Single pictures: what other ways of framing and what ours make of them."""
    rows = [
        (
            name,
            str(ways["ours"]["n"]),
            *(f"{ways[way]['share']:.1%}" for way in ("resized", "boxed", "before", "ours")),
            _range(ways["ours"]),
        )
        for name, ways in reading["pictures"].items()
    ]
    drawn = [
        (f"frames drawn in {name}", str(row["n"]), "", "", "", f"{row['share']:.1%}", _range(row))
        for name, row in reading["drawn"].items()
    ]
    head = ("pictures", "n", "resized to 28×28", "box and centre of mass", "before", "ours")
    return card.table((*head, "95 % interval"), *rows, *drawn)


def _mnist_refused(row: dict) -> str:
    return (
        f"Of the {row['n']:,} MNIST test digits, {row['share']:.2%} are refused "
        f"({_range(row)}); the accuracy above counts their likeliest digit all the same."
    )


def _fonts_table(fonts: dict) -> str:
    parts = {
        "digits, read": fonts["digits"],
        "rows of five digits, every digit read": fonts["rows"],
        "letters and other signs, refused": fonts["signs"],
    }
    return share_table(f"of {fonts['fonts']} fonts", "share", parts)


def _named(shares: dict, words: tuple[str, ...]) -> dict:
    """Those whose name has one of the words; benchmarks/reading.json holds the others."""
    return {name: each for name, each in shares.items() if any(word in name for word in words)}


def share_table(what: str, measure: str, shares: dict) -> str:
    """One share a row."""
    rows = [(name, str(s["n"]), f"{s['share']:.1%}", _range(s)) for name, s in shares.items()]
    return card.table((what, "n", measure, "95 % interval"), *rows)


def _range(share: dict) -> str:
    low, high = share["interval"]
    return f"{low:.1%} to {high:.1%}"


def main() -> int:
    for file, text in rendered().items():
        file.write_text(text, encoding="utf-8")
        print(f"wrote {file.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
