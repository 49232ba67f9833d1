"""On every road a picture is decoded once, and its ink is found once."""

import base64
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from PIL import Image

from mnist_cnn.data.drawn.strokes import draw
from mnist_cnn.ink import decoding, finding
from mnist_cnn.reading.pictures import evaluate_pictures
from mnist_cnn.web.page import many, tabs
from mnist_cnn.web.server import Corrections, api


def _app_draws(model, file):
    drawing = "data:image/png;base64," + base64.b64encode(file.read_bytes()).decode()
    tabs.draw(SimpleNamespace(model=model), drawing)


def _corrects(model, file):
    Corrections(str(file.parent / "kept"), model.config.class_names).keep(model, str(file), "7")


def _evaluates(several):
    def road(model, file):
        table = file.parent / "labels.csv"
        table.write_text(f"file,label\n{file.name},5\n")
        evaluate_pictures(model, table, several, wrong_dir=file.parent / "wrong")

    return road


ROADS = {
    "predict": lambda model, file: model.predict(file),
    "predict a list": lambda model, file: model.predict([file]),
    "read": lambda model, file: model.read(file),
    "app: draw": _app_draws,
    "app: photo": lambda model, file: tabs.photo(SimpleNamespace(model=model), str(file)),
    "app: many": lambda model, file: [*many.read_each(model, many.sources([str(file)])[1])],
    "POST /predict": lambda model, file: api.predict(model, [file.read_bytes()]),
    "POST /read": lambda model, file: api.read(model, [str(file)]),
    "evaluate --images": _evaluates(several=False),
    "evaluate --images --read": _evaluates(several=True),
    "corrections": _corrects,
}


def _photo(name: str) -> np.ndarray:
    """Paper in uneven light with one digit, with a doodle that is none, or with six digits."""
    ink = np.zeros((400, 400), np.float32)
    rng = np.random.default_rng(1)
    if name == "digit":
        ink[100:300, 100:300] = draw(7, rng, 200)
    if name == "refused":
        for points in ([(100, 100), (300, 300)], [(100, 300), (300, 100)], [(200, 80), (200, 320)]):
            cv2.polylines(ink, [np.array(points)], False, 1, 12, cv2.LINE_AA)
    if name == "page":
        for number in range(6):
            x, y = 40 + 120 * (number % 3), 60 + 160 * (number // 3)
            ink[y : y + 90, x : x + 90] = draw(number, rng, 90)
    return np.linspace(0.95, 0.75, 400)[None] * (1 - 0.7 * ink) + rng.normal(0, 0.01, ink.shape)


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pictures")
    for name in ("digit", "refused", "page"):
        picture = np.round(np.clip(_photo(name), 0, 1) * 255).astype(np.uint8)
        Image.fromarray(picture).save(folder / f"{name}.png")
    return {file.stem: file for file in folder.glob("*.png")}


def test_the_pictures_are_what_they_are_called(model, files):
    assert model.predict(files["digit"]).digit == 7
    assert model.predict(files["refused"]).digit is None
    assert model.read(files["page"]).text == "012\n345"


@pytest.mark.parametrize("name", ["digit", "refused", "page"])
@pytest.mark.parametrize("road", ROADS)
def test_every_road_decodes_once_and_finds_ink_once(model, files, monkeypatch, road, name):
    calls = Counter()

    def count(module, function):
        own = getattr(module, function)

        def counted(*values):
            calls[function] += 1
            return own(*values)

        monkeypatch.setattr(module, function, counted)

    count(decoding, "_opened")
    count(finding, "_levels")
    ROADS[road](model, files[name])
    assert calls == {"_opened": 1, "_levels": 1}
