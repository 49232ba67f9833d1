"""Nobody is called unasked, and nothing that people draw is kept."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from app_server import free_port, start, wait_until_up
from hub_server import Fault
from PIL import Image
from visitor import SEVEN, draw, wait_for_answer

from mnist_cnn.model import BUNDLED
from mnist_cnn.publish import weights as publish

ROOT = Path(__file__).parent.parent
# Python runs this before anything else and tells every address that is connected to or looked up.
WATCH = """
import os, sys

def note(event, arguments):
    if event == "socket.connect":
        address = arguments[1]
    elif event == "socket.getaddrinfo":
        address = arguments[:2]
    else:
        return
    with open(os.environ["CONNECTIONS"], "a") as file:
        print(event, address, file=file)

sys.addaudithook(note)
"""


@pytest.fixture
def watched(tmp_path) -> dict[str, str]:
    """An environment whose Python processes write their connections to a file."""
    (tmp_path / "watch").mkdir()
    (tmp_path / "watch" / "sitecustomize.py").write_text(WATCH)
    (tmp_path / "connections").touch()
    return {
        "PYTHONPATH": f"{tmp_path / 'watch'}{os.pathsep}{ROOT}",
        "CONNECTIONS": str(tmp_path / "connections"),
        "HF_HOME": str(tmp_path / "home"),
        "TMPDIR": str(tmp_path / "temporary"),
    }


def connections(watched: dict[str, str]) -> list[str]:
    return Path(watched["CONNECTIONS"]).read_text().splitlines()


def test_the_watch_sees_a_connection(watched):
    code = "import socket\ntry: socket.create_connection(('127.0.0.1', 9))\nexcept OSError: pass"
    subprocess.run([sys.executable, "-c", code], env=os.environ | watched, check=True)
    assert "socket.connect ('127.0.0.1', 9)" in connections(watched)


def test_importing_loading_and_predicting_call_nobody(watched, frames, tmp_path):
    Image.fromarray(255 - frames[70]).resize((280, 280)).save(tmp_path / "seven.png")
    code = (
        "import sys, mnist_cnn, train\n"
        "print(mnist_cnn.load_model().predict(sys.argv[1]).digit)\n"
        "print(mnist_cnn.load_model().read(sys.argv[1]).text)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "seven.png"],
        env=os.environ | watched,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["7", "7"]
    assert connections(watched) == []


def test_the_app_calls_nobody_and_keeps_no_drawing(watched, browser, tmp_path):
    Path(watched["TMPDIR"]).mkdir()
    port = free_port()
    app = start(port, **watched)
    try:
        wait_until_up(f"http://127.0.0.1:{port}", app)
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{port}")
        page.wait_for_selector("canvas")
        draw(page, SEVEN)
        wait_for_answer(page, "7")
        page.close()
    finally:
        app.terminate()
        app.wait(20)
    # Gradio asks its own server whether it is up.
    own = (f"('127.0.0.1', {port})", f"'{port}'", f"'127.0.0.1', {port}")
    assert [line for line in connections(watched) if not any(part in line for part in own)] == []
    kept = [file for file in Path(watched["TMPDIR"]).rglob("*") if file.is_file()]
    assert [file for file in kept if file.suffix in (".png", ".jpg", ".webp", ".csv")] == []


def test_the_apps_log_opens_nothing(hub, tmp_path):
    """Neither the token nor an address of the storage, although a private download breaks."""
    publish.push(BUNDLED, "user/digits", private=True)
    hub.faults.append(Fault("GET", "signature=", cut=True))
    port = free_port()
    environment = hub.environment(tmp_path / "home", token=hub.token)
    app = start(port, "--model", "user/digits", **environment)
    try:
        wait_until_up(f"http://127.0.0.1:{port}", app)
    finally:
        app.terminate()
        log, _ = app.communicate(timeout=120)
    assert "weights: Hub repo user/digits at commit" in log
    assert len(hub.seen("GET", "signature=")) == 2
    assert hub.token not in log
    assert "signature" not in log
