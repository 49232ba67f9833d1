"""Every text of the page in English and Chinese (texts.toml), for Gradio's own translation.

Gradio translates in the browser, and one key per component. Texts of one component with several
phrases arrive there as its `label`: the whole list, under the key `words`. See `phrases`.
"""

import tomllib
from pathlib import Path
from typing import Any

import gradio as gr
from markupsafe import Markup, escape

TEXTS: dict[str, dict[str, str]] = tomllib.loads(
    Path(__file__).with_suffix(".toml").read_text(encoding="utf-8")
)  # by key, by language


def translations() -> gr.I18n:
    """All texts for Gradio. Readers of Traditional Chinese get the Simplified, not English."""
    tables = {
        language: {key: texts[language] for key, texts in TEXTS.items()}
        for language in ("en", "zh-CN")
    }
    for table in tables.values():
        table["words"] = "\n".join(f"{key}={text}" for key, text in table.items())
    return gr.I18n(**tables, **{"zh-TW": tables["zh-CN"]})


def text(key: str) -> Any:
    """A component's whole text, translated in the browser; Gradio's types mostly want a `str`."""
    if key not in TEXTS and key != "words":
        raise KeyError(key)
    return gr.I18n()(key)


def phrase(key: str, *values: object) -> Markup:
    """A phrase within the HTML of `phrases`, with values filled in."""
    if key not in TEXTS:
        raise KeyError(key)
    return Markup("[[" + "|".join([key, *(plain(str(value)) for value in values)]) + "]]")


def plain(value: str) -> Markup:
    """Text from outside as HTML, which also cannot be taken for a phrase."""
    safe = str(escape(value))
    return Markup(safe.replace("[", "&#91;").replace("]", "&#93;").replace("|", "&#124;"))


# Fills the phrases in: `label` holds the words in the reader's language.
_TEMPLATE = r"""${(() => {
  const words = Object.fromEntries((label ?? "").split("\n").map((line) => line.split(/=(.*)/s)));
  return (value ?? "").replace(/\[\[(\w+)((?:\|[^|\]]*)*)\]\]/g, (whole, key, values) =>
    (words[key] ?? key).replace(/%(\d)/g, (mark, n) => values.split("|")[n] ?? mark));
})()}"""


# Screen readers say what changes in a live region that was there before; answers are replaced. So
# what is to be said of them is copied to the one region that stays, see `live_region`.
_SAY = """watch("value", () => {
  const said = element.querySelector("[data-said]");
  if (said) document.querySelector("#said p").textContent = said.textContent;
});"""


def live_region() -> gr.HTML:
    """What screen readers follow: not seen, never replaced, once on the page."""
    return gr.HTML(
        html_template='<p aria-live="polite"></p>',
        elem_id="said",
        elem_classes="said",
        apply_default_css=False,
        js_on_load=None,
    )


def phrases(value: str = "", **options: Any) -> gr.HTML:
    """A component whose value is HTML with phrases in it; what has `data-said` is said aloud."""
    return gr.HTML(
        value,
        label=text("words"),
        html_template=_TEMPLATE,
        apply_default_css=False,
        **{"js_on_load": _SAY, **options},
    )
