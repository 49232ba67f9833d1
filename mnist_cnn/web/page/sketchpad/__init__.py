"""A canvas for Gradio that is ready to draw on when the page opens.

Gradio's own sketchpad (6.31) opens with no tool selected, lets the page scroll under a finger and
covers part of a phone's canvas with its tools. This one is a `gr.HTML` with a plain HTML canvas.
"""

import base64
import binascii
from pathlib import Path
from typing import Any

import gradio as gr

from mnist_cnn.web import settings

__all__ = ["png", "sketchpad"]

_PREFIX = "data:image/png;base64,"


def sketchpad(words: Any) -> gr.HTML:
    """The canvas. Its `input` event fires after every stroke, undo and clear.

    Its value is a PNG, black on white, as a data URL; `None` while nothing is drawn.

    Args:
        words: the texts of its tools, `key=word` a line, translated or for Gradio to translate.
    """
    # A function, not a subclass: Gradio writes a .pyi file beside every subclass of a component.
    html, css, js = (
        (Path(__file__).parent / f"sketchpad.{ending}").read_text(encoding="utf-8")
        for ending in ("html", "css", "js")
    )
    return gr.HTML(
        label=words, html_template=html, css_template=css, js_on_load=js, apply_default_css=False
    )


def png(value: str | None) -> bytes | None:
    """The PNG bytes of a canvas's value.

    Raises:
        ValueError: the value is not a PNG data URL of a drawing's size.
    """
    if not value:
        return None
    most = settings.LIMITS.drawing
    if not isinstance(value, str) or not value.startswith(_PREFIX) or len(value) > most:
        raise ValueError("the drawing did not arrive as a PNG picture; reload the page")
    try:
        return base64.b64decode(value.removeprefix(_PREFIX), validate=True)
    except binascii.Error as error:
        raise ValueError("the drawing arrived damaged; draw another stroke") from error
