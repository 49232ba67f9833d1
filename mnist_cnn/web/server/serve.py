"""From a page to a running server: addresses of our own, the guard, and an orderly end."""

import asyncio
import contextlib
import gc
import os
import shutil
import socket
import sys
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import cv2
import fastapi
import gradio as gr
import torch
import uvicorn
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from uvicorn.protocols.http.h11_impl import H11Protocol

from mnist_cnn.web import settings
from mnist_cnn.web.server import api
from mnist_cnn.web.server.guard import Guard, refused
from mnist_cnn.web.server.readers import Readers
from mnist_cnn.web.server.uploads import Uploads, upload


def make_app(page: gr.Blocks, readers: Readers, **page_options: Any) -> fastapi.FastAPI:
    """The whole server as an ASGI app: Gradio's page, the addresses for programs, the guard.

    Args:
        page: the page, not launched.
        readers: who read for programs, with the model in use.
        page_options: `css`, `i18n`, … as `gr.mount_gradio_app` takes them.
    """
    uploads = Uploads(settings.UPLOADS)
    try:
        mcp = api.mcp_server(readers)
    except ModuleNotFoundError:  # the extra is not installed
        mcp = None

    @contextlib.asynccontextmanager
    async def lifespan(_: fastapi.FastAPI) -> AsyncIterator[None]:
        uploads.remove_left()
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(shutil.rmtree, uploads.folder, ignore_errors=True)
            sweeping = asyncio.create_task(_sweep(uploads))
            stack.callback(sweeping.cancel)
            if mcp:
                await stack.enter_async_context(mcp.session_manager.run())
            yield

    app = fastapi.FastAPI(
        openapi_url=None,
        lifespan=lifespan,
        # Gradio refuses, too, but only after it has looked at the whole request.
        middleware=[Middleware(Guard, uploads=uploads, functions=len(page.fns))],
        exception_handlers={HTTPException: refused},
    )

    async def keep(request: Request) -> Response:
        return await upload(request, uploads)

    async def health(_: Request) -> Response:
        weights = readers.weights
        model, report = weights.model, weights.model.report
        return JSONResponse(
            {
                "status": "ok",
                "weights": model.source,
                "classes": model.config.class_names,
                "commit": report and report.git_commit,  # of the code that trained them
                "standing_in": bool(weights.notice),  # for others that could not be had
                "waiting": readers.waiting + readers.waiting_large,
            }
        )

    async def progress(_: Request) -> Response:
        # Gradio's page asks while it uploads; a body that was received whole has no progress.
        return Response('data: {"msg": "done"}\n\n', media_type="text/event-stream")

    app.add_route("/gradio_api/upload", keep, methods=["POST"])
    app.add_route("/gradio_api/upload_progress", progress, methods=["GET"])
    app.add_route("/health", health, methods=["GET"])
    for name, task in api.TASKS.items():
        answer = partial(api.answer_form, task=task, readers=readers)
        app.add_route(f"/{name}", answer, methods=["POST"])
    if mcp:
        app.router.routes.extend(mcp.streamable_http_app().routes)  # /mcp
    page.state_session_capacity = settings.LIMITS.sessions
    gr.mount_gradio_app(
        app,
        page,
        path="",
        show_error=False,
        run_history=False,  # what people draw is not kept
        enable_monitoring=False,
        ssr_mode=False,  # it would need Node
        pwa=False,
        mcp_server=False,
        max_file_size=settings.LIMITS.upload,
        footer_links=["settings"],
        app_kwargs={"docs_url": None, "redoc_url": None, "openapi_url": None},
        **page_options,
    )
    return app


async def _sweep(uploads: Uploads) -> None:
    while True:
        await asyncio.sleep(settings.TIMES.sweep)
        await asyncio.to_thread(uploads.sweep)


def _many_connections() -> None:
    """As many open sockets as the system allows; containers often start with 1,024."""
    if sys.platform == "linux":
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


class _Protocol(H11Protocol):
    """HTTP; a connection that begins a request and does not send its headers in time is closed."""

    timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        self._stop_watching()

    def _watch(self) -> None:
        if self._answers():
            self._stop_watching()
        elif self.timer is None:  # more of the same headers gives no more time
            self.timer = self.loop.call_later(settings.TIMES.headers, self._close_if_silent)

    def _answers(self) -> bool:
        """Whether a request's headers are there and its answer is not yet given."""
        return self.cycle is not None and not self.cycle.response_complete

    def _stop_watching(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def _close_if_silent(self) -> None:
        self.timer = None
        if not self._answers() and not self.transport.is_closing():
            self.transport.close()


def run(app: fastapi.FastAPI, host: str, port: int) -> None:
    """Serve until SIGTERM or Ctrl-C, then finish what is in flight.

    Raises:
        OSError: the port is taken, or the host is not ours; the message says which.
    """
    # Each reader has a thread of its own; more threads only wait for each other.
    torch.set_num_threads(max(1, _cores() // settings.LIMITS.readers))
    cv2.setNumThreads(1)
    _many_connections()
    listener = bind(host, port)
    config = uvicorn.Config(
        app,
        http=_Protocol,
        ws="none",
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=settings.TIMES.drain,
    )
    shown = "127.0.0.1" if host in ("0.0.0.0", "::", "") else host
    # What is there by now stays. Without this a request now and then waits 0.1 s while the garbage
    # collector looks through the million objects of torch and Gradio.
    gc.collect()
    gc.freeze()
    print(f"Serving on http://{shown}:{port} (Ctrl-C to stop)", flush=True)
    uvicorn.Server(config).run(sockets=[listener])


def _cores() -> int:
    """How many cores this process may use; a container's machine has more."""
    if hasattr(os, "sched_getaffinity"):  # Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def bind(host: str, port: int) -> socket.socket:
    """A listening socket's address, taken before the page is promised to anyone."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio turns off Nagle's delay (40 ms an answer) only where the protocol is named.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise OSError(
            f"cannot listen on {host}, port {port}: {error.strerror}. Try --port {port + 1}."
        ) from error
    return listener
