"""What stands between the network and Gradio: closed by default, and small things only.

`Guard` is ASGI middleware. It lets through the addresses that the app's page and programs use and
answers 404 to all others, bounds every request's body in bytes and in time, reads JSON before
Gradio does, and sets headers on every answer. `upload` and `Uploads` take the place of Gradio's own
uploading, which keeps cut and forgotten files for ever and believes in names.
"""

import asyncio
import json
import os
import re
import shutil
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from starlette.datastructures import Headers, MutableHeaders, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mnist_cnn.web import settings

# What is open: methods, address, and the most bytes that the body may have.
OPEN = (
    ("GET HEAD", r"/|/config|/health|/theme\.css|/favicon\.ico|/manifest\.json|/robots\.txt", 0),
    ("GET HEAD", r"/(assets|static|svelte)/(?!.*\.\.)[\w./@+-]+", 0),
    ("GET HEAD", r"/gradio_api/(info|app_id|theme\.css|startup-events|heartbeat/\w+)/?", 0),
    ("GET", r"/gradio_api/(queue/data|upload_progress|call/(predict|read)/\w+)", 0),
    ("GET HEAD", r"/gradio_api/file=.+", 0),
    ("POST", r"/gradio_api/(queue/join|cancel|reset|call/(predict|read))/?", settings.MAX_JSON),
    ("POST", r"/gradio_api/upload", settings.MAX_UPLOAD),
    ("POST", r"/(predict|read)", settings.MAX_PICTURE + settings.MAX_JSON),
    ("GET POST DELETE", r"/mcp", settings.MAX_MCP),
)
_RULES = [(methods.split(), re.compile(address), limit) for methods, address, limit in OPEN]
_JSON = re.compile(r"/gradio_api/(queue/join|cancel|reset|call/.+)")
_QUEUED = re.compile(r"/gradio_api/(queue/join|call/.+)")
_FILE = "/gradio_api/file="


class Guard:
    """ASGI middleware; see the module's docstring.

    Args:
        app: what is guarded.
        uploads: the only folder of which files may be named or fetched.
        is_full: whether so many wait already that nobody more is let into the queue.
    """

    def __init__(self, app: ASGIApp, uploads: "Uploads", is_full: Callable[[], bool]) -> None:
        self.app = app
        self.uploads = uploads
        self.is_full = is_full
        self.large = 0  # bodies above settings.LARGE that are being received

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, _with_headers(send))
        # A websocket is not accepted: the app has none.

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        length = 0
        try:
            length = self._checked_length(scope)
            self.large += length > settings.LARGE
            receive = _in_time(receive)
            if _JSON.fullmatch(scope["path"]) and scope["method"] == "POST":
                body = await _whole(receive)
                receive = _replayed(checked_json(body, self.uploads), receive)
            await self.app(scope, receive, send)
        except HTTPException as refusal:
            await refused(None, refusal)(scope, receive, send)
        finally:
            self.large -= length > settings.LARGE

    def _checked_length(self, scope: Scope) -> int:
        """The body's length, if the address is open and the body may come."""
        path, method, headers = scope["path"], scope["method"], Headers(scope=scope)
        limit = next(
            (most for methods, rule, most in _RULES if method in methods and rule.fullmatch(path)),
            None,
        )
        if limit is None:
            raise HTTPException(404, "There is nothing at this address.")
        if method == "POST" and _QUEUED.fullmatch(path) and self.is_full():
            raise HTTPException(503, "Too many are waiting. Try again in a few seconds.")
        if path.startswith(_FILE) and not self.uploads.holds(path.removeprefix(_FILE)):
            raise HTTPException(404, "There is no such file, or not any more.")
        if "transfer-encoding" in headers:
            raise HTTPException(411, "Send the body with a Content-Length.")
        length = headers.get("content-length", "0")
        if not length.isascii() or not length.isdigit():
            raise HTTPException(400, "Content-Length must be a number.")
        if int(length) > limit:
            raise HTTPException(
                413,
                f"{int(length):,} bytes are too many; at most {limit:,} are taken here."
                if limit
                else "No body is taken here.",
            )
        if int(length) > settings.LARGE and self.large >= settings.MAX_LARGE_UPLOADS:
            raise HTTPException(503, "Others are sending large files. Try again in a few seconds.")
        return int(length)


def refused(_: Any, refusal: HTTPException) -> Response:
    """What is not done, with its reason. Shaped as an exception handler of Starlette."""
    headers = {
        503: {"Retry-After": "2"},
        # The body is on its way all the same; who reads it on only works for the sender.
        413: {"Connection": "close"},
    }.get(refusal.status_code)
    return JSONResponse({"error": refusal.detail}, refusal.status_code, headers)


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers.update(settings.HEADERS)
        await send(message)

    return sending


def _in_time(receive: Receive) -> Receive:
    """The same request; its body must be there within `settings.READ_SECONDS`."""
    deadline = time.monotonic() + settings.READ_SECONDS
    complete = False

    async def receiving() -> Message:
        nonlocal complete
        if complete:
            return await receive()
        try:
            message = await asyncio.wait_for(receive(), max(0.0, deadline - time.monotonic()))
        except TimeoutError:
            raise HTTPException(408, "The request took too long to arrive.") from None
        complete = not message.get("more_body", False)
        return message

    return receiving


async def _whole(receive: Receive) -> bytes:
    parts = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise HTTPException(400, "The request was cut off.")
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


def _replayed(body: bytes, receive: Receive) -> Receive:
    given = False

    async def receiving() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receiving


def checked_json(body: bytes, uploads: "Uploads") -> bytes:
    """A JSON object whose files all lie among the uploads, without their URLs.

    Gradio would open a file that was never uploaded, and fetch from URLs.

    Raises:
        HTTPException: 400, what is wrong with it.
    """
    try:
        value = json.loads(body, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, "The body must be JSON.") from error
    if not isinstance(value, dict):
        raise HTTPException(400, "The body must be a JSON object.")
    level: list[Any] = [value]
    for _ in range(settings.MAX_DEPTH):
        level = [child for node in level for child in _children(node, uploads)]
        if not level:
            return _as_json(value)
    raise HTTPException(400, f"The JSON is nested more than {settings.MAX_DEPTH} deep.")


def _as_json(value: Any) -> bytes:
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except ValueError as error:  # half a character (a lone surrogate), or 1e999
        raise HTTPException(400, "The JSON holds what no JSON can hold.") from error


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _children(node: Any, uploads: "Uploads") -> list[Any]:
    """What a JSON value holds that may hold more; files are checked on the way."""
    if isinstance(node, dict):
        if "path" in node:
            if not uploads.holds(node["path"]):
                raise HTTPException(
                    400,
                    "A file was not uploaded here, or has been deleted since. Upload it again; "
                    "addresses of other hosts are not fetched.",
                )
            # It is in use: `Uploads.sweep` leaves its folder for a while.
            os.utime(os.path.dirname(node["path"]))
        node.pop("url", None)
        return [child for child in node.values() if isinstance(child, dict | list)]
    return [child for child in node if isinstance(child, dict | list)]


class Uploads:
    """A folder of files that visitors sent, each in a folder of its own with a name of chance.

    Files go `settings.KEEP_SECONDS` after they were last named; all of them together are bounded.
    """

    def __init__(self, folder: str | Path) -> None:
        Path(folder).mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder = Path(folder).resolve()
        self.bytes = 0  # on the disk, about

    def holds(self, path: Any) -> bool:
        """Whether this is the path of a regular file in the folder."""
        if not isinstance(path, str) or len(path) > 4096:
            return False
        try:
            real = os.path.realpath(path)
        except ValueError:  # no path at all: it holds a null, or half a character
            return False
        return real.startswith(f"{self.folder}{os.sep}") and os.path.isfile(real)

    def add(self, name: str | None, content: Any) -> Path:
        """Keep a file's content (a binary stream) under the last part of its name."""
        if self.bytes > settings.MAX_DISK:
            raise HTTPException(507, "Too much was uploaded. Try again in a few minutes.")
        folder = self.folder / uuid.uuid4().hex
        folder.mkdir()
        path = folder / plain_name(name)
        try:
            with path.open("wb") as file:
                shutil.copyfileobj(content, file)
        except OSError as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise HTTPException(507, "There is no room for this file.") from error
        self.bytes += path.stat().st_size
        return path

    def sweep(self) -> None:
        """Delete what was not named for long, and the oldest where there is too much."""
        found = []
        with os.scandir(self.folder) as entries:
            for entry in entries:
                found.append((entry.stat(follow_symlinks=False).st_mtime, entry.path))
        found.sort(reverse=True)
        oldest = time.time() - settings.KEEP_SECONDS
        kept = [path for named, path in found[: settings.MAX_KEPT] if named > oldest]
        for _, path in found[len(kept) :]:
            shutil.rmtree(path, ignore_errors=True)
        self.bytes = sum(_size(path) for path in kept)


def _size(folder: str) -> int:
    """Bytes of the files in a folder; 0 if it is gone."""
    try:
        with os.scandir(folder) as entries:
            return sum(entry.stat(follow_symlinks=False).st_size for entry in entries)
    except OSError:
        return 0


def plain_name(name: str | None) -> str:
    """The last part of a file's name, without what a path, a page or a terminal would act on."""
    last = re.split(r"[\\/]", name or "")[-1]
    kept = "".join(c for c in last if c.isalnum() or c in " ._-()+").strip(" .")
    while len(kept.encode()) > 120:  # file systems allow 255 bytes
        kept = kept[1:]
    return kept or "file"


async def upload(request: Request, uploads: Uploads, check: Callable[[str, Any], None]) -> Response:
    """Keep a form's files; answers their paths as Gradio's own uploading does.

    Args:
        check: called with each name and stream; raises `ValueError` for what is not to be kept.
    """
    form = request.form(max_files=settings.MAX_FILES, max_fields=4, max_part_size=1024)
    async with form as fields:
        files = [part for _, part in fields.multi_items() if isinstance(part, UploadFile)]
        if not files:
            raise HTTPException(400, "The form holds no file.")
        for file in files:
            try:
                check(plain_name(file.filename), file.file)
            except ValueError as error:
                raise HTTPException(415, str(error)) from error
            file.file.seek(0)
        return JSONResponse([str(uploads.add(file.filename, file.file)) for file in files])
