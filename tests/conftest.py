"""What several tests need: the real data where it is present, stored frames, the bundled model."""

import os
import subprocess
from pathlib import Path

# Nothing in a test may reach beyond this machine, and the Hub client reads these at import.
os.environ |= {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}

from types import SimpleNamespace

import app_server
import numpy as np
import pytest
from hub_server import HubServer
from huggingface_hub import constants, file_download
from huggingface_hub.utils import _http, disable_progress_bars
from PIL import Image
from visitor import CHROMIUM, CHROMIUM_FLAGS

import train
from mnist_cnn import MnistCNN, load_model
from mnist_cnn.data import datasets as data

DATA_DIR = Path(os.environ.get("MNIST_DATA_DIR", "data"))


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """A folder with the real MNIST."""
    if not any((DATA_DIR / "MNIST" / "raw").glob("t10k-images-idx3-ubyte*")):
        pytest.skip(f"no MNIST in {DATA_DIR}; set MNIST_DATA_DIR to a folder that holds it")
    return DATA_DIR


@pytest.fixture(scope="session")
def test_set(data_dir):
    return data.load("mnist", data_dir, train=False)


@pytest.fixture(scope="session")
def frames() -> np.ndarray:
    """A hundred frames drawn by the program; row r of the sheet holds ten ways to write r.

    Made once, so that a change of the generator cannot hide a change of the framing:
        rng = np.random.default_rng(7)
        sheet = np.vstack([np.hstack([frame(draw(d, rng)) for _ in range(10)]) for d in range(10)])
    """
    sheet = np.asarray(Image.open(Path(__file__).parent / "files" / "frames.png"))
    return sheet.reshape(10, 28, 10, 28).swapaxes(1, 2).reshape(100, 28, 28)


@pytest.fixture(scope="session")
def model() -> MnistCNN:
    return load_model()


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A Hub of this test's own, which the client in this process talks to, logged in.

    `hub.waits` lists how long the client would have waited before each retry; it does not wait.
    """
    with HubServer(tmp_path / "hub", token="hf_secret_token") as server:
        template = server.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no token"))
        monkeypatch.setenv("HF_TOKEN", server.token)
        server.waits = []
        clock = SimpleNamespace(sleep=server.waits.append)
        monkeypatch.setattr(_http, "time", clock)
        monkeypatch.setattr(file_download, "time", clock)
        disable_progress_bars()
        yield server


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory) -> Path:
    """The folder of a real, small run of train.py; tests copy it before they change it."""
    out = tmp_path_factory.mktemp("runs") / "notebook-seed0"
    flags = ["--dataset", "synthetic", "--epochs", "1", "--val-size", "200", "--workers", "0"]
    assert train.main(["--recipe", "notebook", *flags, "--out", str(out)]) == 0
    return out


@pytest.fixture(scope="session")
def _served():
    with app_server.running() as served:
        yield served


@pytest.fixture(scope="session")
def url(_served) -> str:
    """Where the app is served, for all tests that change nothing about it."""
    return _served[0]


@pytest.fixture(scope="session")
def app(_served) -> subprocess.Popen:
    """The process that serves `url`."""
    return _served[1]


@pytest.fixture(scope="module")  # it keeps an event loop, which tests without a browser may need
def browser():
    if not CHROMIUM:
        pytest.skip("no Chromium found; install Debian's chromium to run the browser tests")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)
        yield chromium
        chromium.close()
