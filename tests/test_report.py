"""`report.json`: read as it was written, by any version, and refused where it makes no sense."""

import dataclasses
import json
from pathlib import Path

import pytest

from mnist_cnn.config import checked
from mnist_cnn.model import BUNDLED
from mnist_cnn.report import Epoch, Evaluation, Report

FILE = BUNDLED / "report.json"


def changed(folder: Path, **parts) -> Path:
    file = folder / "report.json"
    file.write_text(json.dumps(json.loads(FILE.read_text()) | parts))
    return file


def test_it_is_written_as_it_was_read(tmp_path):
    report = Report.read(FILE, "bundled")
    report.write(tmp_path / "report.json")
    assert (tmp_path / "report.json").read_text() == FILE.read_text()
    assert report.test.errors == 21
    assert report.history[-1].val_accuracy == report.validation.accuracy
    assert report.seconds.total > report.seconds.epochs > 2600
    assert report.dataset == "mnist"


def test_older_and_newer_reports_are_read(tmp_path):
    """Version 0.0 wrote none of these; what a later version adds is nothing to this one."""
    values = json.loads(FILE.read_text()) | {"mistakes": [1, 2]}
    for part, names in {
        "test": ("wrong", "per_class_n", "errors_outside_doubtful"),
        "validation": ("wrong", "per_class_n"),
    }.items():
        values[part] = {k: v for k, v in values[part].items() if k not in names}
    values["history"] = [
        {k: v for k, v in epoch.items() if k != "frames"} for epoch in values["history"]
    ]
    del values["processes"]
    (tmp_path / "report.json").write_text(json.dumps(values))
    report = Report.read(tmp_path / "report.json", "old weights")
    assert report.test.wrong == ()
    assert report.test.errors_outside_doubtful is None
    assert report.processes is report.before is report.history[0].frames is None
    assert "null" not in report.to_json()


TEST = json.loads(FILE.read_text())["test"]


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"test": TEST | {"accuracy": 1.5}}, "test.accuracy must be at most 1, got 1.5"),
        ({"test": TEST | {"accuracy": "<b>1"}}, "test.accuracy must be a valid number, got '<b>1'"),
        ({"test": TEST | {"accuracy": 10**400}}, "test.accuracy must be a finite number, got 1"),
        ({"test": TEST | {"n": float("inf")}}, "test.n must be "),
        ({"test": TEST | {"errors": True}}, "test.errors must be a valid integer, got True"),
        ({"test": TEST | {"errors": 10_001}}, "errors must be at most n, got 10001 of 10000"),
        ({"test": TEST | {"errors": -1}}, "test.errors must be at least 0, got -1"),
        ({"test": TEST | {"per_class": {"7": None}}}, "test.per_class.7 must be a valid number"),
        ({"test": TEST | {"per_class": [0.9]}}, "test.per_class must be an object, got [0.9]"),
        ({"test": TEST | {"interval": [0.9]}}, "test.interval[1] is missing"),
        ({"test": {"accuracy": 0.5}}, "test.errors is missing"),
        ({"history": [{"val_accuracy": 1e9}]}, "history[0].epoch is missing"),
        ({"recipe": {"dataset": ["mnist"]}}, "recipe.dataset must be a name, got ['mnist']"),
        ({"recipe": "mnist"}, "recipe must be an object, got 'mnist'"),
        ({"command": 7}, "command must be a valid string, got 7"),
        ({"before": {"weights": "these"}}, "before.test is missing"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_sentence(tmp_path, parts, message):
    with pytest.raises(ValueError, match=r"^cannot use report\.json of folder x: .*$") as caught:
        Report.read(changed(tmp_path, **parts), "folder x")
    assert message in str(caught.value)
    assert len(str(caught.value)) < 150


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"[]", b'"good"'])
def test_what_is_no_report_is_refused(content):
    with pytest.raises(ValueError, match=r"^cannot use report\.json of x: .{10,120}$"):
        Report.from_json(content, "x")


def test_a_report_that_cannot_be_opened_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"cannot read report\.json of folder x: .*No such file"):
        Report.read(tmp_path / "report.json", "folder x")


def test_numbers_are_checked_as_they_are_made_too():
    with pytest.raises(ValueError, match=r"^loss must be a finite number, got nan$"):
        Epoch(epoch=1, loss=float("nan"), accuracy=1.0, seconds=1.0, lr=0.1)
    with pytest.raises(ValueError, match=r"^accuracy must be at least 0, got -1$"):
        dataclasses.replace(Report.read(FILE, "bundled").test, accuracy=-1)
    with pytest.raises(ValueError, match=r"^errors is missing$"):
        Evaluation(accuracy=1.0)


def test_values_without_a_field_are_refused_unless_asked_for():
    @checked()
    class Pen:
        width: float = 1.0

        def __post_init__(self) -> None:
            if self.width == 13:
                raise ValueError("13 pixels bring bad luck")

    assert Pen(width=2).width == 2.0
    for values, message in (
        ({"colour": "red"}, "^colour is not known$"),
        ({"width": 13}, "^13 pixels bring bad luck$"),
    ):
        with pytest.raises(ValueError, match=message):
            Pen(**values)
