"""Write the measured numbers into README.md and model_card.md: `python -m benchmarks.render`.

Numbers come from mnist_cnn/weights/report.json and from speed.json, reading.json and serving.json
of this folder, nowhere else.
"""

import json
import sys
from pathlib import Path

from mnist_cnn import card
from mnist_cnn.model import BUNDLED

ROOT = Path(__file__).parent.parent
SLICES = ("spaced", "touching")


def rendered() -> dict[Path, str]:
    """README and card as they should read."""
    report = json.loads((BUNDLED / "report.json").read_text(encoding="utf-8"))
    speed, reading, serving = (
        json.loads((ROOT / "benchmarks" / f"{name}.json").read_text(encoding="utf-8"))
        for name in ("speed", "reading", "serving")
    )
    readme, model_card = ROOT / "README.md", ROOT / "model_card.md"
    blocks = {
        **card.blocks(report),
        "speed": speed_table(speed),
        "serving": speed_table(serving),
        "reading": reading_table(reading),
        "rows": share_table("rows, every digit right", "read", _named(reading["rows"], SLICES)),
        "nondigits": share_table(
            "not a digit", "refused", _named(reading["nondigits"], ("all kinds",))
        ),
        "corruptions": share_table("MNIST digit with", "read", reading["corruptions"]),
    }
    return {
        readme: card.fill(readme.read_text(encoding="utf-8"), blocks),
        model_card: card.render(card.fill(model_card.read_text(encoding="utf-8"), blocks), report),
    }


def speed_table(speed: dict) -> str:
    """`benchmarks/speed.json` or `serving.json` as a table."""
    machine = speed["machine"]
    rows = [(row["what"], row["value"], row["against"]) for row in speed["rows"]]
    note = f"Measured on {machine['threads']} threads of {machine['processor']}, {speed['date']}."
    return card.table(("what", "measured", "against"), *rows) + f"\n\n{note}"


def reading_table(reading: dict) -> str:
    """Single pictures: what other ways of framing and what ours make of them."""
    rows = [
        (
            name,
            str(ways["ours"]["n"]),
            *(f"{ways[way]['share']:.1%}" for way in ("resized", "boxed", "ours")),
            _range(ways["ours"]),
        )
        for name, ways in reading["pictures"].items()
    ]
    drawn = [
        (f"frames drawn in {name}", str(row["n"]), "", "", f"{row['share']:.1%}", _range(row))
        for name, row in reading["drawn"].items()
    ]
    head = ("pictures", "n", "resized to 28×28", "box and centre of mass", "ours", "95 % interval")
    return card.table(head, *rows, *drawn)


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
