"""What several tests need: the real data where it is present, stored frames, the bundled model."""

import os
import subprocess
from pathlib import Path

# Nothing in a test may reach beyond this machine, and the Hub client reads these at import.
os.environ |= {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}

import app_server
import numpy as np
import pytest
from PIL import Image

from mnist_cnn import MnistCNN, data, load_model

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
    sheet = np.asarray(Image.open(Path(__file__).parent / "data" / "frames.png"))
    return sheet.reshape(10, 28, 10, 28).swapaxes(1, 2).reshape(100, 28, 28)


@pytest.fixture(scope="session")
def model() -> MnistCNN:
    return load_model()


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
