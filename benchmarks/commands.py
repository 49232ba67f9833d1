"""How long the commands of a day's work take: `python -m benchmarks.commands [WORD …]`.

Writes benchmarks/commands.json, from which README and CONTRIBUTING are rendered. With words, only
the commands that hold one of them are measured again. MNIST must lie in $MNIST_DATA_DIR, or in
data/. Leave the machine alone while it runs.
"""

import os
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import reports

ROOT = Path(__file__).parent.parent
DATA = os.environ.get("MNIST_DATA_DIR", "data")

# What is typed, and what it is for. `RUN` is a new folder.
COMMANDS = {
    "pytest -n 2": "all tests, in two processes",
    "ruff check .": "style",
    "mypy": "types",
    "python -m benchmarks.answers": "whether any answer to the stored pictures changed",
    "python -m benchmarks.render": "the figures into the documents",
    "python train.py --recipe speed --data-dir DIR --out RUN": "a network for MNIST",
    "python train.py --recipe notebook --dataset synthetic --out RUN": "a network without MNIST",
}


def measured(command: str, purpose: str) -> dict[str, Any]:
    """A row of the report.

    Raises:
        subprocess.CalledProcessError: the command failed, so that its time means nothing.
    """
    with tempfile.TemporaryDirectory() as folder:
        words = shlex.split(command.replace("DIR", DATA).replace("RUN", f"{folder}/run"))
        words = words[1:] if words[0] == "python" else ["-m", *words]
        start = time.perf_counter()
        subprocess.run([sys.executable, *words], cwd=ROOT, check=True)
        seconds = time.perf_counter() - start
    return {
        "what": f"`{command}`",
        "value": in_words(seconds),
        "against": purpose,
        "seconds": seconds,
    }


def in_words(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"


def main() -> int:
    try:
        rows = {row["what"]: row for row in reports.read("commands")["rows"]}
    except FileNotFoundError:
        rows = {}
    wanted = [c for c in COMMANDS if not sys.argv[1:] or any(w in c for w in sys.argv[1:])]
    for command in wanted:
        rows[f"`{command}`"] = measured(command, COMMANDS[command])
        kept = [rows[f"`{c}`"] for c in COMMANDS if f"`{c}`" in rows]
        reports.write("commands", reports.with_origin({"rows": kept}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
