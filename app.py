"""The web app: `python app.py [--model MODEL] [--port N] [--host H]`.

Draw a digit or upload a picture; see the answer, the ten probabilities and what the network saw.
"""

import argparse
import base64
import io
import logging
import os
import sys
from collections.abc import Callable
from html import escape
from typing import Any

# Read when these packages are imported: no telemetry, no version check, no request to anyone.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"

import gradio as gr
import numpy as np
from PIL import Image

from mnist_cnn import MnistCNN, Prediction, Reading
from mnist_cnn.corrections import Corrections
from mnist_cnn.ink import open_picture, picture_size
from mnist_cnn.live import Weights
from mnist_cnn.sketchpad import png, sketchpad

PORT = 7860
SHOWN = 800  # pixels: longer side of an uploaded picture that is shown with boxes
HEAT = np.array([255, 115, 20])  # RGB
CSS = """
.gradio-container { width: 100%; max-width: 960px !important; margin: 0 auto !important; }
.answer { display: grid; gap: 10px; grid-template-columns: auto 1fr; align-items: center; }
.answer .digit { font-size: 88px; font-weight: 700; line-height: 1; min-width: 90px; text-align: center; }
.answer .sure { font-size: 17px; margin: 0; }
.answer .bars { grid-column: 1 / -1; list-style: none; margin: 0; padding: 0; }
.answer .bars li { display: grid; grid-template-columns: 16px 1fr 62px; gap: 8px; align-items: center; }
.answer .bars .bar { height: 14px; border-radius: 4px; background: var(--border-color-primary); }
.answer .bars .fill { height: 100%; border-radius: 4px; background: var(--color-accent); }
.answer .bars .share { text-align: right; font-variant-numeric: tabular-nums; }
.answer .pictures { grid-column: 1 / -1; display: flex; gap: 16px; }
.answer figure { margin: 0; }
.answer figcaption { font-size: 13px; margin-top: 4px; }
.answer figure img { width: 112px; height: 112px; image-rendering: pixelated; border-radius: 6px; }
.reading pre { font: 700 34px/1.2 var(--font); margin: 0 0 10px; white-space: pre-wrap; }
.reading .boxes { position: relative; }
.reading img, .reading svg { display: block; width: 100%; border-radius: 6px; }
.reading svg { position: absolute; inset: 0; height: 100%; overflow: visible; }
.reading rect { fill: none; stroke: #e85d04; stroke-width: 2; vector-effect: non-scaling-stroke; }
.reading text { fill: #e85d04; font-weight: 700; }
@media (max-width: 640px) { .answer .digit { font-size: 56px; min-width: 56px; } }
"""  # noqa: E501


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    # One line names the weights and their commit; the libraries' own lines stay out.
    logging.basicConfig(format="app.py: %(message)s")
    logging.getLogger("mnist_cnn").setLevel(logging.INFO)
    try:
        weights = Weights.of(args.model)
        names = weights.model.config.class_names
        corrections = Corrections(args.corrections, names) if args.corrections else None
    except (ValueError, OSError) as error:
        print(f"app.py: {error}", file=sys.stderr)
        return 1
    try:
        build(weights, corrections).launch(
            server_name=args.host,
            server_port=args.port,
            css=CSS,
            ssr_mode=False,  # it would need Node, and outlives Python
            run_history=False,  # what people draw is not kept
            enable_monitoring=False,
            footer_links=["api"],
        )
    except OSError as error:
        print(
            f"app.py: cannot listen on port {args.port}: {error}. "
            f"Another program may be using it; try --port {args.port + 1}.",
            file=sys.stderr,
        )
        return 1
    return 0


def parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(description="Draw a digit in the browser and have it read.")
    result.add_argument(
        "--model",
        default=os.environ.get("MNIST_CNN_MODEL"),
        help="folder, or Hub repo USER/NAME[@REVISION] (default: $MNIST_CNN_MODEL, else bundled)",
    )
    result.add_argument(
        "--corrections",
        metavar="DIR|USER/DATASET",
        help="let people say what a digit was, and keep that to train on (default: off)",
    )
    result.add_argument("--host", help="address to listen on (default: $GRADIO_SERVER_NAME)")
    result.add_argument(
        "--port",
        type=int,
        default=int(os.environ.get("GRADIO_SERVER_PORT", PORT)),
        help=f"port to listen on (default: $GRADIO_SERVER_PORT, else {PORT})",
    )
    return result


def build(weights: Weights, corrections: Corrections | None = None) -> gr.Blocks:
    """The page; the functions inside are its handlers. Each takes the model of its moment."""

    def read_drawing(drawing: str | None) -> str:
        return or_reason(
            lambda model: one(model, png(drawing), "Draw a digit: it is read after every stroke.")
        )

    def read_upload(path: str | None) -> str:
        invitation = "Choose a picture: it is read at once."
        return or_reason(lambda model: several(model, path) or one(model, path, invitation))

    def or_reason(answer: Callable[[MnistCNN], str]) -> str:
        model = weights.model
        try:
            return answer(model)
        except ValueError as error:
            names = model.config.class_names
            return answer_html(model.predict(None), names, text=without_folder(error))

    def one(model: MnistCNN, image: bytes | str | None, invitation: str) -> str:
        prediction = model.predict(image)
        heatmap = model.explain(prediction.frame)
        text = invitation if image is None else ""
        return answer_html(prediction, model.config.class_names, heatmap, text)

    def several(model: MnistCNN, path: str | None) -> str:
        reading = model.read(path)
        names = model.config.class_names
        return reading_html(path, reading, names) if len(reading.digits) > 1 else ""

    def predict(path: str | None) -> dict[str, Any]:
        try:
            return weights.model.predict(path).to_dict()
        except ValueError as error:
            raise gr.Error(without_folder(error), print_exception=False) from error

    with gr.Blocks(title="Handwritten digits", analytics_enabled=False) as page:
        gr.Markdown("# Handwritten digits\nDraw one digit, or upload a picture of one or more.")
        with gr.Tab("Draw"), gr.Row():
            with gr.Column():
                drawing = sketchpad()
            with gr.Column():
                answer = gr.HTML(read_drawing(None), apply_default_css=False)
                ask_what_it_was(weights, corrections, drawing, png)
        with gr.Tab("Upload"), gr.Row():
            with gr.Column():
                upload = picture(
                    "A picture of one or more digits", ["upload", "clipboard", "webcam"]
                )
            with gr.Column():
                upload_answer = gr.HTML(read_upload(None), apply_default_css=False)
                ask_what_it_was(weights, corrections, upload, lambda path: path)
        about = gr.Markdown(weights_text(weights), elem_id="weights")

        live = {"show_progress": "hidden", "api_visibility": "private"}
        # "always_last": a stroke that ends while the one before is read is read next, not dropped.
        drawing.input(read_drawing, drawing, answer, trigger_mode="always_last", **live)
        upload.change(read_upload, upload, upload_answer, **live)
        # Made anew for every visitor: the weights may have changed since the start.
        page.load(lambda: weights_text(weights), None, about, **live)

        # The endpoint for programs: a picture in, JSON out.
        image = picture("picture", ["upload"], visible=False)
        result = gr.JSON(visible=False, label="digit, confidence, probs, reason")
        gr.Button(visible=False).click(predict, image, result, api_name="predict")
    return page


def ask_what_it_was(
    weights: Weights,
    corrections: Corrections | None,
    source: gr.components.Component,
    picture_of: Callable[[str | None], bytes | str | None],
) -> None:
    """Buttons to say what the picture of `source` really was; none if corrections are off."""
    if not corrections:
        return

    def keep(value: str | None, right: str) -> tuple[None, str]:
        try:
            picture = picture_of(value)
            if picture is None:
                return None, "There is no picture yet."
            corrections.keep(weights.model, picture, right)
            return None, f"Thank you: kept as “{right}”."
        except ValueError as error:
            return None, f"Not kept: {without_folder(error)}"
        except OSError as error:
            print(f"app.py: a correction was not kept: {error}", file=sys.stderr)
            return None, "Not kept: it could not be written. Please tell whoever runs this page."

    with gr.Accordion("Read wrong? Say what it was", open=False):
        gr.Markdown(corrections.consent)
        right = gr.Radio(weights.model.config.class_names, label="It was", elem_classes="right")
        thanks = gr.Markdown(elem_classes="thanks")
        right.input(
            keep, [source, right], [right, thanks], show_progress="hidden", api_visibility="private"
        )


def picture(label: str, sources: list[str], visible: bool = True) -> gr.Image:
    """An image input that hands over the uploaded file's path."""
    image = gr.Image(
        label=label, type="filepath", image_mode=None, sources=sources, visible=visible
    )
    # Gradio would open the file with every decoder that Pillow has, and answer a bad one without a
    # reason. The file goes to mnist_cnn.ink unopened, like every other picture.
    image.preprocess = lambda payload: payload.path if payload else None
    return image


def weights_text(weights: Weights) -> str:
    """Which weights are in use and how accurate they are, as Markdown."""
    model, notice = weights.model, weights.notice
    text = f"**Weights:** {model.source}"
    test = model.report.get("test")
    if test:
        text += (
            f" · **{test['accuracy']:.2%}** right on {test['n']:,} test digits "
            f"({test['errors']} errors)"
        )
    text += f" · {model.config.parameters():,} parameters"
    return f"⚠️ {notice}\n\n{text}" if notice else text


def answer_html(
    prediction: Prediction,
    names: tuple[str, ...],
    heatmap: np.ndarray | None = None,
    text: str = "",
) -> str:
    """The answer, the probabilities in the order of the classes, the frame and the heatmap.

    `text` stands beside the digit; without it, how sure the answer is or why there is none.
    """
    known = prediction.digit is not None
    digit = escape(names[prediction.digit]) if known else "–"
    text = text or (f"{prediction.confidence:.1%} sure" if known else prediction.reason or "")
    bars = "".join(
        f'<li><span>{escape(name)}</span><div class="bar"><div class="fill" '
        f'style="width:{share:.1%}"></div></div><span class="share">{share:.1%}</span></li>'
        for name, share in zip(names, prediction.probs, strict=True)
    )
    pictures = image_html(prediction.frame, "What the network saw", "The 28 by 28 pixels")
    if heatmap is not None and heatmap.any():
        likeliest = names[int(prediction.probs.argmax())]
        caption = f"Why {likeliest}" if known else f"What speaks for {likeliest}"
        pictures += image_html(heated(prediction.frame, heatmap), caption, "Heatmap")
    return (
        f'<div class="answer"><div class="digit">{digit}</div>'
        f'<p class="sure" role="status">{escape(text)}</p><ol class="bars">{bars}</ol>'
        f'<div class="pictures">{pictures}</div></div>'
    )


def reading_html(path: str, reading: Reading, names: tuple[str, ...]) -> str:
    """The text of a reading and the picture with a box around every digit."""
    width, height = picture_size(path)
    picture = open_picture(path).convert("RGB")
    picture.thumbnail((SHOWN, SHOWN))
    boxes = "".join(
        f'<rect x="{x}" y="{y}" width="{w}" height="{h}" /><text x="{x}" y="{y - height / 80:.0f}">'
        f"{escape(names[digit.digit])}</text>"
        for digit in reading.digits
        for x, y, w, h in [digit.box]
    )
    return (
        f'<div class="reading"><pre role="status">{escape(reading.text)}</pre>'
        f'<div class="boxes"><img src="{data_url(picture, "JPEG")}" alt="The picture">'
        f'<svg viewBox="0 0 {width} {height}" font-size="{height / 14:.0f}" aria-hidden="true">'
        f"{boxes}</svg></div></div>"
    )


def image_html(pixels: np.ndarray, caption: str, what: str) -> str:
    return (
        f'<figure><img src="{data_url(Image.fromarray(pixels))}" '
        f'alt="{escape(what)}: {escape(caption)}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def data_url(picture: Image.Image, kind: str = "PNG") -> str:
    stream = io.BytesIO()
    picture.save(stream, kind)
    data = base64.b64encode(stream.getvalue()).decode()
    return f"data:image/{kind.lower()};base64,{data}"


def heated(frame: np.ndarray, heatmap: np.ndarray) -> np.ndarray:
    """The frame in grey with the heatmap in the app's orange over it, `(28, 28, 3)` uint8."""
    share = heatmap[..., None]
    return np.round((1 - share) * frame[..., None] * 0.6 + share * HEAT).astype(np.uint8)


def without_folder(error: ValueError) -> str:
    """The message without the server's folder in front of the file's name."""
    name, colon, text = str(error).partition(": ")
    return os.path.basename(name) + colon + text


if __name__ == "__main__":
    sys.exit(main())
