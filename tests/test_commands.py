import dataclasses
import json
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from idx_files import write
from PIL import Image

from mnist_cnn import PRESETS, MnistCNN, load_model
from mnist_cnn.__main__ import main
from mnist_cnn.data import datasets as data

ROOT = Path(__file__).parents[1]


@pytest.fixture
def pictures(tmp_path, frames):
    """Files with a 4, a 9 and nothing."""
    for name, picture in {"four": frames[40], "nine": frames[90], "blank": frames[0] * 0}.items():
        Image.fromarray(255 - picture).resize((200, 200)).save(tmp_path / f"{name}.png")
    return tmp_path


def test_predict_prints_a_line_a_file(pictures, capsys):
    files = [str(pictures / f"{name}.png") for name in ("four", "nine", "blank")]
    assert main(["predict", *files]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{files[0]}: 4 (")
    assert lines[1].startswith(f"{files[1]}: 9 (")
    assert lines[2] == f"{files[2]}: no digit (no ink was found)"


def test_an_unreadable_file_does_not_stop_the_others(pictures, capsys):
    (pictures / "text.png").write_text("not a picture")
    files = [str(pictures / name) for name in ("text.png", "four.png", "missing.png")]
    assert main(["predict", "--json", *files]) == 1
    out, err = capsys.readouterr()
    rows = json.loads(out)
    assert [row["file"] for row in rows] == files
    assert "not a picture" in rows[0]["error"]
    assert rows[1]["digit"] == 4
    assert len(rows[1]["probs"]) == 10
    assert "no such file" in rows[2]["error"]
    assert err.count("mnist-cnn: ") == 2


def test_evaluate_prints_json(data_dir, model, capsys):
    assert main(["evaluate", "--data-dir", str(data_dir), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["accuracy"] == model.report.test.accuracy
    assert result["errors"] == model.report.test.errors
    assert result["n"] == 10_000
    assert set(result["per_class"]) == set("0123456789")
    assert 0 <= result["ece"] < 0.1
    assert result["seconds"] > 0


@pytest.fixture
def clothes(tmp_path) -> Path:
    """Untrained weights of another data set, as a run leaves them."""
    names = data.class_names("fashion-mnist")
    model = MnistCNN(dataclasses.replace(PRESETS["compact"], class_names=names))
    model.report = dataclasses.replace(load_model().report, recipe={"dataset": "fashion-mnist"})
    model.save_pretrained(tmp_path / "clothes")
    return tmp_path / "clothes"


def test_other_classes_are_called_by_their_names(clothes, pictures, capsys):
    assert main(["predict", "--model", str(clothes), str(pictures / "four.png")]) == 0
    said = capsys.readouterr().out.split(": ", 1)[1]
    assert said.rpartition(" (")[0] in data.class_names("fashion-mnist")


def test_weights_are_evaluated_on_their_own_data(clothes, tmp_path, frames, capsys):
    labels = np.repeat(np.arange(10, dtype=np.uint8), 10)
    for split in ("train", "t10k"):
        files = {f"{split}-images-idx3-ubyte": frames, f"{split}-labels-idx1-ubyte": labels}
        write(tmp_path / "FashionMNIST" / "raw", files)
    command = ["evaluate", "--model", str(clothes), "--data-dir", str(tmp_path)]
    assert main([*command, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["n"] == 100
    assert set(result["per_class"]) == set(data.class_names("fashion-mnist"))
    assert len(result["wrong"]) == result["errors"]
    assert main([*command, "--dataset", "mnist"]) == 1
    assert "the weights know the classes T-shirt/top" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["evaluate", "--dataset", "cats"], "unknown dataset 'cats'; choose one of mnist"),
        (["predict", "--model", "nowhere", "x.png"], "'nowhere' is not a folder here"),
        (["evaluate", "--model", "./nowhere"], "'./nowhere' is not a folder here"),
        (["push", "nowhere", "user/name"], "'nowhere' is not a folder here"),
    ],
)
def test_mistakes_exit_with_1_and_a_message(arguments, message, capsys):
    assert main(arguments) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err


@pytest.mark.parametrize("words", [[], ["--help"]])
def test_help_is_one_word_away(words, capsys):
    with pytest.raises(SystemExit) as left:
        main(words)
    assert left.value.code == 0
    out = capsys.readouterr().out
    for command in ("predict", "evaluate", "push", "space", "app", "train"):
        assert f"• {command} " in out


def test_the_version_is_that_of_the_package(capsys):
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("mnist-cnn ")
    assert declared in (ROOT / "CHANGELOG.md").read_text()
    assert f"version: {declared}\n" in (ROOT / "CITATION.cff").read_text()


def test_predict_without_a_picture_says_what_it_needs(capsys):
    assert main(["predict"]) == 1
    assert "predict needs a picture" in capsys.readouterr().err


def test_a_row_of_digits_is_told_how_it_is_read(capsys):
    row = str(ROOT / "mnist_cnn" / "web" / "page" / "examples" / "3-row.jpg")
    assert main(["predict", row]) == 0
    said = "no digit (this does not look like one digit; --read reads several)"
    assert capsys.readouterr().out == f"{row}: {said}\n"
    assert main(["predict", "--read", row]) == 0
    assert capsys.readouterr().out == f"{row}: 56071\n"


def test_a_folder_is_no_picture(tmp_path, capsys):
    assert main(["predict", str(tmp_path)]) == 1
    assert f"{tmp_path}: is a folder: pass a picture's file" in capsys.readouterr().err


def test_a_dash_is_standard_input(pictures):
    done = subprocess.run(
        [sys.executable, "-m", "mnist_cnn", "predict", "-", "--json"],
        stdin=(pictures / "nine.png").open("rb"),
        capture_output=True,
        text=True,
    )
    (row,) = json.loads(done.stdout)
    assert (row["file"], row["digit"]) == ("-", 9)


def test_as_a_command(pictures):
    done = subprocess.run(
        [sys.executable, "-m", "mnist_cnn", "predict", "--json", pictures / "four.png"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)[0]["digit"] == 4
    assert done.stderr == ""


def test_evaluate_on_two_things_is_refused(tmp_path, capsys):
    assert main(["evaluate", "--images", str(tmp_path / "a.csv"), "--dataset", "mnist"]) == 1
    assert "--images and --dataset" in capsys.readouterr().err


def test_evaluate_warns_of_writers_in_common(model, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("mnist_cnn.data.named.SYNTHETIC_SIZES", {True: 10, False: 10})
    copy = MnistCNN(model.config)
    copy.report = dataclasses.replace(model.report, recipe={"dataset": "qmnist"})
    copy.save_pretrained(tmp_path)
    assert main(["evaluate", "--model", str(tmp_path), "--dataset", "synthetic"]) == 0
    assert "do not quote a figure on MNIST" in capsys.readouterr().err
