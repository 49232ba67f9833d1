"""Frozen dataclasses whose fields are checked, by pydantic, with our sentence about a wrong one."""

import functools
import reprlib
from collections.abc import Callable
from typing import Any, Literal, TypeVar, dataclass_transform

from pydantic import ConfigDict, ValidationError
from pydantic.dataclasses import dataclass

T = TypeVar("T")


@dataclass_transform(frozen_default=True, kw_only_default=True)
def checked(unknown: Literal["forbid", "ignore"] = "forbid") -> Callable[[type[T]], type[T]]:
    """A frozen dataclass that raises `ValueError` where a value is not what its field says.

    Nothing is converted but whole numbers to floats. A `ValueError` of the class's own
    `__post_init__` comes through as it is.

    Args:
        unknown: what happens to values that no field has the name of.
    """
    config = ConfigDict(strict=True, extra=unknown, allow_inf_nan=False)

    def decorate(cls: type[T]) -> type[T]:
        made: Any = dataclass(frozen=True, kw_only=True, config=config)(cls)
        init = made.__init__

        @functools.wraps(init)
        def __init__(self: T, *args: Any, **values: Any) -> None:  # noqa: N807
            try:
                init(self, *args, **values)
            except ValidationError as error:
                raise ValueError(sentence(error)) from None

        made.__init__ = __init__
        result: type[T] = made
        return result

    return decorate


def sentence(error: ValidationError) -> str:
    """What is wrong, in one sentence: the first field, what it needs, and what came."""
    wrong = error.errors(include_url=False)[0]
    if "error" in wrong.get("ctx", {}) and wrong["type"] == "value_error":
        return str(wrong["ctx"]["error"])
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in wrong["loc"])
    name = "".join(parts).removeprefix(".") or "what is read"
    if wrong["type"] == "missing":
        return f"{name} is missing"
    if wrong["type"] == "unexpected_keyword_argument":
        return f"{name} is not known"
    if wrong["type"] == "json_invalid":
        return f"not valid JSON: {wrong['ctx']['error']}"
    _, _, needed = wrong["msg"].partition(" should ")  # "Input should be a valid integer"
    needed = needed.replace("less than or equal to", "at most").replace(" after validation", "")
    needed = needed.replace("greater than or equal to", "at least")
    return f"{name} must {needed}, got {reprlib.repr(wrong['input'])}"
