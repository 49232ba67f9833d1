"""What stands between the network and Gradio: closed by default, and small things only.

`Guard` is ASGI middleware. It lets through the addresses that the app's page and programs use and
answers 404 to all others, bounds every request's body in bytes and in time, lets only files be
named that were uploaded here, and sets headers on every answer.
"""

import asyncio
import re
from typing import Annotated, Any

from pydantic import BaseModel, Field, StrictInt, ValidationError
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mnist_cnn.web import settings
from mnist_cnn.web.server.uploads import Uploads

# What is open: methods, address, and the most bytes that the body may have.
OPEN = [
    (methods.split(), re.compile(address), limit)
    for methods, address, limit in (
        (
            "GET HEAD",
            r"/|/config|/health|/theme\.css|/favicon\.ico|/manifest\.json|/robots\.txt",
            0,
        ),
        ("GET HEAD", r"/(assets|static|svelte)/(?!.*\.\.)[\w./@+-]+", 0),
        ("GET HEAD", r"/gradio_api/(info|app_id|theme\.css|startup-events|heartbeat/\w+)/?", 0),
        ("GET", r"/gradio_api/(queue/data|upload_progress)", 0),
        ("GET HEAD", r"/gradio_api/file=.+", 0),
        ("POST", r"/gradio_api/queue/join/?", settings.LIMITS.call),
        ("POST", r"/gradio_api/upload", settings.LIMITS.upload),
        ("POST", r"/(predict|read)", settings.LIMITS.picture + settings.LIMITS.call),
        ("GET POST DELETE", r"/mcp", settings.LIMITS.mcp),
    )
]
_RANGE = re.compile(r"bytes=(\d{1,15}-\d{0,15}|-\d{1,15})", re.ASCII)
_HEADERS = [(name.lower().encode(), value.encode()) for name, value in settings.HEADERS.items()]


class Call(BaseModel):
    """A call of one of the page's functions over Gradio's queue, as far as visitors have a say."""

    data: list[Any]
    fn_index: Annotated[StrictInt, Field(ge=0)]
    session_hash: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    trigger_id: StrictInt | None = None
    event_data: Any = None


class Guard:
    """ASGI middleware; see the module's docstring.

    Args:
        app: what is guarded.
        uploads: the only folder of which files may be named or fetched.
        functions: how many the page has; calls name them by number.
    """

    def __init__(self, app: ASGIApp, uploads: Uploads, functions: int) -> None:
        self.app = app
        self.uploads = uploads
        self.functions = functions
        self.large = 0  # bodies above settings.LIMITS.large_body that are being received

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, _with_headers(send))
        # A websocket is not accepted: the app has none.

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            limit = self._limit(scope)
            headers = Headers(scope=scope)
            # A body that does not say how long it is may be as long as the address allows.
            unsaid = limit if "transfer-encoding" in headers else 0
            length = int(headers.get("content-length", unsaid))
            if length > limit:
                raise HTTPException(413, f"{length:,} bytes are too many: {limit:,} at most.")
            if length > settings.LIMITS.large_body and self.large >= settings.LIMITS.large_bodies:
                raise HTTPException(
                    503, "Others are sending large files. Try again in a few seconds."
                )
        except HTTPException as refusal:
            response = await refused(None, refusal)
            await response(scope, receive, send)
            return
        self.large += length > settings.LIMITS.large_body
        try:
            receive = _in_time(receive) if limit else receive
            # It counts what comes where no length was said.
            await RequestBodyLimitMiddleware(self._admit, limit)(scope, receive, send)
        finally:
            self.large -= length > settings.LIMITS.large_body

    def _limit(self, scope: Scope) -> int:
        """The most bytes that the body may have, if the address is open."""
        path, method, headers = scope["path"], scope["method"], Headers(scope=scope)
        limit = next(
            (most for methods, rule, most in OPEN if method in methods and rule.fullmatch(path)),
            None,
        )
        if limit is None:
            raise HTTPException(404, "There is nothing at this address.")
        _, of_file, file = path.partition("/gradio_api/file=")
        if of_file and not self.uploads.find(file):
            raise HTTPException(404, "There is no such file, or not any more.")
        if not _RANGE.fullmatch(headers.get("range", "bytes=0-")):  # Gradio answers others with 500
            raise HTTPException(400, "Range must be one range of bytes, as in bytes=0-99.")
        return limit

    async def _admit(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if scope["path"].startswith("/gradio_api/queue/join"):
                body = await Request(scope, receive).body()
                receive = _replayed(self._checked(body), receive)
                scope = _as_json(scope)
            await self.app(scope, receive, send)
        except HTTPException as refusal:
            response = await refused(None, refusal)
            await response(scope, receive, send)

    def _checked(self, body: bytes) -> bytes:
        """A call's JSON: Gradio answers a wrong field with 500, and keeps names of any size."""
        try:
            call = Call.model_validate_json(body)
            if call.fn_index >= self.functions:
                raise HTTPException(400, f"The page has no function {call.fn_index}.")
            call.data = own_files(call.data, self.uploads)
            call.event_data = own_files(call.event_data, self.uploads)
            return call.model_dump_json().encode()
        except ValidationError as error:
            problem = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, problem["loc"])) or "The body"
            raise HTTPException(400, f"{where}: {problem['msg']}.") from error


def own_files(value: Any, uploads: Uploads) -> Any:
    """A JSON value whose files all lie among the uploads, without their URLs.

    Gradio would fetch from URLs, and say nothing of a file that is gone.

    Raises:
        HTTPException: 400, another file is named.
    """
    if isinstance(value, list):
        return [own_files(each, uploads) for each in value]
    if not isinstance(value, dict):
        return value
    value = {key: own_files(each, uploads) for key, each in value.items() if key != "url"}
    if "path" in value:
        value["path"] = uploads.find(value["path"])
        if value["path"] is None:
            raise HTTPException(
                400,
                "A file was not uploaded here, or has been deleted since. Upload it again; "
                "addresses of other hosts are not fetched.",
            )
        uploads.touch(value["path"])
    return value


async def refused(_: Any, refusal: Any) -> Response:
    """What is not done, with its reason. Starlette's handler of `HTTPException`."""
    headers = {
        503: {"Retry-After": "2"},
        # The body is on its way all the same; who reads it on only works for the sender.
        413: {"Connection": "close"},
    }.get(refusal.status_code)
    return JSONResponse({"error": refusal.detail}, refusal.status_code, headers)


def _as_json(scope: Scope) -> Scope:
    """The same request; its body is JSON, whatever it says: Gradio looks into nothing else."""
    replaced = (b"content-type", b"content-length")
    others = [each for each in scope["headers"] if each[0] not in replaced]
    return {**scope, "headers": [*others, (b"content-type", b"application/json")]}


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), *_HEADERS]
        await send(message)

    return sending


def _in_time(receive: Receive) -> Receive:
    """The same request; its body must be there within `settings.TIMES.body`."""
    deadline = asyncio.get_running_loop().time() + settings.TIMES.body
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


def _replayed(body: bytes, receive: Receive) -> Receive:
    given = False

    async def receiving() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receiving
