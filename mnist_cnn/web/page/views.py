"""Answers as HTML. Texts are phrases of `texts`.

What has the attribute `data-said` is said aloud when it arrives: see `texts.phrases`.
"""

import base64
import io
from collections.abc import Sequence

import cv2
import numpy as np
from markupsafe import Markup
from PIL import Image

from mnist_cnn.ink import VISIBLE, PictureError, stroke_width
from mnist_cnn.model import MnistCNN
from mnist_cnn.reading import Prediction, Reading
from mnist_cnn.web import settings
from mnist_cnn.web.page.markup import html
from mnist_cnn.web.page.texts import phrase


def answer(
    model: MnistCNN,
    prediction: Prediction,
    picture: Image.Image,
    ink: np.ndarray,
    hints: Sequence[str],
) -> str:
    """One digit: the answer, how sure it is, hints, ten probabilities, and why."""
    names = model.config.class_names
    sure = phrase("sure", f"{prediction.confidence:.1%}")
    heatmap = model.explain(prediction.frame)
    figures = [
        (thumbnail(picture, settings.SHOWN.why), phrase("raw")),
        (pixels(ink), phrase("ink")),
        (pixels(prediction.frame), phrase("frame")),
    ]
    if heatmap.any():
        likeliest = names[int(prediction.probs.argmax())]
        figures.append((pixels(heated(prediction.frame, heatmap)), phrase("heat", likeliest)))
    return panel(
        phrase(prediction.reason) if prediction.reason else sure,
        "–" if prediction.label is None else prediction.label,
        hints,
        shares=list(zip(names, 100 * prediction.probs, strict=True)),
        figures=figures,
    )


def panel(verdict: str, label: str = "–", hints: Sequence[str] = (), **rest: list) -> str:
    """The frame of every answer, and of the reason why there is none."""
    values = {"verdict": verdict, "label": label, "hints": hints, "shares": [], "figures": []}
    return html("answer", **values | rest)


def hints(ink: np.ndarray, drawn: bool) -> list[Markup]:
    """What the writer of one digit could do better, as phrases.

    Args:
        drawn: the ink is the drawing itself, so what touches its edge was written there.
    """
    rows, columns = np.flatnonzero((ink > VISIBLE).any(1)), np.flatnonzero((ink > VISIBLE).any(0))
    if not rows.size:
        return []
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    longer, found = max(bottom - top, right - left), []
    if stroke_width(ink) < settings.SHOWN.thin * longer:
        found.append(phrase("hint_thin"))
    if longer < settings.SHOWN.small * max(ink.shape):
        found.append(phrase("hint_small"))
    if drawn and (min(top, left) == 0 or bottom == ink.shape[0] or right == ink.shape[1]):
        found.append(phrase("hint_edge"))
    return found


def several(found: Reading) -> list[Markup]:
    """The hint that there are several digits, if there are."""
    text = found.text.replace("\n", " ")
    return [phrase("hint_several", text)] if len(found.digits) > 1 else []


def refusal(error: ValueError) -> str:
    """Why a picture is not read."""
    kind = error.kind if isinstance(error, PictureError) else "damaged"
    return panel(phrase(f"bad_{kind}"))


def reading(found: Reading, picture: Image.Image, crop: tuple[float, ...]) -> str:
    """The text, and the picture with a box around every digit.

    Args:
        picture: what was read; the boxes are in its pixels.
        crop: left, top, right, bottom of it in shares of the whole picture.
    """
    width, height = picture.size
    return html(
        "reading",
        digits=found.digits,
        text=found.text,
        picture=data_url(thumbnail_image(picture, settings.SHOWN.reading), "JPEG"),
        width=width,
        height=height,
        crop=" ".join(f"{share:.5f}" for share in crop),
        is_part=crop != (0, 0, 1, 1),
    )


def pixels(array: np.ndarray) -> str:
    """Ink, a frame or a heated frame as a data URL, at most `settings.SHOWN.why` pixels large."""
    if array.dtype != np.uint8:
        array = np.round(array * 255).astype(np.uint8)
    scale = settings.SHOWN.why / max(array.shape[:2])
    if scale < 1:
        size = max(1, round(array.shape[1] * scale)), max(1, round(array.shape[0] * scale))
        array = cv2.resize(array, size, interpolation=cv2.INTER_AREA)
    return data_url(Image.fromarray(array))


def thumbnail(picture: Image.Image, side: int) -> str:
    """A small picture on white, as a data URL."""
    return data_url(thumbnail_image(picture, side), "JPEG")


def thumbnail_image(picture: Image.Image, side: int) -> Image.Image:
    """The picture in RGB on white, at most `side` pixels large."""
    if picture.mode.startswith("I"):  # 16 bits: Pillow would clip them
        picture = Image.fromarray((np.asarray(picture) / 257).clip(0, 255).astype(np.uint8))
    small = picture.convert("RGBA")
    small.thumbnail((side, side))
    ground = Image.new("RGB", small.size, "white")
    ground.paste(small, mask=small.getchannel("A"))
    return ground


def data_url(picture: Image.Image, kind: str = "PNG") -> str:
    stream = io.BytesIO()
    picture.save(stream, kind)
    data = base64.b64encode(stream.getvalue()).decode()
    return f"data:image/{kind.lower()};base64,{data}"


def heated(frame: np.ndarray, heatmap: np.ndarray) -> np.ndarray:
    """The frame in grey with the heatmap in the app's orange over it, `(28, 28, 3)` uint8."""
    orange = np.array([255, 115, 20])
    share = heatmap[..., None]
    return np.round((1 - share) * frame[..., None] * 0.6 + share * orange).astype(np.uint8)
