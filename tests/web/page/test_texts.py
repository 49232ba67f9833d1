"""The page's texts: complete in both languages, used, and safe with values from outside."""

import re
from pathlib import Path

import pytest

from mnist_cnn.reading import Reason
from mnist_cnn.web.page import markup, texts
from mnist_cnn.web.page.about import about

WEB = Path(texts.__file__).parent.parent


def test_every_text_is_there_in_both_languages():
    for key, of in texts.TEXTS.items():
        assert of.keys() == {"en", "zh-CN"}, key
        english, chinese = of["en"], of["zh-CN"]
        assert english, key
        assert re.search("[\u4e00-\u9fff]", chinese), key
        assert not re.search("[\u4e00-\u9fff]", english), key
        for text in (english, chinese):
            assert not re.search(r"[{}\n=]", text), key  # the browser's formatter, our own list
        assert re.findall(r"%\d", english) == sorted(re.findall(r"%\d", chinese)), key


def test_every_text_is_used():
    sources = [*WEB.rglob("*.py"), *WEB.rglob("templates/*.html")]
    sources += (WEB / "page" / "sketchpad").glob("sketchpad.*")
    code = "".join(file.read_text(encoding="utf-8") for file in sources)
    used = {*re.findall(r"""["'](\w+)["']""", code), *Reason}
    made = {"bad_" + kind for kind in ("empty", "bytes", "format", "pixels", "scans", "damaged")}
    made |= {"column_" + key for key in ("picture", "file", "digit", "sure", "note")}
    assert set(texts.TEXTS) - made <= used


def test_every_reason_of_the_model_has_a_text():
    assert set(Reason) <= set(texts.TEXTS)


@pytest.mark.parametrize("value", ["<b>", "[[title]]", "a|b"])
def test_templates_escape_whatever_is_no_phrase(value):
    made = markup.html("line", text=value, said=False)
    inside = made.removeprefix("<p>").removesuffix("</p>")
    assert not set(inside) & set("<>[]|")
    assert markup.html("line", text=texts.phrase("title"), said=False) == "<p>[[title]]</p>"


def test_unknown_keys_fail_here_and_not_in_the_browser():
    for function in (texts.text, texts.phrase):
        with pytest.raises(KeyError):
            function("no such text")


@pytest.mark.parametrize("value", ["<b>", '"', "[[title]]", "a|b", "]]", "&", "'"])
def test_values_from_outside_stay_text(value):
    made = texts.phrase("sure", value)
    inside = made.removeprefix("[[sure|").removesuffix("]]")
    assert not set(inside) & set("<>\"'[]|")


def test_about_shows_no_figures_without_a_report(model, monkeypatch):
    assert "99." in about(model)
    monkeypatch.setattr(model, "report", None)
    assert "99." not in about(model)
    assert "[[filters" in about(model)
