"""The page: its tabs, and what happens on them."""

import math
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Literal

import gradio as gr
from PIL import Image
from starlette.exceptions import HTTPException

from mnist_cnn.ink import WORK_SIDE, Ink, PictureError, decode, find_ink, open_picture
from mnist_cnn.model import MnistCNN
from mnist_cnn.reading import Reason, predict_ink, read_ink
from mnist_cnn.web import settings
from mnist_cnn.web.page import many, views
from mnist_cnn.web.page.about import about
from mnist_cnn.web.page.markup import html
from mnist_cnn.web.page.sketchpad import png, sketchpad
from mnist_cnn.web.page.texts import live_region, phrase, phrases, text, translations
from mnist_cnn.web.server import Corrections, Readers, Task, Weights, api

FOLDER = Path(__file__).parent
EXAMPLES = tuple(sorted((FOLDER / "examples").glob("*.jpg")))
WHOLE = (0.0, 0.0, 1.0, 1.0)

# What `serve.make_app` gives to Gradio beside the page.
OPTIONS = {"css": (FOLDER / "page.css").read_text(encoding="utf-8"), "i18n": translations()}

Source = Literal["upload", "clipboard", "webcam"]
Box = tuple[float, ...]  # left, top, right, bottom in shares of a picture


def draw(weights: Weights, drawing: str | None) -> str:
    """The answer to a drawing."""
    try:
        content = png(drawing)
        if content is None:
            return views.panel(phrase("invite_draw"))
        picture = open_picture(content)
        return one_digit(weights.model, picture, find_ink(picture), drawn=True)
    except PictureError as error:
        return views.refusal(error)
    except ValueError:
        return views.panel(phrase("bad_drawing"))


def one_digit(model: MnistCNN, picture: Image.Image, ink: Ink, drawn: bool = False) -> str:
    """The answer with its hints."""
    prediction = predict_ink(model, ink)
    hints = views.hints(ink.levels, drawn)
    if prediction.digit is None or prediction.confidence < settings.SHOWN.doubtful:
        # After every stroke of an unfinished digit: a quick look is enough.
        hints += views.several(read_ink(model, ink, thorough=False))
    return views.answer(model, prediction, picture, ink.levels, hints)


def photo(weights: Weights, path: str | None, crop: Box = WHOLE) -> tuple[str, str]:
    """The picture with its boxes, and where it holds one digit the answer in full."""
    if path is None:
        return "", views.panel(phrase("invite_photo"))
    try:
        picture, model = cropped(path, crop), weights.model
        ink = find_ink(picture)
        reading = read_ink(model, ink)
        shown = views.reading(reading, picture, crop)
        if reading.reason is Reason.TOO_MUCH:
            return shown, views.panel(phrase(reading.reason))
        return shown, "" if len(reading.digits) > 1 else one_digit(model, picture, ink)
    except PictureError as error:
        return "", views.refusal(error)
    except OSError:
        return "", views.panel(phrase("bad_gone"))


def cropped(path: str, crop: Box) -> Image.Image:
    """The part of a picture; a small part of a large photo is decoded at a larger size."""
    left, top, right, bottom = crop
    share = max(right - left, bottom - top)
    detail = round(min(WORK_SIDE / share, settings.SHOWN.detail * WORK_SIDE))
    picture, _ = decode(Path(path).read_bytes(), Path(path).name, detail)
    width, height = picture.size
    x, y = math.floor(left * width), math.floor(top * height)
    return picture.crop(
        (x, y, max(x + 1, round(right * width)), max(y + 1, round(bottom * height)))
    )


def checked_crop(values: Any) -> Box:
    """What the page says was dragged over; the whole picture if it makes no sense."""
    if not isinstance(values, list) or len(values) != 4:
        return WHOLE
    if not all(isinstance(value, int | float) and 0 <= value <= 1 for value in values):
        return WHOLE
    left, top, right, bottom = values
    large = right - left >= settings.SHOWN.crop and bottom - top >= settings.SHOWN.crop
    return (left, top, right, bottom) if large else WHOLE


def read_many(
    weights: Weights, paths: list[str] | None, stopped: Callable[[], bool]
) -> Iterator[tuple[Any, Any, Any]]:
    """Progress while pictures are read, then the table and the file for download.

    Args:
        stopped: asked after every few pictures whether the rest is still wanted.
    """
    cancel, download = partial(gr.Button, visible=False), gr.DownloadButton(visible=False)
    if not paths:
        yield phrase_line("invite_many"), cancel(), download
        return
    try:
        total, found = many.sources(paths)
    except many.BadZip as error:
        yield phrase_line(str(error)), cancel(), download
        return
    rows: list[many.Row] = []
    started = time.monotonic()
    yield many.progress(0, total, started), cancel(visible=True), download
    for chunk in many.read_each(weights.model, found):
        rows += chunk
        if stopped():
            break
        yield many.progress(len(rows), total, started), gr.skip(), gr.skip()
    file = Path(paths[0]).with_name("digits.csv")
    try:
        file.write_text(many.as_csv(rows), encoding="utf-8")
        download = gr.DownloadButton(value=str(file), visible=True)
    except OSError as error:  # the table is worth showing without it
        print(f"app.py: a table could not be written: {error}", file=sys.stderr)
    yield many.table(rows, many.summary(rows, total)), cancel(), download


def phrase_line(key: str) -> str:
    return html("line", text=phrase(key), said=True)


def header(weights: Weights) -> str:
    """The title, and what visitors should know about where the weights came from."""
    notice = phrase(weights.notice, weights.source) if weights.notice else None
    return html("header", notice=notice)


def example_buttons() -> str:
    """The pictures that can be read with one click."""
    side = settings.SHOWN.example
    return html("examples", pictures=[views.thumbnail(Image.open(f), side) for f in EXAMPLES])


def ask_what_it_was(
    weights: Weights,
    corrections: Corrections | None,
    source: gr.components.Component,
    picture_of: Callable[[Any], bytes | str | None],
) -> None:
    """Buttons to say what the picture of `source` really was; none if corrections are off."""
    if not corrections:
        return

    def keep(value: Any, right: str) -> tuple[None, str]:
        said = kept(weights.model, corrections, picture_of, value, right)
        return None, html("line", text=said, said=True)

    with gr.Accordion(text("read_wrong"), open=False):
        place = corrections.data_set
        consent = phrase("kept_on_hub", place) if place else phrase("kept_here")
        phrases(html("line", text=consent, said=False))
        right = gr.Radio(weights.model.config.class_names, label=text("it_was"))
        thanks = phrases()
        right.input(
            keep,
            [source, right],
            [right, thanks],
            **quietly(settings.LIMITS.readers),
        )


def kept(
    model: MnistCNN,
    corrections: Corrections,
    picture_of: Callable[[Any], bytes | str | None],
    value: Any,
    right: str,
) -> str:
    """What is said after a correction was kept, or was not."""
    try:
        picture = picture_of(value)
        if picture is None:
            return phrase("no_picture")
        corrections.keep(model, picture, right)
        return phrase("thanks", right)
    except ValueError as error:
        return phrase("not_kept", api.without_folder(error))
    except OSError as error:
        print(f"app.py: a correction was not kept: {error}", file=sys.stderr)
        return phrase("not_written")


def build(readers: Readers, corrections: Corrections | None = None) -> gr.Blocks:
    """The page; every answer uses the model that is in use at that moment."""
    weights = readers.weights
    js = (FOLDER / "photo.js").read_text(encoding="utf-8")
    with gr.Blocks(title="Handwritten digits", analytics_enabled=False) as page:
        head = phrases(header(weights))
        live_region()
        with gr.Tab(text("draw"), id="draw"), gr.Row():
            with gr.Column(min_width=280):
                drawing = sketchpad(text("words"))
            with gr.Column(min_width=280):
                drawing_answer = phrases(draw(weights, None))
                ask_what_it_was(weights, corrections, drawing, png)
        with gr.Tab(text("photo"), id="photo"), gr.Row():
            with gr.Column(min_width=280):
                upload = picture_input(
                    ["upload", "clipboard", "webcam"], label=text("picture"), show_label=False
                )
                examples = phrases(
                    example_buttons(),
                    js_on_load="element.addEventListener('click', (event) => {"
                    " const button = event.target.closest('button');"
                    " if (button) trigger('pick', {index: Number(button.dataset.example)}); });",
                )
            with gr.Column(min_width=280):
                with gr.HTML(
                    html_template="@children",
                    css_template="gap: 0; .html-container { padding: 0; }",
                    js_on_load=js,
                    apply_default_css=False,
                ) as crop:
                    shown = phrases()
                photo_answer = phrases(photo(weights, None)[1])
                ask_what_it_was(weights, corrections, upload, uploaded)
        with gr.Tab(text("many"), id="many"):
            files = gr.File(
                label=text("files"), file_count="multiple", file_types=["image", ".zip"], height=160
            )
            table = phrases(phrase_line("invite_many"))
            with gr.Row():
                cancel = gr.Button(text("cancel"), visible=False, size="sm")
                download = gr.DownloadButton(text("download"), visible=False, size="sm")
        with gr.Tab(text("about"), id="about"):
            numbers = phrases(about(weights.model), elem_id="weights")

        live = quietly(settings.LIMITS.readers)
        # "always_last": a stroke that ends while the one before is read is read next, not dropped.
        drawing.input(
            partial(draw, weights), drawing, drawing_answer, trigger_mode="always_last", **live
        )

        def read_crop(file: dict | None, box: Any = None) -> tuple[str, str]:
            return photo(weights, uploaded(file), checked_crop(box))

        upload.change(read_crop, upload, [shown, photo_answer], **live)

        def pick(event: gr.EventData) -> str:
            return str(EXAMPLES[event.index])

        crop.input(
            read_crop, [upload, crop], [shown, photo_answer], trigger_mode="always_last", **live
        )
        # Not "always_last": Gradio (6.31) would run the first event's data again, not the last's.
        # One at a time, so that the last is the last.
        in_turn = live | {"concurrency_id": "pick", "concurrency_limit": 1}
        examples.pick(pick, None, upload, trigger_mode="multiple", **in_turn)

        reading: set[str | None] = set()  # the sessions whose pictures are read and still wanted

        def read_files(paths: list[str] | None, request: gr.Request) -> Iterator[tuple]:
            session = request.session_hash
            reading.add(session)
            try:
                yield from read_many(weights, paths, lambda: session not in reading)
            finally:
                reading.discard(session)

        def stop(request: gr.Request) -> None:
            reading.discard(request.session_hash)

        files.change(
            read_files,
            files,
            [table, cancel, download],
            concurrency_id="many",  # whoever draws does not wait behind 500 pictures
            concurrency_limit=1,
            show_progress="hidden",
            api_visibility="private",
        )
        cancel.click(stop, None, None, **live)
        # Anew for every visitor: the weights may have been exchanged since the start.
        page.load(lambda: (header(weights), about(weights.model)), None, [head, numbers], **live)
        add_endpoints(readers)
    page.queue(
        api_open=False,  # else every call could pass by the queue and its limits
        max_size=settings.LIMITS.queue,
        status_update_rate=settings.TIMES.status,
    )
    return page


def add_endpoints(readers: Readers) -> None:
    """`/predict` and `/read` over Gradio's queue, for `gradio_client`."""
    for name, description in (("predict", api.PREDICT), ("read", api.READ)):

        async def answer(image: dict | None, task: Task = api.TASKS[name]) -> dict:
            try:
                return await readers.run(task, uploaded(image))
            except HTTPException as refusal:
                raise gr.Error(refusal.detail, print_exception=False) from refusal

        gr.Button(visible=False).click(
            answer,
            picture_input(["upload"], label="image", visible=False),
            gr.JSON(visible=False, label="answer"),
            api_name=name,
            api_description=description,
            show_progress="hidden",
            # They wait for the readers, too; Gradio's 40 places are for those who draw as well.
            concurrency_id="programs",
            concurrency_limit=settings.LIMITS.readers * settings.LIMITS.batch,
            # Input and answer are what they are: Gradio would hand each to a thread and back.
            preprocess=False,
            postprocess=False,
        )


def quietly(count: int) -> dict[str, Any]:
    """Options of the page's own events: all with the same count share so many threads.

    Files arrive unopened: Gradio would open them with every decoder that Pillow has, and answer a
    bad one without a reason.
    """
    return {
        "show_progress": "hidden",
        "api_visibility": "private",
        "concurrency_id": "readers",
        "concurrency_limit": count,
        "preprocess": False,
    }


def picture_input(sources: list[Source], **options: Any) -> gr.Image:
    """An image input that keeps the file as it was sent."""
    return gr.Image(type="filepath", image_mode=None, sources=sources, **options)


def uploaded(file: dict | None) -> str | None:
    """The path of an upload; the guard has looked already, but a path is a path."""
    if not file:
        return None
    if not Path(file["path"]).resolve().is_relative_to(settings.UPLOADS):
        raise gr.Error("This file was not uploaded here.", print_exception=False)
    return file["path"]
