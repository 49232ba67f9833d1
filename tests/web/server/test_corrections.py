"""What people correct: kept whole or not at all, and nothing more than they were told."""

import base64
import io
import json
import re
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from app_server import free_port, start, wait_until_up
from hub_server import Fault
from PIL import Image
from visitor import SEVEN, draw, wait_for_answer, wait_for_weights

from mnist_cnn import load_model
from mnist_cnn.__main__ import main
from mnist_cnn.data import datasets as data
from mnist_cnn.publish import weights as publish
from mnist_cnn.web import settings
from mnist_cnn.web.server import corrections
from mnist_cnn.web.server.corrections import Corrections

ROOT = Path(__file__).parents[3]
DIGITS = tuple("0123456789")


@pytest.fixture
def seven(frames) -> bytes:
    """A picture of a 7, as a PNG."""
    stream = io.BytesIO()
    Image.fromarray(255 - frames[70]).resize((280, 280)).save(stream, "PNG")
    return stream.getvalue()


def test_a_correction_is_kept_with_all_that_was_promised(tmp_path, model, seven):
    place = Corrections(str(tmp_path / "kept"), DIGITS)
    name = place.keep(model, seven, "1")
    note = json.loads((tmp_path / "kept" / ".corrections" / f"{name}.json").read_text())
    assert note.keys() == {"picture", "frame", "given", "right", "confidence", "weights"}
    assert (note["given"], note["right"]) == ("7", "1")
    assert note["weights"] == model.source
    assert note["picture"] == f"1/{name}.png"
    kept = Image.open(tmp_path / "kept" / note["picture"])
    assert np.array_equal(kept, Image.open(io.BytesIO(seven)))
    frame = np.asarray(Image.open(io.BytesIO(base64.b64decode(note["frame"]))))
    assert np.array_equal(frame, model.predict(seven).frame)


def test_a_new_folder_holds_every_class(tmp_path, model):
    """So it can be trained on from the first correction; the program can read what it drew."""
    Corrections(str(tmp_path / "kept"), DIGITS)
    classes = {f.name for f in (tmp_path / "kept").iterdir() if not f.name.startswith(".")}
    assert classes == set(DIGITS)
    for name in DIGITS:
        drawn = list((tmp_path / "kept" / name).glob("drawn-*.png"))
        assert len(drawn) == 10
        read = [model.predict(file).digit for file in drawn]
        assert read.count(int(name)) >= 8


def test_opening_it_again_changes_nothing(tmp_path, model, seven):
    Corrections(str(tmp_path / "kept"), DIGITS).keep(model, seven, "1")
    before = {f: f.read_bytes() for f in (tmp_path / "kept").rglob("*") if f.is_file()}
    Corrections(str(tmp_path / "kept"), DIGITS)
    assert {f: f.read_bytes() for f in (tmp_path / "kept").rglob("*") if f.is_file()} == before


def test_where_a_photo_was_taken_is_not_kept(tmp_path, model, seven):
    exif = Image.Exif()
    exif[0x010F] = "Secret Camera"
    exif.get_ifd(0x8825)[1] = "N"
    stream = io.BytesIO()
    Image.open(io.BytesIO(seven)).convert("RGB").save(stream, "JPEG", exif=exif, comment=b"Anna")
    place = Corrections(str(tmp_path / "kept"), DIGITS)
    place.keep(model, stream.getvalue(), "7")
    for file in (tmp_path / "kept").rglob("*"):
        assert not file.is_file() or b"Secret" not in file.read_bytes()
        assert not file.is_file() or b"Anna" not in file.read_bytes()


@pytest.mark.parametrize("mode", ["1", "P", "CMYK", "LA", "I;16"])
def test_pictures_of_all_modes(tmp_path, model, seven, mode):
    image = Image.open(io.BytesIO(seven)).convert("L")
    if mode == "I;16":
        image = Image.fromarray(np.asarray(image).astype(np.uint16) * 257)
    else:
        image = image.convert(mode)
    stream = io.BytesIO()
    image.save(stream, "JPEG" if mode == "CMYK" else "PNG")
    place = Corrections(str(tmp_path / "kept"), DIGITS)
    name = place.keep(model, stream.getvalue(), "7")
    assert model.predict(tmp_path / "kept" / "7" / f"{name}.png").digit == 7


def test_what_is_refused(tmp_path, model, seven, monkeypatch):
    place = Corrections(str(tmp_path / "kept"), DIGITS)
    before = sorted((tmp_path / "kept").rglob("*"))
    with pytest.raises(ValueError, match=r"'\.\./x' is no class of these weights"):
        place.keep(model, seven, "../x")
    with pytest.raises(ValueError, match="not a picture"):
        place.keep(model, b"text", "7")
    monkeypatch.setattr(settings, "LIMITS", replace(settings.LIMITS, corrections=0))
    with pytest.raises(ValueError, match="no more are kept"):
        place.keep(model, seven, "7")
    assert sorted((tmp_path / "kept").rglob("*")) == before


@pytest.mark.parametrize("written", [0, 1, 2, 3])
def test_a_full_disk_keeps_no_half(tmp_path, model, seven, monkeypatch, written):
    """Note, its name, picture, its name: whichever of them does not get onto the disk."""
    place = Corrections(str(tmp_path / "kept"), DIGITS)
    before = sorted((tmp_path / "kept").rglob("*"))
    synced = []

    def full(descriptor: int) -> None:
        synced.append(descriptor)
        if len(synced) > written:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(corrections.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        place.keep(model, seven, "7")
    assert sorted((tmp_path / "kept").rglob("*")) == before


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="cannot keep corrections in"):
        Corrections(str(tmp_path / "file" / "kept"), DIGITS)


# On the Hub ---------------------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(corrections.constants, "HF_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def send(place: Corrections) -> None:
    place._scheduler.trigger().result(timeout=60)


def on_hub(hub) -> dict[str, bytes]:
    files = hub.repo("user/corrections", "datasets").files()
    return {path: content for path, content in files.items() if "drawn-" not in path}


def test_a_correction_arrives_in_a_private_data_set(hub, home, model, seven):
    place = Corrections("user/corrections", DIGITS)
    name = place.keep(model, seven, "1")
    send(place)
    files = on_hub(hub)
    assert files.keys() == {".gitattributes", f"1/{name}.png", f".corrections/{name}.json"}
    assert files[f"1/{name}.png"] == (place.folder / "1" / f"{name}.png").read_bytes()
    assert hub.repo("user/corrections", "datasets").private
    assert place.data_set == "user/corrections"


def test_the_data_set_can_be_downloaded_and_trained_on(hub, home, model, seven, tmp_path):
    """As documented; each class has its ten drawn digits, and the 1 what was corrected."""
    place = Corrections("user/corrections", DIGITS)
    place.keep(model, seven, "1")
    send(place)
    (words,) = re.findall(
        r"`hf (download USER/DATASET .*?)`", (ROOT / "docs" / "training.md").read_text()
    )
    words = words.replace("USER/DATASET", "user/corrections").split()
    hf = Path(sys.executable).with_name("hf")
    environment = hub.environment(tmp_path / "home", token=hub.token)
    subprocess.run([hf, *words], cwd=tmp_path, env=environment, check=True, capture_output=True)
    name = f"folder:{tmp_path / 'corrections'}"
    assert data.class_names(name) == DIGITS
    labels = np.concatenate([data.load(name, "", train=train)[1] for train in (True, False)])
    assert np.bincount(labels).tolist() == [10, 11] + [10] * 8


def test_what_did_not_arrive_is_sent_after_a_restart(hub, home, model, seven):
    hub.faults.append(Fault("POST", "/commit/", times=99, status=500))
    place = Corrections("user/corrections", DIGITS)
    name = place.keep(model, seven, "1")
    with pytest.raises(Exception, match="500"):
        send(place)
    place._scheduler.stop()
    assert on_hub(hub).keys() == {".gitattributes"}
    hub.faults.clear()
    send(Corrections("user/corrections", DIGITS))  # as another process would
    assert f"1/{name}.png" in on_hub(hub)


def test_a_data_set_that_may_not_be_written(hub, home, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", hub.READER)
    with pytest.raises(ValueError, match="the token may not write to user/corrections"):
        Corrections("user/corrections", DIGITS)


# In the app ---------------------------------------------------------------------------------------


def test_it_is_off_unless_asked_for(browser):
    port = free_port()
    app = start(port)
    try:
        wait_until_up(f"http://127.0.0.1:{port}", app)
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{port}")
        page.wait_for_selector("canvas")
        assert page.get_by_text("Read wrong?").count() == 0
        page.close()
    finally:
        app.terminate()
        app.wait(20)


def test_a_correction_outlives_the_process_that_thanked_for_it(browser, tmp_path):
    port, folder = free_port(), tmp_path / "kept"
    app = start(port, "--corrections", str(folder))
    try:
        wait_until_up(f"http://127.0.0.1:{port}", app)
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{port}")
        page.wait_for_selector("canvas")
        draw(page, SEVEN)
        wait_for_answer(page, "7")
        page.get_by_role("button", name="Read wrong? Say what it was").first.click()
        consent = page.get_by_text(re.compile("are kept in a folder of this server")).first
        assert "to train on" in consent.inner_text()
        page.get_by_role("radio", name="1", exact=True).first.click()
        page.get_by_text("Thank you: kept as “1”.").first.wait_for()
        app.send_signal(signal.SIGKILL)
        page.close()
    finally:
        app.kill()
        app.wait(20)
    (note,) = (folder / ".corrections").glob("*.json")
    kept = json.loads(note.read_text())
    assert (kept["given"], kept["right"]) == ("7", "1")
    assert Image.open(folder / kept["picture"]).size > (100, 100)
    assert kept["weights"] == "bundled with mnist_cnn"


# The whole way round -----------------------------------------------------------------------------

FOOTED_SEVEN = [[(0.3, 0.2), (0.7, 0.2), (0.35, 0.8), (0.6, 0.8)]]  # most networks see a 2


def test_from_a_wrong_answer_to_weights_that_know_better(
    hub,
    finished_run,
    browser,
    tmp_path,
):
    """Draw, correct, fine-tune, push with before and after, pull, and draw the same again."""
    publish.push(finished_run, "user/digits")
    first = hub.repo("user/digits").resolve()
    folder, run = tmp_path / "kept", tmp_path / "run"
    environment = hub.environment(tmp_path / "home", token=hub.token)
    with serving(browser, environment, "--corrections", str(folder)) as page:
        page.get_by_role("button", name="Read wrong? Say what it was").first.click()
        for times in range(1, 4):
            draw(page, FOOTED_SEVEN)
            page.wait_for_function(
                "() => document.querySelector('.answer .digit').innerText !== '–'"
            )
            given = page.locator(".answer .digit").first.inner_text()
            right = "7" if given != "7" else "2"  # whatever this small network says is corrected
            page.get_by_role("radio", name=right, exact=True).first.click()
            while len(list((folder / right).glob("2*.png"))) < times:
                page.wait_for_timeout(50)
            page.get_by_role("button", name="Clear").click()
            wait_for_answer(page, "–")
    notes = [json.loads(file.read_text()) for file in (folder / ".corrections").glob("*.json")]
    assert [(note["given"], note["right"]) for note in notes] == [(given, right)] * 3
    assert {note["weights"] for note in notes} == {f"Hub repo user/digits at commit {first}"}

    guide = (ROOT / "docs" / "training.md").read_text()
    (command,) = re.findall(r"^python (train\.py --init-from USER/NAME .*)$", guide, re.MULTILINE)
    words = command.replace("USER/NAME", "user/digits").replace("corrections", str(folder)).split()
    words += ["--out", str(run), "--workers", "0"]
    done = subprocess.run(
        [sys.executable, *words], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert main(["push", str(run), "user/digits"]) == 0
    title = hub.repo("user/digits").commit_record()["title"]
    before, after = re.search(r"([\d.]+)% → ([\d.]+)% accuracy on \d+ kept", title).groups()
    assert float(before) <= float(after)
    model = load_model("user/digits")
    assert first not in model.source
    assert model.report.before.weights.endswith(first)
    with serving(browser, environment) as page:
        draw(page, FOOTED_SEVEN)
        wait_for_answer(page, right)
        wait_for_weights(page, model.source)


@contextmanager
def serving(browser, environment: dict[str, str], *flags: str):
    """The page of an app on the weights of user/digits."""
    port = free_port()
    app = start(port, "--model", "user/digits", *flags, **environment)
    try:
        wait_until_up(f"http://127.0.0.1:{port}", app)
        page = browser.new_page(viewport={"width": 1280, "height": 1400})
        page.goto(f"http://127.0.0.1:{port}")
        page.wait_for_selector("canvas")
        wait_for_weights(page, "Hub repo user/digits")
        yield page
        page.close()
    finally:
        app.terminate()
        app.wait(20)
