"""Gradio's queue (6.31) as this app needs it: bad calls stay out, and each call costs less."""

import contextlib
import types
from typing import Any

import fastapi
import gradio as gr
from gradio import queueing
from gradio.data_classes import PredictBodyInternal
from gradio.state_holder import SessionState
from pydantic import ValidationError

from mnist_cnn.web import settings

OFTEN = "/gradio_api/queue/"


def refuse_bad_calls(page: gr.Blocks) -> None:
    """Look at a call's inputs before it is queued: later Gradio says nothing of what is wrong."""
    push = page._queue.push

    async def checked(body: PredictBodyInternal, request: fastapi.Request, username: Any) -> Any:
        if problem := _problem(page, body):
            return False, problem, "error"
        return await push(body=body, request=request, username=username)

    page._queue.push = checked


def _problem(page: gr.Blocks, body: PredictBodyInternal) -> str | None:
    """What is wrong with a call's inputs, as a sentence."""
    function = page.fns[body.fn_index]  # the guard has looked whether there is one
    if len(body.data) != len(function.inputs):
        return f"The function takes {len(function.inputs)} inputs, got {len(body.data)}."
    for block, value in zip(function.inputs, body.data, strict=True):
        kind = getattr(block, "data_model", None)
        if kind is None or value is None:
            continue
        try:
            kind.model_validate(value, context={"validate_meta": True})
        except ValidationError:
            return (
                'A file must be given as {"path": "…", "meta": {"_type": "gradio.FileData"}} with '
                "the path that the upload answered."
            )
    return None


def lighten(mounted: gr.routes.App, page: gr.Blocks) -> None:
    """Leave out what Gradio does for every call and nothing here needs."""
    page._queue.sleep_when_free = settings.LOOK_SECONDS
    # Each call is a session of its own, for which Gradio describes every component of the page
    # anew, and keeps its inputs, for links to a page's state. There are none.
    mounted.state_holder.blocks = types.SimpleNamespace(
        default_config=page.default_config, blocks={}
    )
    SessionState._update_value_in_config = lambda *_: None
    # It summarises the last calls for a monitoring page, in a thread, and looks for Matplotlib.
    queueing.run_sync = _nothing
    gr.utils.MatplotlibBackendMananger = contextlib.nullcontext
    # An address is looked for in eighty patterns, twice; the queue's come first, and are not asked,
    # in a thread again, for a login that there is not.
    for router in (mounted.router, *_included(mounted.router)):
        if hasattr(router, "_mark_routes_changed"):  # another FastAPI's routes stay as they are
            router.routes.sort(key=_how_often)
            for route in router.routes:
                if not _how_often(route):
                    _without_login(route)
            router._mark_routes_changed()


async def _nothing(*_: Any) -> None:
    pass


def _included(router: fastapi.APIRouter) -> list[fastapi.APIRouter]:
    return [r.original_router for r in router.routes if hasattr(r, "original_router")]


def _how_often(route: Any) -> int:
    """0 for what every call needs, 1 for the rest."""
    return int(not getattr(route, "path", OFTEN).startswith(OFTEN))


def _without_login(route: Any) -> None:
    if hasattr(route, "dependant"):
        route.dependencies = []
        route.dependant.dependencies = [
            each for each in route.dependant.dependencies if each.call.__name__ != "login_check"
        ]


def forget_answered(page: gr.Blocks) -> None:
    """Gradio keeps the id of every session, and the path of every upload, for ever."""
    queue = page._queue
    for session, events in list(queue.pending_event_ids_session.items()):
        if not events or session not in queue.pending_messages_per_session:
            del queue.pending_event_ids_session[session]
    for block in page.blocks.values():
        block.temp_files.clear()
