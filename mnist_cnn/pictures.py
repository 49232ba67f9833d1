"""Accuracy on anyone's pictures: a CSV names the files and what is written on them."""

import csv
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from torch import nn

from mnist_cnn.ink import find_ink, frame
from mnist_cnn.predict import predict
from mnist_cnn.read import read

PICTURE_HEIGHT = 280  # pixels of a mistake's picture


@dataclass(frozen=True)
class PictureEvaluation:
    """How a model did on `n` pictures. Rates lie in [0, 1]; None where there was nothing to count.

    A picture is labelled if something is written on it, and a non-digit if its label is empty.
    """

    n: int
    labelled: int
    accuracy: float | None  # of the labelled pictures; a refused one is not right
    refused: int  # labelled pictures without an answer
    wrong: int  # labelled pictures with a wrong answer
    unreadable: int  # files that are no picture; they count as refused
    nondigit_refused: float | None  # share of the non-digits that were refused
    per_class: dict[str, float]  # accuracy by label; by number of digits where rows are read
    seconds: float


@dataclass(frozen=True)
class _Answered:
    """A row of the CSV and what the model made of it."""

    file: Path
    label: str  # what is written; "" if it is no digit
    answer: str  # "" if it was refused
    readable: bool


def evaluate_pictures(
    model: nn.Module, table: Path, several: bool = False, wrong_dir: Path | None = None
) -> PictureEvaluation:
    """Read every picture that a CSV names and compare.

    Args:
        table: a CSV with the columns `file` (relative to it) and `label`: one digit (or another
            class's name), with `several` a string of digits, or nothing for a picture of none.
        several: read rows of digits rather than one digit a picture.
        wrong_dir: where to write a picture of every mistake beside the frame that the network saw.

    Raises:
        ValueError: the CSV cannot be read or lacks a column, or a label is no class.
    """
    start, names = time.perf_counter(), model.config.class_names
    rows = [_answered(model, file, label, several) for file, label in _rows(table, several, names)]
    labelled = [row for row in rows if row.label]
    nondigits = [row for row in rows if not row.label]
    if wrong_dir:
        _write_mistakes([row for row in rows if row.answer != row.label], wrong_dir)
    groups = defaultdict(list)
    for row in labelled:
        groups[str(len(row.label)) if several else row.label].append(row)
    return PictureEvaluation(
        n=len(rows),
        labelled=len(labelled),
        accuracy=_share_right(labelled),
        refused=sum(not row.answer for row in labelled),
        wrong=sum(row.answer not in ("", row.label) for row in labelled),
        unreadable=sum(not row.readable for row in rows),
        nondigit_refused=_share_right(nondigits),
        per_class={name: _share_right(group) for name, group in sorted(groups.items())},
        seconds=time.perf_counter() - start,
    )


def _share_right(rows: list[_Answered]) -> float | None:
    return sum(row.answer == row.label for row in rows) / len(rows) if rows else None


def _rows(table: Path, several: bool, names: tuple[str, ...]) -> Iterator[tuple[Path, str]]:
    try:
        with table.open(newline="", encoding="utf-8-sig") as stream:
            rows = list(csv.DictReader(stream))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"cannot read {table}: {error}") from error
    if not rows or not {"file", "label"} <= rows[0].keys():
        raise ValueError(f"{table} needs a first line `file,label` and at least one row")
    for number, row in enumerate(rows, start=2):
        label = (row["label"] or "").strip()
        if not all(part in names for part in (label if several else [label])) and label:
            kind = "made of" if several else "one (or pass --read) of"
            raise ValueError(
                f"{table}, line {number}: label {label!r} must be {kind} {', '.join(names)}, "
                "or empty"
            )
        yield table.parent / (row["file"] or ""), label


def _answered(model: nn.Module, file: Path, label: str, several: bool) -> _Answered:
    try:
        if several:
            text = read(model, file).text.replace("\n", "")
        else:
            digit = predict(model, file).digit
            text = "" if digit is None else model.config.class_names[digit]
    except ValueError:
        return _Answered(file, label, "", readable=False)
    return _Answered(file, label, text, readable=True)


def _write_mistakes(rows: list[_Answered], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for row in rows:
        if row.readable:
            name = f"{row.label or 'nothing'}-as-{row.answer or 'nothing'}-{row.file.stem}.png"
            cv2.imwrite(str(folder / name), _mistake(find_ink(row.file)))


def _mistake(ink: np.ndarray) -> np.ndarray:
    """The ink that was found, and beside it the frame, `(PICTURE_HEIGHT, …)` uint8."""
    pictures = np.round(ink * 255).astype(np.uint8), frame(ink)
    widths = [max(1, round(p.shape[1] * PICTURE_HEIGHT / p.shape[0])) for p in pictures]
    resized = [
        cv2.resize(picture, (width, PICTURE_HEIGHT), interpolation=cv2.INTER_NEAREST)
        for picture, width in zip(pictures, widths, strict=True)
    ]
    return np.hstack([resized[0], np.full((PICTURE_HEIGHT, 8), 128, np.uint8), resized[1]])
