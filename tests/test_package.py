"""What is declared is what is imported; torch.hub finds the model in a checkout."""

import ast
import re
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import torch

from mnist_cnn import MnistCNN

ROOT = Path(__file__).parents[1]
OF_AN_EXTRA = {"mcp", "tensorboard"}
OF_THE_PLATFORM = {"spaces"}  # ZeroGPU's own


def imported_by(file: Path) -> set[str]:
    """The top-level names that a file imports, also within functions."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names


def test_each_direct_import_is_declared_and_nothing_else():
    files = [*(ROOT / "mnist_cnn").rglob("*.py"), *map(ROOT.joinpath, ("app.py", "train.py"))]
    imported = set().union(*map(imported_by, files)) - sys.stdlib_module_names - {"mnist_cnn"}
    whose = packages_distributions()
    packages = {whose[name][0] for name in imported - OF_AN_EXTRA - OF_THE_PLATFORM}
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    declared = {re.match(r"[\w-]+", line)[0] for line in lines if line[0] != "#"}
    assert {name.lower().replace("_", "-") for name in packages} == {
        name.lower().replace("_", "-") for name in declared
    }


def test_torch_hub_loads_a_checkout(frames):
    model = torch.hub.load(str(ROOT), "mnist_cnn", source="local")
    assert isinstance(model, MnistCNN)
    assert model.predict(frames[40]).digit == 4
