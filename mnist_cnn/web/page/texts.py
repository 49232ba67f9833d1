"""Every text of the page in English and Chinese, for Gradio's own translation.

Gradio translates in the browser, and one key per component. Texts of one component with several
phrases arrive there as its `label`: the whole list, under the key `words`. See `phrases`.
"""

from html import escape

import gradio as gr

from mnist_cnn.web.server import NOTICES

LANGUAGES = ("en", "zh-CN")

_CONSENT = (
    "If you say what it was, your picture, the 28×28 pixels that the network saw, its answer and "
    "yours are kept in %1, to train on. Nothing else is, and nothing about you."
)
_CONSENT_ZH = (
    "如果您告诉我们正确答案，您的图片、网络看到的 28×28 像素、网络的答案和您的答案会保存在%1，"
    "用于训练。不会保存其他内容，也不会保存任何关于您的信息。"
)

# key: (English, 中文). `%1` and `%2` stand for what is filled in. No braces: they mean something to
# the browser's formatter.
TEXTS = {
    "title": ("Handwritten digits", "手写数字识别"),
    "intro": (
        "Draw a digit, or send pictures of one or more.",
        "手写一个数字，或上传包含一个或多个数字的图片。",
    ),
    "draw": ("Draw", "手写"),
    "photo": ("Photo", "照片"),
    "many": ("Many", "批量"),
    "about": ("About", "关于"),
    # --- the canvas
    "canvas": (
        "Drawing area: draw a digit with mouse, pen or finger",
        "绘图区：用鼠标、触控笔或手指写一个数字",
    ),
    "tools": ("Drawing tools", "绘图工具"),
    "clear": ("Clear", "清空"),
    "undo": ("Undo", "撤销"),
    "eraser": ("Eraser", "橡皮"),
    "brush": ("Brush", "笔宽"),
    "brush_width": ("Brush width", "画笔宽度"),
    # --- the answer
    "invite_draw": (
        "Draw a digit: it is read after every stroke.",
        "写一个数字：每写一笔就会识别一次。",
    ),
    "invite_photo": ("Choose a picture: it is read at once.", "选择一张图片，立即识别。"),
    "sure": ("%1 sure", "把握 %1"),
    "no_ink": ("No ink was found.", "没有找到笔迹。"),
    "no_shape": ("No ink has a digit’s shape.", "没有形状像数字的笔迹。"),
    "not_one_digit": ("This does not look like one digit.", "这不像是一个数字。"),
    "too_much": (
        "Too much writing for one picture: show a part of it.",
        "一张图片里的内容太多：请只展示其中一部分。",
    ),
    "no_digit": ("Nothing looks like a digit.", "没有看起来像数字的内容。"),
    "probabilities": ("How likely each digit is", "各数字的概率"),
    "why": ("Why this answer", "为什么是这个答案"),
    "raw": ("Your picture", "你的图片"),
    "ink": ("The ink found in it", "从中找到的笔迹"),
    "frame": ("What the network saw, 28×28", "网络看到的 28×28 图像"),
    "heat": ("What speaks for %1", "支持 %1 的依据"),
    "hint_thin": (
        "The stroke is thin: a wider brush or pen is read more surely.",
        "笔画太细：用更粗的笔会更准确。",
    ),
    "hint_edge": (
        "The drawing touches the edge: what lies beyond it is not seen.",
        "笔迹碰到了边缘：边缘以外的部分看不到。",
    ),
    "hint_small": (
        "The digit is small: larger is read more surely.",
        "数字太小：写大一些会更准确。",
    ),
    "hint_several": (
        "These look like several digits: %1. Photo reads rows and pages.",
        "看起来有多个数字：%1。“照片”页可以识别整行和整页。",
    ),
    # --- photos
    "picture": ("A picture of one or more digits", "包含一个或多个数字的图片"),
    "examples": ("Or try one of these:", "或者试试这些例子："),
    "example": ("Example %1", "例子 %1"),
    "boxes": ("The picture with the digits that were found", "标出已识别数字的图片"),
    "copy": ("Copy the text", "复制文字"),
    "crop_help": (
        "Drag over the picture to read a part of it. By keyboard: arrows move the frame, Shift and "
        "arrows size it, Enter reads it, Escape goes back.",
        "在图片上拖动，可只识别其中一部分。键盘操作：方向键移动选框，Shift 加方向键调整大小，"
        "Enter 识别，Esc 返回。",
    ),
    "whole": ("Read the whole picture", "识别整张图片"),
    # --- many
    "files": ("Pictures, or a ZIP of pictures", "多张图片，或图片的 ZIP 压缩包"),
    "invite_many": (
        "Up to 500 pictures at a time, one digit each; 64 MB together.",
        "一次最多 500 张图片，每张一个数字；总共不超过 64 MB。",
    ),
    "cancel": ("Cancel", "取消"),
    "download": ("Download as CSV", "下载 CSV"),
    "starting": ("%1 pictures to read", "共有 %1 张图片需要识别"),
    "progress": ("%1 of %2 read, about %3 s left", "已识别 %1 / %2，大约还需 %3 秒"),
    "finished": (
        "%1 pictures: %2 read, %3 without an answer",
        "共 %1 张图片：%2 张已识别，%3 张没有结果",
    ),
    "stopped": ("Stopped after %1 of %2.", "在 %1 / %2 处停止。"),
    "column_picture": ("Picture", "图片"),
    "column_file": ("File", "文件"),
    "column_digit": ("Digit", "数字"),
    "column_sure": ("Confidence", "把握"),
    "column_note": ("Note", "备注"),
    # --- what is refused
    "bad_empty": ("The file is empty.", "文件是空的。"),
    "bad_bytes": ("The file is too large.", "文件太大。"),
    "bad_format": (
        "This is not a picture: PNG, JPEG, WebP, BMP and GIF are read.",
        "这不是图片：可识别 PNG、JPEG、WebP、BMP 和 GIF。",
    ),
    "bad_pixels": (
        "The picture has too many pixels: at most 16 million are read, 64 million of a JPEG. "
        "Reduce it first.",
        "图片像素太多：最多 1600 万像素，JPEG 最多 6400 万。请先缩小图片。",
    ),
    "bad_scans": (
        "This progressive JPEG has too many scans. Save it as an ordinary JPEG.",
        "这个渐进式 JPEG 的扫描次数太多。请另存为普通 JPEG。",
    ),
    "bad_damaged": ("The picture is damaged.", "图片已损坏。"),
    "bad_drawing": (
        "The drawing did not arrive whole. Reload the page.",
        "绘图没有完整传到服务器。请刷新页面。",
    ),
    "bad_gone": ("The picture is gone. Upload it again.", "图片已被删除。请重新上传。"),
    "bad_many": (
        "Too many files: at most 500 are read at a time.",
        "文件太多：一次最多识别 500 个。",
    ),
    "bad_zip": ("The ZIP is damaged.", "ZIP 压缩包已损坏。"),
    "bad_bomb": (
        "The ZIP unpacks to too much: at most 256 MB are read.",
        "ZIP 解压后太大：最多读取 256 MB。",
    ),
    "bad_path": ("Its path leads out of the ZIP.", "它的路径指向压缩包之外。"),
    "bad_locked": ("It is encrypted.", "它已加密。"),
    # --- about
    "weights": ("Weights in use", "正在使用的权重"),
    "origin": ("Origin", "来源"),
    "commit": ("Trained by the code of commit", "训练代码的提交"),
    "trained": ("Trained", "训练完成于"),
    "accuracy": ("Accuracy on %1 test digits", "在 %1 个测试数字上的准确率"),
    "interval": ("95 % interval", "95 % 置信区间"),
    "errors": ("Errors", "错误数"),
    "calibration": ("Expected calibration error", "期望校准误差"),
    "parameters": ("Parameters", "参数量"),
    "per_class": ("Accuracy for each digit", "各数字的准确率"),
    "filters": ("The first layer’s filters", "第一层的卷积核"),
    "curve": ("Accuracy on validation digits, epoch by epoch", "各轮训练后的验证准确率"),
    "privacy": (
        "Drawings and pictures are read on this server and not kept: uploads are deleted within "
        "minutes. Nothing is sent to anyone else.",
        "绘图和图片只在本服务器上识别，不会保留：上传的文件会在几分钟内删除，不会发送给任何第三方。",
    ),
    "limits": (
        "Reads handwritten digits 0 to 9. It does not read letters, and a row of "
        "touching digits is its weakest part.",
        "可识别手写数字 0 到 9。不识别字母；相互粘连的数字是它最弱的部分。",
    ),
    "programs": (
        "Programs send pictures to /predict and /read: see the README.",
        "程序可以把图片发送到 /predict 和 /read：详见 README。",
    ),
    "coming": (NOTICES["coming"], "%1 尚未下载完成，在此之前使用自带的权重。"),
    "unreachable": (
        NOTICES["unreachable"],
        "无法连接 %1，因此使用自带的权重，稍后会再次尝试。",
    ),
    "unusable": (NOTICES["unusable"], "%1 无法使用，因此使用自带的权重：详见服务器日志。"),
    # --- corrections
    "read_wrong": ("Read wrong? Say what it was", "识别错了？请告诉我们正确答案"),
    "kept_here": (
        _CONSENT.replace("%1", "a folder of this server"),
        _CONSENT_ZH.replace("%1", "本服务器的一个文件夹"),
    ),
    "kept_on_hub": (
        _CONSENT.replace("%1", "the Hub data set %1"),
        _CONSENT_ZH.replace("%1", "Hub 数据集 %1"),
    ),
    "it_was": ("It was", "正确答案是"),
    "thanks": ("Thank you: kept as “%1”.", "谢谢：已保存为“%1”。"),
    "no_picture": ("There is no picture yet.", "还没有图片。"),
    "not_kept": ("Not kept: %1", "未保存：%1"),
    "not_written": (
        "Not kept: it could not be written. Please tell whoever runs this page.",
        "未保存：无法写入。请告知本页面的维护者。",
    ),
}


def translations() -> gr.I18n:
    """All texts for Gradio. Readers of Traditional Chinese get the Simplified, not English."""
    tables = {
        language: {key: texts[index] for key, texts in TEXTS.items()}
        for index, language in enumerate(LANGUAGES)
    }
    for table in tables.values():
        table["words"] = "\n".join(f"{key}={text}" for key, text in table.items())
    return gr.I18n(**tables, **{"zh-TW": tables["zh-CN"]})


def text(key: str) -> gr.I18n:
    """A component's whole text, translated in the browser."""
    if key not in TEXTS and key != "words":
        raise KeyError(key)
    return gr.I18n()(key)


def phrase(key: str, *values: object) -> str:
    """A phrase within the HTML of `phrases`, with values filled in."""
    if key not in TEXTS:
        raise KeyError(key)
    return "[[" + "|".join([key, *(plain(str(value)) for value in values)]) + "]]"


def plain(value: str) -> str:
    """Text from outside as HTML, which also cannot be taken for a phrase."""
    value = escape(value)
    return value.replace("[", "&#91;").replace("]", "&#93;").replace("|", "&#124;")


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


def phrases(value: str = "", **options: object) -> gr.HTML:
    """A component whose value is HTML with phrases in it; what has `data-said` is said aloud."""
    return gr.HTML(
        value,
        label=text("words"),
        html_template=_TEMPLATE,
        apply_default_css=False,
        **{"js_on_load": _SAY, **options},
    )
