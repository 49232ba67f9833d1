"""What programs call: `/predict` and `/read` in one exchange, over Gradio's queue, and by MCP.

All three give what `python -m mnist_cnn predict --json` prints for the same file: see `PREDICT`
and `READ` for the JSON.
"""

import asyncio
import base64
import binascii
import os
import re
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from mnist_cnn import MnistCNN
from mnist_cnn.decode import FORMATS, header_size
from mnist_cnn.live import Weights
from mnist_cnn.web import settings

PREDICT = """Read one handwritten digit from a picture (PNG, JPEG, WebP, BMP or GIF).

Returns a JSON object: `digit` (0 to 9, or null if there is no digit), `confidence` (probability of
the likeliest digit, 0 to 1), `probs` (ten probabilities, in the order of the digits), `reason` (why
there is no digit, or null). If the picture cannot be read, the object holds `error` alone, a
sentence."""
READ = """Read all handwritten digits of a picture (PNG, JPEG, WebP, BMP or GIF), line by line.

Returns a JSON object: `text` (the digits in reading order, a line of text for each line of
writing), `digits` (a list of objects with `box` [x, y, width, height] in pixels, `digit`,
`confidence` and `probs`), `reason` (why there is no digit, or null). If the picture cannot be read,
the object holds `error` alone, a sentence."""

# How PNG, JPEG, WebP, BMP, GIF and ZIP begin.
STARTS = re.compile(
    rb"\x89PNG\r\n\x1a\n|\xff\xd8\xff|RIFF.{4}WEBP|BM|GIF8[79]a|PK\x03\x04", re.DOTALL
)

Answer = dict[str, Any]


def predict(model: MnistCNN, picture: bytes | str | None) -> Answer:
    """The JSON of `/predict` for a file's content or path."""
    return _answered(model.predict, picture)


def read(model: MnistCNN, picture: bytes | str | None) -> Answer:
    """The JSON of `/read` for a file's content or path."""
    return _answered(model.read, picture)


def _answered(answer: Callable, picture: bytes | str | None) -> Answer:
    try:
        return answer(picture).to_dict()
    except ValueError as error:
        return {"error": without_folder(error)}


def predict_all(model: MnistCNN, pictures: list[str | None]) -> list[Answer]:
    """`predict` of each path, in one run of the network; without a path nothing was drawn."""
    try:
        return [answer.to_dict() for answer in model.predict(pictures)]
    except ValueError:  # one of them is bad: the others are answered all the same
        return [predict(model, picture) for picture in pictures]


def without_folder(error: ValueError) -> str:
    """The message without the server's folder in front of the file's name."""
    name, colon, text = str(error).partition(": ")
    return os.path.basename(name) + colon + text


def check_upload(name: str, file: Any) -> None:
    """Refuse to keep what is neither a picture, by its first bytes, nor a ZIP.

    The rest of a header can be as long as the file; whoever reads the picture looks at that.

    Raises:
        ValueError: a sentence.
    """
    start = file.read(12)
    if not start:
        raise ValueError(f"{name}: the file is empty")
    if not STARTS.match(start):
        raise ValueError(f"{name}: not a picture; {', '.join(FORMATS)} are read")


class Readers:
    """A few threads that read pictures, and a bounded number of requests that wait for them."""

    def __init__(self) -> None:
        self.threads = ThreadPoolExecutor(settings.READERS, "reader")
        self.large = ThreadPoolExecutor(1, "large-reader", initializer=_step_back)
        self.waiting = self.waiting_large = 0

    async def run(self, function: Callable, model: MnistCNN, picture: bytes) -> Answer:
        """What the function says of the picture.

        Raises:
            HTTPException: 503 if too many wait already.
        """
        self.check_room()
        loop = asyncio.get_running_loop()
        self.waiting += 1
        try:
            answer = await loop.run_in_executor(self.threads, _if_small, function, model, picture)
        finally:
            self.waiting -= 1
        if answer is not None:
            return answer
        if self.waiting_large >= settings.MAX_LARGE:
            raise HTTPException(503, "Too many large pictures are waiting. Try again in a minute.")
        self.waiting_large += 1
        try:
            return await loop.run_in_executor(self.large, function, model, picture)
        finally:
            self.waiting_large -= 1

    def check_room(self) -> None:
        """Refuse who would wait behind too many."""
        if self.waiting >= settings.MAX_QUEUE:
            raise HTTPException(503, "Too many pictures are waiting. Try again in a few seconds.")


def _if_small(function: Callable, model: MnistCNN, picture: bytes) -> Answer | None:
    """The answer, or nothing if the picture is large. Its header may take a while, too."""
    return None if _is_large(picture) else function(model, picture)


def _step_back() -> None:
    """Let the other threads go first, where threads have a priority of their own (Linux)."""
    if sys.platform == "linux":
        usual = os.getpriority(os.PRIO_PROCESS, 0)  # which only root may go below
        niceness = max(usual, settings.LARGE_NICENESS)
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), niceness)


def _is_large(picture: bytes) -> bool:
    try:
        width, height = header_size(picture)
    except Exception:  # whoever reads it says what is wrong with it
        return False
    return width * height > settings.LARGE_PIXELS


async def answer_form(
    request: Request, function: Callable, weights: Weights, readers: Readers
) -> Response:
    """One exchange: a form with the file `image` in, the answer's JSON out."""
    readers.check_room()  # before the body is read
    try:
        async with request.form(max_files=1, max_fields=1, max_part_size=1024) as fields:
            image = fields.get("image")
            if not isinstance(image, UploadFile):
                raise HTTPException(400, "Send a form (multipart/form-data) with the file `image`.")
            content = await image.read()
    except OSError as error:  # larger files lie on the disk meanwhile
        raise HTTPException(
            507, "There is no room for this. Try again in a few minutes."
        ) from error
    answer = await readers.run(function, weights.model, content)
    return JSONResponse(answer, 422 if "error" in answer else 200)


def picture_of_base64(text: str) -> bytes:
    """The bytes of base64, with or without `data:image/…;base64,` in front.

    Raises:
        ValueError: it is not base64.
    """
    try:
        return base64.b64decode(text.partition("base64,")[2] or text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("image_base64 must be the picture's bytes in base64") from error


def mcp_server(weights: Weights, readers: Readers) -> Any:
    """The two tools for agents, at `/mcp`. Needs the extra `mcp`.

    Gradio's own MCP server takes addresses, which it fetches; this one takes pictures alone.
    """
    from mcp.server.fastmcp import FastMCP
    from mcp.server.transport_security import TransportSecuritySettings

    server = FastMCP(
        "mnist-cnn",
        instructions="Reads handwritten digits from pictures.",
        log_level="WARNING",
        stateless_http=True,
        json_response=True,
        max_request_body_size=settings.MAX_MCP,
        # There are no cookies and no accounts, so a page of another host gains nothing here.
        transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),
    )

    async def answered(function: Callable, image_base64: str) -> Answer:
        try:
            picture = picture_of_base64(image_base64)
        except ValueError as error:
            return {"error": str(error)}
        return await readers.run(function, weights.model, picture)

    takes = "\n\nArgs:\n    image_base64: the picture file's bytes in base64."

    @server.tool(description=PREDICT + takes)
    async def predict_digit(image_base64: str) -> Answer:
        return await answered(predict, image_base64)

    @server.tool(description=READ + takes)
    async def read_digits(image_base64: str) -> Answer:
        return await answered(read, image_base64)

    return server
