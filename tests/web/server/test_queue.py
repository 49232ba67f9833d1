"""Gradio's queue: bad calls are refused, and what is left out of each call stays out."""

import json
from types import SimpleNamespace

import cv2
import gradio as gr
import httpx
import pytest
from gradio import queueing

from mnist_cnn.web import settings
from mnist_cnn.web.page import tabs
from mnist_cnn.web.server import queue, serve
from mnist_cnn.web.server.live import Weights
from mnist_cnn.web.server.readers import Readers


@pytest.fixture(scope="module")
def built(model) -> SimpleNamespace:
    """The page, and Gradio's app as it is mounted."""
    readers = Readers(Weights(model))
    blocks = tabs.build(readers)
    app = serve.make_app(blocks, readers, **tabs.OPTIONS)
    return SimpleNamespace(blocks=blocks, mounted=app.router.routes[-1].app)


@pytest.fixture(scope="module")
def predict(url) -> int:
    """The number of the page's function `predict`."""
    functions = httpx.get(f"{url}/config").json()["dependencies"]
    return next(each["id"] for each in functions if each["api_name"] == "predict")


def test_a_bad_call_is_refused_before_it_is_queued(url, predict, frames):
    four = cv2.imencode(".png", 255 - cv2.resize(frames[40], (140, 140)))[1].tobytes()
    path = httpx.post(f"{url}/gradio_api/upload", files={"files": ("a.png", four)}).json()[0]
    file = {"path": path, "meta": {"_type": "gradio.FileData"}}
    call = {"fn_index": predict, "session_hash": "tests"}
    for data in ([], [7], ["x"], [file] * 2, [{**file, "orig_name": 5}]):
        refused = httpx.post(f"{url}/gradio_api/queue/join", json={"data": data, **call})
        assert refused.status_code == 400, data
        assert refused.json()["detail"].endswith(".")
    assert httpx.post(f"{url}/gradio_api/queue/join", json={"data": [file], **call}).is_success
    stream = httpx.get(f"{url}/gradio_api/queue/data?session_hash=tests", timeout=30).text
    assert json.loads(stream.split("\n\n")[-3][6:])["output"]["data"][0]["digit"] == 4


def test_what_every_call_pays_for_is_left_out(built):
    """Where Gradio has changed inside, `lighten` may do nothing any more: these would tell."""
    mounted = built.mounted
    session = mounted.state_holder["a session"]
    session._update_value_in_config(1, "a drawing")
    assert session.config_values == {}
    assert hasattr(mounted.router.routes[0], "original_router")
    assert built.blocks._queue.sleep_when_free == settings.LOOK_SECONDS
    first = mounted.router.routes[0].original_router.routes[:2]
    assert len(first) == 2
    for route in first:
        assert route.path.startswith(queue.OFTEN)
        calls = [each.call.__name__ for each in route.dependant.dependencies]
        assert "login_check" not in calls
    others = mounted.router.routes[0].original_router.routes[2:]
    assert any(
        each.call.__name__ == "login_check"
        for route in others
        if hasattr(route, "dependant")
        for each in route.dependant.dependencies
    )
    assert queueing.run_sync is queue._nothing
    with gr.utils.MatplotlibBackendMananger() as nothing:
        assert nothing is None


def test_uploads_and_sessions_are_forgotten(built):
    block = next(iter(built.blocks.blocks.values()))
    block.temp_files.add("/gone.png")
    built.blocks._queue.pending_event_ids_session = {"answered": set(), "gone": {"an event"}}
    queue.forget_answered(built.blocks)
    assert block.temp_files == set()
    assert built.blocks._queue.pending_event_ids_session == {}
