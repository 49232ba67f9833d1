"""A second opinion on the local Hub: olah, a public mirror of the Hub, pulls from it and serves on.

It is installed apart, because its dependencies are not ours: set OLAH to its `olah-cli`.
"""

import os
import shutil
import subprocess
import time
from pathlib import Path

import httpx
import pytest
from app_server import free_port
from huggingface_hub import HfApi, constants

from mnist_cnn import load_model
from mnist_cnn.model import BUNDLED
from mnist_cnn.publish import weights as publish

OLAH = os.environ.get("OLAH") or shutil.which("olah-cli")
REPO = "user/digits"


@pytest.fixture
def mirror(hub, tmp_path, monkeypatch):
    """The address of an olah whose upstream is the local Hub; the client talks to it from then."""
    if not OLAH:
        pytest.skip("no olah found; install it in a virtual environment of its own, and set OLAH")
    publish.push(BUNDLED, REPO, tag="v1")
    address, upstream = f"127.0.0.1:{free_port()}", f"127.0.0.1:{hub.port}"
    host, _, port = address.partition(":")
    flags = {
        "--host": host,
        "--port": port,
        "--hf-scheme": "http",
        "--hf-netloc": upstream,
        "--hf-lfs-netloc": f"localhost:{hub.port}",
        "--mirror-scheme": "http",
        "--mirror-netloc": address,
        "--mirror-lfs-netloc": address,
        "--repos-path": str(tmp_path / "mirrored"),
        "--log-path": str(tmp_path / "logs"),
    }
    words = [word for pair in flags.items() for word in pair]
    with (tmp_path / "olah.txt").open("w") as log:
        olah = subprocess.Popen([OLAH, *words], cwd=tmp_path, stdout=log, stderr=log)
    try:
        wait_until_up(f"http://{address}", olah, tmp_path / "olah.txt")
        template = f"http://{address}" + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "ENDPOINT", f"http://{address}")
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.delenv("HF_TOKEN")
        hub.requests.clear()
        yield f"http://{address}"
    finally:
        olah.terminate()
        olah.wait(20)


def wait_until_up(url: str, olah: subprocess.Popen, log: Path) -> None:
    for _ in range(600):
        assert olah.poll() is None, log.read_text()
        try:
            httpx.get(url)
            return
        except httpx.TransportError:
            time.sleep(0.1)
    raise TimeoutError(url)


@pytest.mark.parametrize("revision", ["", "@v1"])
def test_what_was_pushed_is_pulled_through_a_mirror(hub, mirror, model, revision):
    pulled = load_model(REPO + revision)
    assert pulled.source == f"Hub repo {REPO} at commit {hub.repo(REPO).resolve()}"
    assert pulled.report == model.report
    theirs, ours = pulled.state_dict(), model.state_dict()
    assert theirs.keys() == ours.keys()
    assert all(theirs[key].equal(ours[key]) for key in ours)
    assert hub.seen("GET", "model.safetensors")  # the mirror's, for it had no copy


def test_every_file_is_the_same_through_a_mirror(hub, mirror, tmp_path):
    folder = Path(HfApi().snapshot_download(REPO, cache_dir=tmp_path / "through"))
    expected = hub.repo(REPO).files()
    assert {f.name: f.read_bytes() for f in folder.iterdir()} == expected
