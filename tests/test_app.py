"""The app as a person and a program use it: a real server, a real Chromium."""

import itertools
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from hub_server import HubServer
from huggingface_hub import HfApi
from PIL import Image

from mnist_cnn.model import BUNDLED

ROOT = Path(__file__).parent.parent
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")
CHROMIUM_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
SEVEN = [[(0.3, 0.2), (0.72, 0.2), (0.45, 0.85)]]
FOUR = [[(0.3, 0.15), (0.25, 0.55), (0.75, 0.55)], [(0.65, 0.2), (0.62, 0.85)]]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def start(port: int, *flags: str, **environment: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "app.py", "--port", str(port), *flags],
        cwd=ROOT,
        env={**os.environ, "MNIST_CNN_MODEL": "", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def wait_until_up(url: str, app: subprocess.Popen) -> None:
    for _ in range(300):
        assert app.poll() is None, app.stdout.read()
        try:
            httpx.get(f"{url}/config")
            return
        except httpx.TransportError:
            time.sleep(0.1)
    raise TimeoutError(url)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    port = free_port()
    app = start(port)
    wait_until_up(f"http://127.0.0.1:{port}", app)
    yield f"http://127.0.0.1:{port}"
    app.terminate()
    app.wait(10)


@pytest.fixture(scope="module")
def browser():
    if not CHROMIUM:
        pytest.skip("no Chromium found; install Debian's chromium to run the browser tests")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser, url):
    page = browser.new_page(viewport={"width": 1280, "height": 860})
    page.requested = []
    page.on("request", lambda request: page.requested.append(request.url))
    page.goto(url)
    page.wait_for_selector("canvas")
    yield page
    page.close()


def draw(page, strokes) -> None:
    box = page.locator("canvas").bounding_box()
    for stroke in strokes:
        points = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in stroke]
        page.mouse.move(*points[0])
        page.mouse.down()
        for point in points[1:]:
            page.mouse.move(*point, steps=8)
        page.mouse.up()


def wait_for_answer(page, digit: str, panel: int = 0) -> None:
    page.wait_for_function(
        "([panel, digit]) => [...document.querySelectorAll('.answer .digit')][panel]"
        "?.innerText === digit",
        arg=[panel, digit],
        timeout=15_000,
    )


def test_draw_read_clear_draw_again(page):
    draw(page, SEVEN)
    wait_for_answer(page, "7")
    shares = page.locator(".answer").first.locator(".share").all_inner_texts()
    assert len(shares) == 10
    assert max(range(10), key=lambda i: float(shares[i].rstrip("%"))) == 7
    assert sum(float(share.rstrip("%")) for share in shares) == pytest.approx(100, abs=0.6)
    page.get_by_role("button", name="Clear").click()
    wait_for_answer(page, "–")
    draw(page, FOUR)
    wait_for_answer(page, "4")


def test_every_stroke_is_answered_and_undo_takes_one_back(page):
    draw(page, [[(0.5, 0.15), (0.5, 0.85)]])
    wait_for_answer(page, "1")
    draw(page, [[(0.5, 0.15), (0.85, 0.5), (0.5, 0.85)]])
    page.wait_for_function("document.querySelector('.answer .digit').innerText !== '1'")
    page.get_by_role("button", name="Undo").click()
    wait_for_answer(page, "1")


def test_the_eraser_takes_ink_away(page):
    draw(page, [[(0.5, 0.15), (0.5, 0.85)]])
    wait_for_answer(page, "1")
    page.get_by_label("Brush width").fill("72")
    page.get_by_role("button", name="Eraser").click()
    draw(page, [[(0.5, 0.1), (0.5, 0.9)]])
    wait_for_answer(page, "–")


def test_the_frame_and_the_heatmap_are_shown(page):
    draw(page, SEVEN)
    wait_for_answer(page, "7")
    captions = page.locator(".answer").first.locator("figcaption").all_inner_texts()
    assert captions == ["What the network saw", "Why 7"]
    for picture in page.locator(".answer").first.locator("img").all():
        assert picture.evaluate("image => [image.naturalWidth, image.naturalHeight]") == [28, 28]
        assert picture.get_attribute("alt")


def test_upload_a_file(page, frames, tmp_path):
    Image.fromarray(255 - frames[30]).resize((300, 300)).save(tmp_path / "three.png")
    page.get_by_role("tab", name="Upload").click()
    page.locator("input[type=file]").first.set_input_files(tmp_path / "three.png")
    wait_for_answer(page, "3", panel=1)


def test_several_digits_are_boxed(page, frames, tmp_path):
    row = np.pad(np.hstack([frames[10], frames[0], frames[40]]), 10)
    picture = Image.fromarray(255 - row).resize((row.shape[1] * 5, row.shape[0] * 5))
    picture.save(tmp_path / "row.png")
    page.get_by_role("tab", name="Upload").click()
    page.locator("input[type=file]").first.set_input_files(tmp_path / "row.png")
    page.locator(".reading pre").wait_for()
    assert page.locator(".reading pre").inner_text() == "104"
    shown = page.locator(".reading img").bounding_box()
    boxes = [box.bounding_box() for box in page.locator(".reading rect").all()]
    assert len(boxes) == 3
    assert [box["x"] for box in boxes] == sorted(box["x"] for box in boxes)
    for box in boxes:
        assert shown["x"] - 2 <= box["x"] <= shown["x"] + shown["width"]
        assert box["height"] > shown["height"] / 4


def test_a_bad_upload_is_refused_with_a_reason(page, tmp_path):
    (tmp_path / "three.png").write_text("not a picture")
    page.get_by_role("tab", name="Upload").click()
    page.locator("input[type=file]").first.set_input_files(tmp_path / "three.png")
    refusal = page.locator(".answer .sure").nth(1)
    refusal.filter(has_text="three.png: not a picture").wait_for()
    assert "/" not in refusal.inner_text()


def test_the_page_names_the_weights_and_asks_nobody_else(page, model, url):
    text = page.locator("#weights").inner_text()
    assert "bundled with mnist_cnn" in text
    assert f"{model.report['test']['accuracy']:.2%}" in text
    assert "404,788 parameters" in text
    elsewhere = [u for u in page.requested if not u.startswith((url, "data:", "blob:"))]
    assert elsewhere == []


def test_touch_drawing_on_a_phone(browser, url):
    """A finger draws and does not scroll; nothing lies over the canvas or beside the page."""
    phone = browser.new_context(
        viewport={"width": 360, "height": 640}, has_touch=True, is_mobile=True
    )
    page = phone.new_page()
    page.goto(url)
    page.wait_for_selector("canvas")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    box = page.locator("canvas").bounding_box()
    for x, y in [(0.02, 0.02), (0.98, 0.02), (0.02, 0.98), (0.98, 0.98)]:
        at = [box["x"] + x * box["width"], box["y"] + y * box["height"]]
        assert page.evaluate("([x, y]) => document.elementFromPoint(x, y).tagName", at) == "CANVAS"
    touch = phone.new_cdp_session(page)

    def send(kind: str, points: list) -> None:
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    for stroke in SEVEN:
        corners = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in stroke]
        path = np.concatenate([np.linspace(a, b, 8) for a, b in itertools.pairwise(corners)])
        points = [{"x": float(x), "y": float(y)} for x, y in path]
        send("touchStart", points[:1])
        for point in points[1:]:
            send("touchMove", [point])
        send("touchEnd", [])
    wait_for_answer(page, "7")
    assert page.evaluate("window.scrollY") == 0
    phone.close()


def uploaded(url: str, content: bytes, name: str = "picture.png") -> str:
    answer = httpx.post(f"{url}/gradio_api/upload", files={"files": (name, content)})
    return answer.json()[0]


def call_predict(url: str, path: str) -> str:
    body = {"data": [{"path": path, "meta": {"_type": "gradio.FileData"}}]}
    event = httpx.post(f"{url}/gradio_api/call/predict", json=body).json()["event_id"]
    return httpx.get(f"{url}/gradio_api/call/predict/{event}", timeout=20).text


def test_predict_over_http_answers_as_the_library(url, model, frames, tmp_path):
    file = tmp_path / "six.png"
    Image.fromarray(frames[60]).save(file)
    text = call_predict(url, uploaded(url, file.read_bytes()))
    answer = json.loads(re.search(r"event: complete\ndata: (.*)", text)[1])[0]
    expected = model.predict(file).to_dict()
    assert answer.keys() == expected.keys()
    assert answer["probs"] == pytest.approx(expected["probs"], abs=1e-5)
    assert (answer["digit"], answer["reason"]) == (6, None)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"text", "picture.png: not a picture"), (b"", "picture.png: the file is empty")],
    ids=["text", "empty"],
)
def test_predict_refuses_with_a_sentence(url, content, message):
    text = call_predict(url, uploaded(url, content))
    assert "event: error" in text
    assert message in text
    assert "/tmp" not in text


def test_only_predict_is_a_public_endpoint(url):
    info = httpx.get(f"{url}/gradio_api/info").json()
    assert list(info["named_endpoints"]) == ["/predict"]
    assert info["unnamed_endpoints"] == {}


def test_a_busy_port_is_named():
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        app = start(port)
        output, _ = app.communicate(timeout=60)
    assert app.returncode == 1
    assert f"port {port}" in output
    assert f"--port {port + 1}" in output
    assert "Traceback" not in output


def test_the_app_does_not_wait_for_the_hub_and_swaps_its_weights_in(tmp_path, browser):
    """The Hub is a port where nobody listens yet; the bundled weights answer until it opens."""
    port, hub_port = free_port(), free_port()
    hub = HubServer(tmp_path / "hub", port=hub_port)
    app = start(port, **hub.environment(tmp_path / "home"), MNIST_CNN_MODEL="user/digits@main")
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until_up(url, app)
        page = browser.new_page()
        page.goto(url)
        notice = page.locator("#weights", has_text="user/digits@main could not be reached")
        notice.wait_for()
        assert "bundled with mnist_cnn" in notice.inner_text()
        draw(page, SEVEN)
        wait_for_answer(page, "7")
        with hub:
            api = HfApi(endpoint=hub.url, token=hub.token)
            api.create_repo("user/digits")
            commit = api.upload_folder(repo_id="user/digits", folder_path=BUNDLED).oid
            arrived = page.locator("#weights", has_text=f"user/digits at commit {commit}")
            for _ in range(60):
                page.goto(url)
                page.wait_for_timeout(500)
                if arrived.count():
                    break
            assert arrived.count()
            assert "could not be reached" not in page.locator("#weights").inner_text()
            page.wait_for_selector("canvas")
            draw(page, SEVEN)
            wait_for_answer(page, "7")
        page.close()
    finally:
        app.terminate()
        output, _ = app.communicate(timeout=20)
    lines = [line for line in output.splitlines() if line.startswith("app.py: weights: ")]
    assert lines == [
        "app.py: weights: bundled with mnist_cnn",
        f"app.py: weights: Hub repo user/digits at commit {commit}",
    ]


def test_a_mistyped_model_is_an_error():
    app = start(free_port(), "--model", "./runs/nowhere")
    output, _ = app.communicate(timeout=60)
    assert app.returncode == 1
    assert "'./runs/nowhere' is not a folder here" in output
