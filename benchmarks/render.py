"""Write the measured numbers into README.md and model_card.md: `python -m benchmarks.render`.

Numbers come from mnist_cnn/weights/report.json and benchmarks/speed.json, nowhere else.
"""

import json
import sys
from pathlib import Path

from mnist_cnn import card
from mnist_cnn.model import BUNDLED

ROOT = Path(__file__).parent.parent


def rendered() -> dict[Path, str]:
    """README and card as they should read."""
    report = json.loads((BUNDLED / "report.json").read_text(encoding="utf-8"))
    speed = json.loads((ROOT / "benchmarks" / "speed.json").read_text(encoding="utf-8"))
    readme, model_card = ROOT / "README.md", ROOT / "model_card.md"
    blocks = {**card.blocks(report), "speed": speed_table(speed)}
    return {
        readme: card.fill(readme.read_text(encoding="utf-8"), blocks),
        model_card: card.render(model_card.read_text(encoding="utf-8"), report),
    }


def speed_table(speed: dict) -> str:
    """`benchmarks/speed.json` as a table."""
    machine = speed["machine"]
    rows = [(row["what"], row["value"], row["against"]) for row in speed["rows"]]
    note = f"Measured on {machine['threads']} threads of {machine['processor']}, {speed['date']}."
    return card.table(("what", "measured", "against"), *rows) + f"\n\n{note}"


def main() -> int:
    for file, text in rendered().items():
        file.write_text(text, encoding="utf-8")
        print(f"wrote {file.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
