"""Accuracy on anyone's pictures: a CSV names the files and what is written on them."""

import csv
import logging
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from mnist_cnn.ink import find_ink, open_picture
from mnist_cnn.network import Network
from mnist_cnn.reading.lattice import read_ink
from mnist_cnn.reading.prediction import predict_ink

logger = logging.getLogger(__name__)
HEIGHT = 280  # pixels of a mistake's picture
MOST_NAMED = 20  # characters of a label or an answer in a picture's name


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
    unreadable: int  # files that are no picture; those with a label count as refused
    nondigit_refused: float | None  # share of the readable non-digits that were refused
    per_class: dict[str, float]  # accuracy by label; by number of digits where several are read
    seconds: float


@dataclass(frozen=True)
class _Entry:
    """What the CSV says of one picture."""

    number: int  # of its line of text, counted from 1
    file: Path
    label: str  # what is written; "" if it is no digit


@dataclass(frozen=True)
class _Answered:
    """An entry of the CSV and what the model made of it."""

    entry: _Entry
    answer: str  # "" if it was refused
    is_picture: bool

    @property
    def is_right(self) -> bool:
        return self.answer == self.entry.label


def evaluate_pictures(
    model: Network, table: Path, several: bool = False, wrong_dir: Path | None = None
) -> PictureEvaluation:
    """Read every picture that a CSV names and compare.

    Args:
        table: a CSV, also with semicolons or tabs, with the columns `file` (relative to it) and
            `label`: one digit (or another class's name), with `several` a string of digits, in
            which spaces and new lines do not count, or nothing for a picture of none.
        several: read all digits of each picture rather than one.
        wrong_dir: where to write every mistake: the picture, the ink that was found, and the
            frames that the network saw, beside each other.

    Raises:
        ValueError: the CSV cannot be read, lacks a column or a file's name, or a label is no class;
            nothing is read then.
    """
    start, names = time.perf_counter(), model.config.class_names
    entries = list(_entries(table, several, names))
    if wrong_dir:
        wrong_dir.mkdir(parents=True, exist_ok=True)
    answers = [_answered(model, entry, several, wrong_dir) for entry in entries]
    labelled = [each for each in answers if each.entry.label]
    groups = defaultdict(list)
    for each in labelled:
        groups[str(len(each.entry.label)) if several else each.entry.label].append(each)
    return PictureEvaluation(
        n=len(answers),
        labelled=len(labelled),
        accuracy=_share_right(labelled),
        refused=sum(not each.answer for each in labelled),
        wrong=sum(bool(each.answer) and not each.is_right for each in labelled),
        unreadable=sum(not each.is_picture for each in answers),
        nondigit_refused=_share_right(
            [each for each in answers if not each.entry.label and each.is_picture]
        ),
        per_class={
            name: sum(each.is_right for each in group) / len(group)
            for name, group in sorted(groups.items())
        },
        seconds=time.perf_counter() - start,
    )


def _share_right(answers: list[_Answered]) -> float | None:
    return sum(each.is_right for each in answers) / len(answers) if answers else None


def _entries(table: Path, several: bool, names: tuple[str, ...]) -> Iterator[_Entry]:
    for line, cells in _cells(table):
        file, label = ((cells[name] or "").strip() for name in ("file", "label"))
        if not file or cells["label"] is None:
            missing = "label (empty for no digit)" if file else "file"
            raise ValueError(f"{table}, line {line}: there is no {missing}")
        if several:
            label = "".join(label.split())
        if not all(part in names for part in (label if several else [label])) and label:
            kind = "made of" if several else "one (or pass --read) of"
            raise ValueError(
                f"{table}, line {line}: label {label!r:.80} must be {kind} {', '.join(names)}, "
                "or empty"
            )
        yield _Entry(line, table.parent / file, label)


def _cells(table: Path) -> Iterator[tuple[int, dict[str, str | None]]]:
    """The lines that are not empty, with their numbers; names of columns in small letters."""
    try:
        with table.open(newline="", encoding="utf-8-sig") as stream:
            lines = enumerate(stream, start=1)
            before, header = next((each for each in lines if each[1].strip()), (0, ""))
            comma = max(",;\t", key=header.count)
            columns = [name.strip().lower() for name in next(csv.reader([header], delimiter=comma))]
            reader = csv.DictReader(stream, columns, delimiter=comma)
            rows = [(before + reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error, StopIteration) as error:
        raise ValueError(f"cannot read {table}: {error}") from error
    rows = [
        (line, row)
        for line, row in rows
        if any(isinstance(cell, str) and cell.strip() for cell in row.values())
    ]
    if not rows or not {"file", "label"} <= set(columns):
        raise ValueError(f"{table} needs a first line `file,label` and at least one row")
    yield from rows


def _answered(model: Network, entry: _Entry, several: bool, wrong_dir: Path | None) -> _Answered:
    try:
        picture = open_picture(entry.file)
        ink = find_ink(picture)
    except ValueError as error:
        logger.warning("%s", error)
        return _Answered(entry, "", is_picture=False)
    if several:
        reading = read_ink(model, ink)
        text = reading.text.replace("\n", "")
        frames = [digit.frame for digit in reading.digits]
    else:
        prediction = predict_ink(model, ink)
        text, frames = prediction.label or "", [prediction.frame]
    answered = _Answered(entry, text, is_picture=True)
    if wrong_dir and not answered.is_right:
        levels = np.round(ink.levels * 255).astype(np.uint8)
        greys = [Image.fromarray(grey) for grey in (levels, *frames)]
        _beside_each_other([picture, *greys]).save(wrong_dir / _name(answered))
    return answered


def _name(mistake: _Answered) -> str:
    """The name of a mistake's picture."""
    entry = mistake.entry
    label, answer = (text[:MOST_NAMED] or "nothing" for text in (entry.label, mistake.answer))
    return f"{entry.number}-{label}-as-{answer}-{entry.file.stem}.png".replace("/", "_")


def _beside_each_other(pictures: list[Image.Image]) -> Image.Image:
    """Pictures `HEIGHT` high, with grey bars between them and under transparent ones."""
    bar = 8  # pixels
    widths = [max(1, round(each.width * HEIGHT / each.height)) for each in pictures]
    whole = Image.new("RGB", (sum(widths) + bar * (len(widths) - 1), HEIGHT), "grey")
    left = 0
    for each, width in zip(pictures, widths, strict=True):
        way = Image.Resampling.BOX if each.height > HEIGHT else Image.Resampling.NEAREST
        if each.mode[0] in "IF":  # 16 bits or more a pixel
            levels = np.asarray(each, np.float32)
            each = Image.fromarray(np.round(255 * levels / max(levels.max(), 1e-6)).astype("u1"))
        each = each.convert("RGBA").resize((width, HEIGHT), way)
        whole.paste(each, (left, 0), each)
        left += width + bar
    return whole
