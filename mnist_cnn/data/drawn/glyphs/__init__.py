"""The ways to write digits, letters and shapes, as data."""

import tomllib
from functools import cache
from pathlib import Path
from typing import Any

__all__ = ["read_glyphs"]


@cache
def read_glyphs(name: str) -> dict[str, Any]:
    """What `digits`, `letters`, `shapes` or `printed` holds; the file says what it means."""
    return tomllib.loads((Path(__file__).parent / f"{name}.toml").read_text(encoding="utf-8"))
