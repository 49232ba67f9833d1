import json

import numpy as np
import pytest
from PIL import Image

from mnist_cnn.__main__ import main
from mnist_cnn.reading.pictures import evaluate_pictures


@pytest.fixture
def pictures(tmp_path, frames):
    """Two sevens, of which one is labelled 1, a four, a blank, and a file that is no picture."""
    shown = {"a": frames[70], "b": frames[71], "c": frames[40], "blank": frames[0] * 0}
    for name, picture in shown.items():
        Image.fromarray(255 - picture).resize((200, 200)).save(tmp_path / f"{name}.png")
    (tmp_path / "text.png").write_text("no picture")
    rows = ["a.png,7", "b.png,1", "c.png,4", "blank.png,", "blank.png,3", "text.png,5"]
    (tmp_path / "labels.csv").write_text("\n".join(["file,label", *rows]))
    return tmp_path


def test_pictures_are_counted(pictures, model, caplog):
    result = evaluate_pictures(model, pictures / "labels.csv", wrong_dir=pictures / "wrong")
    assert (result.n, result.labelled) == (6, 5)
    assert result.accuracy == pytest.approx(2 / 5)
    assert (result.wrong, result.refused, result.unreadable) == (1, 2, 1)
    assert result.nondigit_refused == 1
    assert result.per_class == {"1": 0, "3": 0, "4": 1, "5": 0, "7": 1}
    written = {file.name for file in (pictures / "wrong").iterdir()}
    assert written == {"3-1-as-7-b.png", "6-3-as-nothing-blank.png"}
    assert f"{pictures / 'text.png'}: " in caplog.text
    whole = np.asarray(Image.open(pictures / "wrong" / "3-1-as-7-b.png"))
    assert whole.shape == (280, 3 * 280 + 2 * 8, 3)
    picture, ink, seen = (whole[:, start : start + 280].astype(int) for start in (0, 288, 576))
    assert picture.mean() > 200
    assert np.abs(255 - picture - ink).mean() < 10
    assert seen.mean() < 60
    assert seen.max() > 250


def test_as_a_command(pictures, capsys):
    assert main(["evaluate", "--images", str(pictures / "labels.csv"), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["accuracy"] == pytest.approx(2 / 5)
    assert main(["evaluate", "--images", str(pictures / "labels.csv")]) == 0
    assert "accuracy          40.00%" in capsys.readouterr().out


def test_rows_of_digits(tmp_path, frames, model):
    row = np.pad(np.hstack([frames[10], frames[0], frames[40]]), 10)
    Image.fromarray(255 - row).resize((row.shape[1] * 5, row.shape[0] * 5)).save(tmp_path / "r.png")
    (tmp_path / "labels.csv").write_text("file,label\nr.png,1 04\nr.png,14\n")
    wrong = tmp_path / "wrong"
    result = evaluate_pictures(model, tmp_path / "labels.csv", several=True, wrong_dir=wrong)
    assert result.accuracy == 0.5
    assert result.per_class == {"2": 0, "3": 1}
    width, height = Image.open(wrong / "3-14-as-104-r.png").size
    parts = 2 * round(280 * row.shape[1] / row.shape[0]) + 3 * 280  # picture, ink, three frames
    assert (width, height) == (parts + 4 * 8, 280)


def test_a_mistake_of_any_mode_is_shown(pictures, frames, model):
    deep = Image.fromarray(np.kron(frames[70], np.ones((8, 8), np.uint8)).astype(np.uint16) * 257)
    deep.save(pictures / "deep.png")
    Image.fromarray(255 - frames[70]).convert("P").save(pictures / "palette.gif")
    (pictures / "labels.csv").write_text("file,label\ndeep.png,1\npalette.gif,1\n")
    evaluate_pictures(model, pictures / "labels.csv", wrong_dir=pictures / "wrong")
    for file in ("2-1-as-7-deep.png", "3-1-as-7-palette.png"):
        assert np.asarray(Image.open(pictures / "wrong" / file)).std() > 30


@pytest.mark.parametrize(
    "text",
    [
        "\n\nfile,label\na.png,7\n",
        "\ufefffile,label\r\na.png,7\r\n\r\n",
        "File; Label\n a.png ; 7\n",
        "label\tnote\tfile\n7\t\ta.png\n \t\t\n",
        'file,label\n"a.png","7",,\n,,,\n',
    ],
)
def test_tables_as_programs_write_them(pictures, model, text):
    (pictures / "labels.csv").write_text(text, encoding="utf-8", newline="")
    result = evaluate_pictures(model, pictures / "labels.csv")
    assert (result.n, result.accuracy) == (1, 1)


def test_a_missing_file_is_no_refused_nondigit(pictures, model):
    (pictures / "labels.csv").write_text("file,label\nnowhere.png,\na.png,7\n")
    result = evaluate_pictures(model, pictures / "labels.csv")
    assert (result.unreadable, result.nondigit_refused) == (1, None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "needs a first line"),
        ("name,digit\nx.png,1\n", "needs a first line"),
        ("file,label\nx.png\n", "line 2: there is no label"),
        ("file,label\n\nx.png,1\n,1\n", "line 4: there is no file"),
        ("file,label\nx.png,12\n", "line 2: label '12' must be one .or pass --read. of 0, 1, 2"),
        ("file,label\nx.png,seven\n", "label 'seven' must be one .or pass --read. of 0, 1, 2"),
    ],
)
def test_bad_tables_are_refused(tmp_path, model, text, message):
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        evaluate_pictures(model, tmp_path / "labels.csv")


def test_a_missing_table(tmp_path, model):
    with pytest.raises(ValueError, match="cannot read"):
        evaluate_pictures(model, tmp_path / "labels.csv")
