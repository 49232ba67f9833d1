"""Weights that arrive while the app runs, and an app that does not wait for them."""

import logging
import threading
from dataclasses import replace

import pytest
from hub_server import Fault, HubServer
from huggingface_hub import HfApi

from mnist_cnn import PRESETS, MnistCNN
from mnist_cnn.web import settings
from mnist_cnn.web.server import live
from mnist_cnn.web.server.live import Weights

REPO = "user/digits"


@pytest.fixture
def commit(hub, tmp_path) -> str:
    """The id of a commit that holds weights."""
    MnistCNN(PRESETS["notebook"]).save_pretrained(tmp_path / "run")
    api = HfApi()
    api.create_repo(REPO)
    return api.upload_folder(repo_id=REPO, folder_path=tmp_path / "run").oid


@pytest.fixture
def delays(monkeypatch) -> list[float]:
    """How long it would have waited between tries; it does not wait."""
    waited: list[float] = []
    monkeypatch.setattr(live.time, "sleep", waited.append)
    return waited


def wait_for(weights: Weights, source: str) -> None:
    for _ in range(1000):
        if source in weights.model.source:
            return
        threading.Event().wait(0.01)
    raise TimeoutError(weights.notice)


def test_weights_that_are_there_are_used_at_once(hub, commit):
    weights = Weights.of(REPO)
    assert weights.model.source == f"Hub repo {REPO} at commit {commit}"
    assert weights.notice == ""


def test_a_hub_that_comes_back_is_used_without_a_restart(hub, commit, delays, caplog):
    hub.faults.append(Fault(".*", "/api/models", times=4, status=503))
    weights = Weights.of(REPO)
    wait_for(weights, commit)
    assert weights.notice == ""
    assert delays == [5, 10, 20, 40]
    assert "could not be reached" in caplog.text


def test_while_the_hub_is_down_the_bundled_weights_serve(hub, commit, monkeypatch):
    hub.stop()
    delays, back = [], threading.Event()

    def sleep(seconds: float) -> None:
        delays.append(seconds)
        if len(delays) >= 3:
            back.wait()

    monkeypatch.setattr(live.time, "sleep", sleep)
    monkeypatch.setattr(settings, "TIMES", replace(settings.TIMES, first_retry=100))
    weights = Weights.of(REPO)
    assert weights.model.source == "bundled with mnist_cnn"
    assert weights.notice == "unreachable"
    while len(delays) < 3:
        threading.Event().wait(0.01)
    assert delays == [100, 200, 300]
    with HubServer(hub.folder, token=hub.token, port=hub.port):
        back.set()
        wait_for(weights, commit)
    assert weights.notice == ""


def test_a_slow_hub_does_not_hold_up_the_start(hub, commit, monkeypatch):
    monkeypatch.setattr(settings, "TIMES", replace(settings.TIMES, hub=0.2))
    hub.faults.append(Fault("GET", "safetensors", delay=1.5))
    weights = Weights.of(REPO)
    assert weights.model.source == "bundled with mnist_cnn"
    assert weights.notice == "coming"
    wait_for(weights, commit)
    assert weights.notice == ""


def test_a_start_waits_no_longer_than_five_seconds():
    assert settings.TIMES.hub <= 5


def test_mistakes_are_errors_at_the_start(hub, commit, tmp_path):
    for source in ("user/nothing", f"{REPO}@v9", "./runs/x"):
        with pytest.raises(ValueError, match=r"no branch, tag|neither a folder|not a folder here"):
            Weights.of(source)


def test_what_turns_out_unusable_later_is_said_and_the_app_goes_on(
    hub, commit, delays, monkeypatch, caplog
):
    hub.faults.append(Fault(".*", "/api/models", status=503))
    weights = Weights.of(f"{REPO}@v9")
    for _ in range(1000):
        if weights.notice == "unusable":
            break
        threading.Event().wait(0.01)
    assert weights.notice == "unusable"
    assert weights.model.source == "bundled with mnist_cnn"
    assert "has no branch, tag or commit 'v9'" in caplog.text


def test_a_folder_and_the_bundled_weights_need_no_thread(tmp_path, caplog):
    caplog.set_level(logging.INFO, "mnist_cnn")
    MnistCNN(PRESETS["notebook"]).save_pretrained(tmp_path)
    before = threading.active_count()
    assert Weights.of(str(tmp_path)).model.source == f"folder {tmp_path.name}"
    assert Weights.of(None).model.source == Weights.of("").model.source == "bundled with mnist_cnn"
    assert threading.active_count() == before
