"""Gradio's queue: bad calls are refused alone, and what is left out of each call stays out."""

import json
from types import SimpleNamespace

import cv2
import gradio as gr
import httpx
import pytest
from gradio import queueing

from mnist_cnn.live import Weights
from mnist_cnn.web import api, page, queue, serve


@pytest.fixture(scope="module")
def built(model) -> SimpleNamespace:
    """The page, and Gradio's app as it is mounted."""
    weights = Weights(model)
    blocks = page.build(weights)
    app = serve.make_app(blocks, weights, **page.OPTIONS)
    return SimpleNamespace(blocks=blocks, mounted=app.router.routes[-1].app)


def uploaded(url: str, drawing: bytes) -> str:
    return httpx.post(f"{url}/gradio_api/upload", files={"files": ("a.png", drawing)}).json()[0]


def file_data(path: str, **more) -> dict:
    return {"path": path, "meta": {"_type": "gradio.FileData"}, **more}


def called(url: str, data: list) -> httpx.Response:
    return httpx.post(f"{url}/gradio_api/call/predict", json={"data": data})


def answer(url: str, call: httpx.Response) -> dict:
    event = call.json()["event_id"]
    text = httpx.get(f"{url}/gradio_api/call/predict/{event}", timeout=30).text
    assert "event: complete" in text
    return json.loads(text.rpartition("data: ")[2])[0]


@pytest.fixture(scope="module")
def four(frames) -> bytes:
    """A PNG of a 4."""
    return cv2.imencode(".png", 255 - cv2.resize(frames[40], (140, 140)))[1].tobytes()


def test_a_bad_call_is_refused_and_those_beside_it_are_answered(url, four):
    path = uploaded(url, four)
    good = [called(url, [file_data(path)]) for _ in range(3)]
    for data in ([], [7], ["x"], [file_data(path)] * 2, [file_data(path, orig_name=5)]):
        refused = called(url, data)
        assert refused.status_code == 400, data
        assert refused.json()["detail"].endswith(".")
    good += [called(url, [file_data(path)]) for _ in range(3)]
    assert [answer(url, call)["digit"] for call in good] == [4] * 6


def test_a_bad_file_has_an_answer_of_its_own(url, four):
    half, whole = uploaded(url, four[:200]), uploaded(url, four)
    calls = [called(url, [file_data(path)]) for path in (whole, half, whole)]
    calls.append(called(url, [None]))
    answers = [answer(url, call) for call in calls]
    assert [each.get("digit") for each in answers] == [4, None, 4, None]
    assert "damaged" in answers[1]["error"]
    assert answers[3]["reason"] == "no ink was found"


def test_a_batch_is_one_run_of_the_network(tmp_path):
    """`predict` takes several pictures as a list."""
    asked = []

    class Model:
        def predict(self, pictures: list) -> list:
            asked.append(pictures)
            return [SimpleNamespace(to_dict=lambda: {"digit": 7}) for _ in pictures]

    paths = ["a.png", "b.png", None]
    assert api.predict_all(Model(), paths) == [{"digit": 7}] * 3
    assert asked == [paths]


def test_pages_are_read_one_by_one(built):
    batched = {fn.api_name: fn.batch for fn in built.blocks.fns.values()}
    assert batched["predict"]
    assert not batched["read"]


def test_what_every_call_pays_for_is_left_out(built):
    """Where Gradio has changed inside, `lighten` may do nothing any more: these would tell."""
    mounted = built.mounted
    session = mounted.state_holder["a session"]
    session._update_value_in_config(1, "a drawing")
    assert session.config_values == {}
    assert hasattr(mounted.router.routes[0], "original_router")
    first = mounted.router.routes[0].original_router.routes[:4]
    assert len(first) == 4
    for route in first:
        assert route.path.startswith(queue.OFTEN)
        calls = [each.call.__name__ for each in route.dependant.dependencies]
        assert "login_check" not in calls
    others = mounted.router.routes[0].original_router.routes[4:]
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
