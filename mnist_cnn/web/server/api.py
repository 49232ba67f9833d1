"""What programs call: `/predict` and `/read`, over HTTP, Gradio's queue and MCP.

All give what `python -m mnist_cnn predict --json` prints for the same file: see `PREDICT`
and `READ` for the JSON.
"""

import base64
import binascii
import os
from typing import Any

import numpy as np
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from mnist_cnn.ink import find_ink, frame
from mnist_cnn.model import MnistCNN
from mnist_cnn.reading import SENTENCES, Prediction, Reading, read_frames
from mnist_cnn.web import settings
from mnist_cnn.web.server.readers import Answer, Picture, Readers, Task
from mnist_cnn.web.server.uploads import NO_ROOM

PREDICT = """Read one handwritten digit from a picture (PNG, JPEG, WebP, BMP or GIF).

Returns a JSON object: `digit` (index of the class, for digits 0 to 9; null if there is none to
read), `label` (the name of the class, or null), `confidence` (probability of the likeliest class,
0 to 1), `probs` (the probability of each class), `reason` (why there is no digit: `no_ink`,
`not_one_digit`, or null), `message` (the same as a sentence, or null). If the picture cannot be
read, the object holds `error` alone, a sentence."""
READ = """Read all handwritten digits of a picture (PNG, JPEG, WebP, BMP or GIF), line by line.

Returns a JSON object: `text` (the labels in reading order, a line of text for each line of
writing), `digits` (a list of objects with `box` [x, y, width, height] in pixels, `digit`,
`label`, `confidence` and `probs`), `reason` (why there is no digit: `no_ink`, `no_shape`,
`no_digit`, `too_much`, or null), `message` (the same as a sentence, or null). If the picture cannot
be read, the object holds `error` alone, a sentence."""


def predict(model: MnistCNN, pictures: list[Picture]) -> list[Answer]:
    """The JSON of `/predict` for each picture, in one run of the network."""
    frames: list[np.ndarray] = []
    answers: list[Answer] = []
    for picture in pictures:
        try:
            frames.append(frame(find_ink(picture)))
            answers.append({})
        except ValueError as error:
            answers.append({"error": without_folder(error)})
    predictions = iter(read_frames(model, np.stack(frames)) if frames else ())
    return [answer or with_message(next(predictions)) for answer in answers]


def read(model: MnistCNN, pictures: list[Picture]) -> list[Answer]:
    """The JSON of `/read` for each picture."""
    return [_read(model, picture) for picture in pictures]


def _read(model: MnistCNN, picture: Picture) -> Answer:
    try:
        return with_message(model.read(picture))
    except ValueError as error:
        return {"error": without_folder(error)}


def with_message(answer: Prediction | Reading) -> Answer:
    """An answer's JSON, with the sentence that says why there is no digit."""
    return answer.to_dict() | {"message": answer.reason and SENTENCES[answer.reason]}


# Pages are read one by one, so nobody waits for another's.
TASKS = {"predict": Task(predict, settings.LIMITS.batch), "read": Task(read)}


def without_folder(error: ValueError) -> str:
    """The message without the server's folder in front of the file's name."""
    name, colon, text = str(error).partition(": ")
    return os.path.basename(name) + colon + text


async def answer_form(request: Request, task: Task, readers: Readers) -> Response:
    """One exchange: a form with the file `image` in, the answer's JSON out."""
    readers.check_room()  # before the body is read
    try:
        async with request.form(max_files=1, max_fields=1, max_part_size=1024) as fields:
            image = fields.get("image")
            if not isinstance(image, UploadFile):
                raise HTTPException(400, "Send a form (multipart/form-data) with the file `image`.")
            content = await image.read()
    except OSError as error:  # larger files lie on the disk meanwhile
        raise HTTPException(507, NO_ROOM) from error
    answer = await readers.run(task, content)
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


def mcp_server(readers: Readers) -> Any:
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
        max_request_body_size=settings.LIMITS.mcp,
        # There are no cookies and no accounts, so a page of another host gains nothing here.
        transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),
    )

    async def answered(name: str, image_base64: str) -> Answer:
        try:
            picture = picture_of_base64(image_base64)
        except ValueError as error:
            return {"error": str(error)}
        return await readers.run(TASKS[name], picture)

    takes = "\n\nArgs:\n    image_base64: the picture file's bytes in base64."

    @server.tool(description=PREDICT + takes)
    async def predict_digit(image_base64: str) -> Answer:
        return await answered("predict", image_base64)

    @server.tool(description=READ + takes)
    async def read_digits(image_base64: str) -> Answer:
        return await answered("read", image_base64)

    return server
