"""What stands between the network and Gradio: closed by default, and small things only.

`Guard` is ASGI middleware. It lets through the addresses that the app's page and programs use and
answers 404 to all others, bounds every request's body in bytes and in time, reads JSON before
Gradio does, and sets headers on every answer. `upload` and `Uploads` take the place of Gradio's own
uploading, which keeps cut and forgotten files for ever and believes in names.
"""

import asyncio
import io
import json
import os
import re
import shutil
import sys
import time
import uuid
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import httpx
from starlette.datastructures import Headers, UploadFile
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
    ("POST", r"/gradio_api/(queue/join/?|cancel/?|reset/?|call/(predict|read))", settings.MAX_JSON),
    ("POST", r"/gradio_api/upload", settings.MAX_UPLOAD),
    ("POST", r"/(predict|read)", settings.MAX_PICTURE + settings.MAX_JSON),
    ("GET POST DELETE", r"/mcp", settings.MAX_MCP),
)
_RULES = [(methods.split(), re.compile(address), limit) for methods, address, limit in OPEN]
_QUEUED = re.compile(r"/gradio_api/(queue/join/?|call/\w+)")
_FILE = "/gradio_api/file="
# Where JSON is taken, and the fields that it must have.
_JSON = {
    "/gradio_api/queue/join": ("data", "fn_index"),
    "/gradio_api/call/predict": ("data",),
    "/gradio_api/call/read": ("data",),
    "/gradio_api/cancel": ("session_hash", "fn_index", "event_id"),
    "/gradio_api/reset": ("event_id",),
}
_RANGE = re.compile(r"bytes=(\d{1,15}-\d{0,15}|-\d{1,15})", re.ASCII)
_NAME = re.compile(r"[\w-]{1,64}", re.ASCII)
# The headers of which Gradio makes the server's address, and what may stand in them.
_HOST = r"([\w.-]+|\[[\da-f:.]+\])(:\d{1,5})?"
_ADDRESSES = [
    (header, scheme, re.compile(rule, re.ASCII | re.IGNORECASE))
    for header, scheme, rule in (
        ("host", "http://", _HOST),
        ("x-forwarded-host", "http://", _HOST),
        ("x-gradio-server", "", rf"https?://{_HOST}(/[\w./~%+-]*)?"),
    )
]
_HEADERS = [(name.lower().encode(), value.encode()) for name, value in settings.HEADERS.items()]
_LEFT = re.compile(r"mnist-cnn-(\d{1,9})-[0-9a-f]{32}")  # as `settings` names folders
# How PNG, JPEG, WebP, BMP, GIF and ZIP begin. The rest of a header can be as long as the file;
# whoever reads the picture looks at that.
_STARTS = re.compile(
    rb"\x89PNG\r\n\x1a\n|\xff\xd8\xff|RIFF.{4}WEBP|BM|GIF8[79]a|PK\x03\x04", re.DOTALL
)
NO_ROOM = "There is no room for this. Try again in a few minutes."


class Guard:
    """ASGI middleware; see the module's docstring.

    Args:
        app: what is guarded.
        uploads: the only folder of which files may be named or fetched.
        is_full: whether so many wait already that an address lets nobody more into its queue.
        functions: how many the page has; calls name them by number.
    """

    def __init__(
        self, app: ASGIApp, uploads: "Uploads", is_full: Callable[[str], bool], functions: int
    ) -> None:
        self.app = app
        self.uploads = uploads
        self.is_full = is_full
        self.functions = functions
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
            if length:
                receive = _in_time(receive)
            needed = _JSON.get(scope["path"].rstrip("/"))
            if needed and scope["method"] == "POST":
                body = await _whole(receive)
                body = checked_json(body, self.uploads, self.functions, needed)
                receive = _replayed(body, receive)
                scope = _as(scope, "application/json")  # Gradio looks into nothing else
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
        _check_addresses(headers)
        if method == "POST" and _QUEUED.fullmatch(path) and self.is_full(path):
            raise HTTPException(503, "Too many are waiting. Try again in a few seconds.")
        if path.startswith(_FILE) and not self.uploads.find(path.removeprefix(_FILE)):
            raise HTTPException(404, "There is no such file, or not any more.")
        if not _RANGE.fullmatch(headers.get("range", "bytes=0-")):  # Gradio answers others with 500
            raise HTTPException(400, "Range must be one range of bytes, as in bytes=0-99.")
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


def _check_addresses(headers: Headers) -> None:
    """Gradio reads these when a call's turn has come, and says nothing of what it stumbles over."""
    for header, scheme, rule in _ADDRESSES:
        value = headers.get(header, "").split(",")[0].strip()  # of several proxies, as Gradio does
        if value and not (rule.fullmatch(value) and _is_url(scheme + value)):
            raise HTTPException(400, f"The header {header} holds no address of a server.")


@lru_cache(maxsize=64)
def _is_url(text: str) -> bool:
    """Whether Gradio's client library takes it for one."""
    try:
        httpx.URL(text)
    except httpx.InvalidURL:
        return False
    return True


def refused(_: Any, refusal: HTTPException) -> Response:
    """What is not done, with its reason. Shaped as an exception handler of Starlette."""
    headers = {
        503: {"Retry-After": "2"},
        # The body is on its way all the same; who reads it on only works for the sender.
        413: {"Connection": "close"},
    }.get(refusal.status_code)
    return JSONResponse({"error": refusal.detail}, refusal.status_code, headers)


def _as(scope: Scope, kind: str) -> Scope:
    """The same request; its body is of this type, whatever it says."""
    others = [each for each in scope["headers"] if each[0] != b"content-type"]
    return {**scope, "headers": [*others, (b"content-type", kind.encode())]}


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), *_HEADERS]
        await send(message)

    return sending


def _in_time(receive: Receive) -> Receive:
    """The same request; its body must be there within `settings.READ_SECONDS`."""
    deadline = asyncio.get_running_loop().time() + settings.READ_SECONDS
    complete = False

    async def receiving() -> Message:
        nonlocal complete
        if complete:
            return await receive()
        try:
            async with asyncio.timeout_at(deadline):
                message = await receive()
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


def checked_json(
    body: bytes, uploads: "Uploads", functions: int, needed: Iterable[str] = ()
) -> bytes:
    """A JSON object whose files all lie among the uploads, without their URLs.

    Gradio would open a file that was never uploaded, and fetch from URLs.

    Args:
        functions: how many functions may be called.
        needed: fields that must be there.

    Raises:
        HTTPException: 400, what is wrong with it.
    """
    try:
        value = json.loads(body, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, "The body must be JSON.") from error
    if not isinstance(value, dict):
        raise HTTPException(400, "The body must be a JSON object.")
    _check_fields(value, functions, needed)
    level: list[Any] = [value]
    for _ in range(settings.MAX_DEPTH):
        level = [child for node in level for child in _children(node, uploads)]
        if not level:
            return _as_json(value)
    raise HTTPException(400, f"The JSON is nested more than {settings.MAX_DEPTH} deep.")


def _check_fields(value: dict[str, Any], functions: int, needed: Iterable[str]) -> None:
    """Gradio answers a wrong field with 500, or without a sentence, and keeps names of any size."""
    for field in needed:
        if field not in value:
            raise HTTPException(400, f"The JSON must have the field {field}.")
    name = "1 to 64 letters, digits, _ or -", _is_name
    rules = {
        "data": ("a list", lambda given: isinstance(given, list)),
        "fn_index": (
            f"a whole number from 0 to {functions - 1}",
            lambda given: type(given) is int and 0 <= given < functions,
        ),
        "trigger_id": ("a whole number", lambda given: given is None or type(given) is int),
        "session_hash": name,
        "event_id": name,
    }
    for field, (words, is_right) in rules.items():
        if field in value and not is_right(value[field]):
            raise HTTPException(400, f"{field} must be {words}.")
    for field in ("batched", "oauth_token", "simple_format"):  # not for visitors to say
        value.pop(field, None)


def _is_name(given: Any) -> bool:
    return isinstance(given, str) and _NAME.fullmatch(given) is not None


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
            path = uploads.find(node["path"])
            if path is None:
                raise HTTPException(
                    400,
                    "A file was not uploaded here, or has been deleted since. Upload it again; "
                    "addresses of other hosts are not fetched.",
                )
            uploads.touch(path)
            node["path"] = path
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
        # By their folders' names: when they were last named, and their bytes. The oldest first.
        self.kept: dict[str, tuple[float, int]] = {}
        self.bytes = 0  # of all of them, about

    def find(self, path: Any) -> str | None:
        """The real path of a regular file in the folder; nothing if it is none."""
        if not isinstance(path, str) or len(path) > 4096:
            return None
        try:
            real = os.path.realpath(path)
        except ValueError:  # no path at all: it holds a null, or half a character
            return None
        inside = real.startswith(f"{self.folder}{os.sep}") and os.path.isfile(real)
        return real if inside else None

    def touch(self, real: str) -> None:
        """The file is in use: `sweep` leaves its folder for a while."""
        name = Path(real).relative_to(self.folder).parts[0]
        if found := self.kept.pop(name, None):
            self.kept[name] = time.monotonic(), found[1]

    def add(self, name: str | None, content: Any) -> Path:
        """Keep a file's content (a binary stream) under the last part of its name.

        Raises:
            HTTPException: 507, there is too much already.
            OSError: the disk is full.
        """
        if self.bytes > settings.MAX_DISK:
            raise HTTPException(507, NO_ROOM)
        folder = self.folder / uuid.uuid4().hex
        path = folder / plain_name(name)
        try:
            folder.mkdir()
            with path.open("wb") as file:
                shutil.copyfileobj(content, file)
            size = path.stat().st_size
        except OSError:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        self.kept[folder.name] = time.monotonic(), size
        self.bytes += size
        return path

    def add_all(self, files: Iterable[tuple[str | None, Any]]) -> list[Path]:
        """`add` each name and content; if one cannot be kept, none is."""
        paths: list[Path] = []
        try:
            for name, content in files:
                paths.append(self.add(name, content))
        except (HTTPException, OSError):
            for path in paths:
                self._delete(path.parent.name)
            raise
        return paths

    def sweep(self) -> None:
        """Delete what was not named for long, and the oldest where there is too much."""
        now = time.monotonic()
        for name in os.listdir(self.folder):
            if name not in self.kept:  # Gradio puts its copies of the examples there
                self.kept.setdefault(name, (now, _size(self.folder / name)))
        for name, (named, _) in self.kept.copy().items():  # requests change it meanwhile
            if named > now - settings.KEEP_SECONDS and len(self.kept) <= settings.MAX_KEPT:
                break
            self._delete(name)
        self.bytes = sum(size for _, size in self.kept.copy().values())

    def _delete(self, name: str) -> None:
        """A folder that cannot be deleted still counts, and is tried again."""
        shutil.rmtree(self.folder / name, ignore_errors=True)
        if not (self.folder / name).exists():
            _, size = self.kept.pop(name, (0.0, 0))
            self.bytes -= size

    def remove_left(self) -> None:
        """Delete the folders beside this one whose processes were killed."""
        for folder in self.folder.parent.glob("mnist-cnn-*"):
            left = _LEFT.fullmatch(folder.name)
            if left and not _is_alive(int(left[1])):
                shutil.rmtree(folder, ignore_errors=True)  # of other users: they stay


def _is_alive(process: int) -> bool:
    if sys.platform == "win32":  # there, the signal 0 is Ctrl-C
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        return True
    return True


def _size(folder: Path) -> int:
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


async def upload(request: Request, uploads: Uploads) -> Response:
    """Keep a form's files; answers their paths as Gradio's own uploading does."""
    form = request.form(max_files=settings.MAX_FILES, max_fields=4, max_part_size=1024)
    try:
        async with form as fields:
            files = [part for _, part in fields.multi_items() if isinstance(part, UploadFile)]
            if not files:
                raise HTTPException(400, "The form holds no file.")
            contents = [(file.filename, _kept(file.file)) for file in files]
            return JSONResponse([str(path) for path in uploads.add_all(contents)])
    except OSError as error:
        raise HTTPException(507, NO_ROOM) from error


def _kept(file: BinaryIO) -> BinaryIO:
    """What is kept of a file: of what is neither a picture nor a ZIP no more than that it is not.

    Those who read it say so, each file on its own and in the visitor's language.
    """
    start = file.read(12)
    file.seek(0)
    return file if not start or _STARTS.match(start) else io.BytesIO(b"?")
