"""What the benchmarks leave: `benchmarks/NAME.json`, from which README and card are rendered."""

import json
import time
from pathlib import Path
from typing import Any

import torch

from mnist_cnn.run.provenance import machine, versions

FOLDER = Path(__file__).parent


def read(name: str) -> dict[str, Any]:
    """A report as it was written last.

    Raises:
        FileNotFoundError: there is none yet.
    """
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def write(name: str, report: dict[str, Any]) -> None:
    """Put a report in the place of the last one, which stays whole if that fails."""
    file = FOLDER / f"{name}.json"
    temporary = file.with_suffix(".tmp")
    temporary.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    temporary.replace(file)


def with_origin(figures: dict[str, Any]) -> dict[str, Any]:
    """Figures with the machine, the packages and the day that they are from."""
    origin = {"machine": machine(torch.device("cpu")), "versions": versions()}
    return {**figures, **origin, "date": time.strftime("%Y-%m-%d")}
