"""The app as a person uses it: a real server, a real Chromium."""

import base64
import contextlib
import io
import itertools
import json
import re
import time
import zipfile
from pathlib import Path
from types import SimpleNamespace

import app_server
import httpx
import numpy as np
import pytest
from hub_server import HubServer
from huggingface_hub import HfApi
from PIL import Image
from visitor import FOUR, SCRIBBLE, SEVEN, draw, opened, tab, wait_for_answer, wait_for_weights

from mnist_cnn.model import BUNDLED
from mnist_cnn.web.page import tabs
from mnist_cnn.web.page.texts import TEXTS

TABS = ("draw", "photo", "many", "about")


@pytest.fixture
def page(browser, url):
    page = opened(browser, url, locale="en-US")
    yield page
    page.context.close()


@contextlib.contextmanager
def held(page):
    """What is asked of the server meanwhile arrives there afterwards."""
    asked = []
    page.route("**/queue/join*", lambda route: asked.append(route))
    yield
    page.wait_for_timeout(100)
    assert asked
    page.route("**/queue/join*", lambda route: route.continue_())
    for route in asked:
        route.continue_()


def test_draw_read_clear_draw_again(page):
    draw(page, SEVEN)
    wait_for_answer(page, "7")
    shares = page.locator(".answer").first.locator(".share").all_inner_texts()
    assert len(shares) == 10
    assert max(range(10), key=lambda i: float(shares[i].rstrip("%"))) == 7
    assert sum(float(share.rstrip("%")) for share in shares) == pytest.approx(100, abs=0.6)
    page.get_by_role("button", name="Clear").click()
    wait_for_answer(page, "–")
    draw(page, FOUR)
    wait_for_answer(page, "4")


def test_every_stroke_is_answered_and_undo_takes_one_back(page):
    draw(page, [[(0.5, 0.15), (0.5, 0.85)]])
    wait_for_answer(page, "1")
    draw(page, [[(0.5, 0.15), (0.85, 0.5), (0.5, 0.85)]])
    page.wait_for_function("document.querySelector('.answer .digit').innerText !== '1'")
    page.get_by_role("button", name="Undo").click()
    wait_for_answer(page, "1")


def test_of_strokes_without_a_pause_the_whole_is_answered(page):
    """While the first is read, the others end; the four is one only with the last."""
    slant = [(0.3, 0.15), (0.28, 0.35), (0.25, 0.55)]
    bar = [(0.25, 0.55), (0.5, 0.55), (0.75, 0.55)]
    with held(page):
        draw(page, [slant[:2], slant[1:], bar[:2], bar[1:], FOUR[1]])
    wait_for_answer(page, "4")
    page.wait_for_timeout(300)
    wait_for_answer(page, "4")


def test_the_eraser_takes_ink_away(page):
    draw(page, [[(0.5, 0.15), (0.5, 0.85)]])
    wait_for_answer(page, "1")
    page.get_by_label("Brush width").fill("72")
    page.get_by_role("button", name="Eraser").click()
    draw(page, [[(0.5, 0.1), (0.5, 0.9)]])
    wait_for_answer(page, "–")


def test_the_tools_work_by_keyboard(page):
    tools = {name: page.get_by_role("button", name=name) for name in ("Clear", "Undo", "Eraser")}
    draw(page, [[(0.5, 0.15), (0.5, 0.85)]])
    wait_for_answer(page, "1")
    page.get_by_label("Brush width").press("End")
    tools["Eraser"].press("Space")
    draw(page, [[(0.5, 0.1), (0.5, 0.9)]])  # one that is not the widest leaves ink
    wait_for_answer(page, "–")
    tools["Undo"].press("Enter")
    wait_for_answer(page, "1")
    tools["Eraser"].press("Enter")
    page.get_by_label("Brush width").press("Home")
    draw(page, [[(0.15, 0.5), (0.85, 0.5)]])
    page.wait_for_function("document.querySelector('.answer .digit').innerText !== '1'")
    tools["Clear"].press("Space")
    page.locator(".sure", has_text="Draw a digit").first.wait_for()


def test_answers_are_said_aloud_once_and_where_readers_listen(page, row):
    """Readers follow a region that was there before; what is replaced with an answer they miss."""
    region = page.locator("#said [aria-live]").element_handle()
    region.evaluate(
        "region => new MutationObserver((changes) => (window.heard ??= []).push(...changes.map("
        "() => region.textContent))).observe(region, {childList: true})"
    )
    draw(page, SEVEN)
    wait_for_answer(page, "7")
    page.get_by_role("button", name="Clear").click()
    wait_for_answer(page, "–")
    draw(page, FOUR[:1])
    page.wait_for_function("window.heard.length === 3")
    draw(page, FOUR[1:])
    wait_for_answer(page, "4")
    photo(page, row)
    page.locator(".reading .text").wait_for()
    page.wait_for_timeout(300)
    said = page.evaluate("window.heard")
    assert len(said) == 5, said
    assert re.fullmatch(r"7: \d+\.\d% sure", said[0])
    assert said[1] == "–: Draw a digit: it is read after every stroke."
    assert re.fullmatch(r"4: \d+\.\d% sure", said[3])
    assert said[4] == region.evaluate("region => region.isConnected && region.textContent") == "104"


def test_the_frame_and_the_heatmap_are_shown(page):
    draw(page, SEVEN)
    wait_for_answer(page, "7")
    why = page.locator(".answer").first.locator("figure")
    assert why.locator("figcaption").all_inner_texts() == [
        "Your picture",
        "The ink found in it",
        "What the network saw, 28×28",
        "What speaks for 7",
    ]
    sizes = "image => [image.naturalWidth, image.naturalHeight]"
    assert [image.evaluate(sizes) for image in why.locator("img").all()] == [
        [112, 112],
        [112, 112],
        [28, 28],
        [28, 28],
    ]


def test_hints_say_what_could_be_better(page):
    hints = page.locator(".hints").first
    page.get_by_label("Brush width").fill("12")
    draw(page, [[(0.5, 0.0), (0.5, 0.95)]])
    hints.filter(has_text="touches the edge").wait_for()
    assert "stroke is thin" in hints.inner_text()
    page.get_by_role("button", name="Clear").click()
    wait_for_answer(page, "–")
    page.get_by_label("Brush width").fill("36")
    draw(page, [[(0.25, 0.3), (0.25, 0.7)], [(0.7, 0.3), (0.7, 0.7)]])
    hints.filter(has_text="several digits: 11").wait_for()


def test_a_scribble_is_refused_with_its_reason(page):
    draw(page, SCRIBBLE)
    page.locator(".sure", has_text="does not look like one digit").first.wait_for()
    wait_for_answer(page, "–")


def photo(page, content: str) -> None:
    tab(page, "Photo")
    page.locator("input[type=file]").first.set_input_files(content)


@pytest.fixture
def row(frames, tmp_path) -> str:
    digits = np.pad(np.hstack([frames[10], frames[0], frames[40]]), 10)
    picture = Image.fromarray(255 - digits).resize((digits.shape[1] * 5, digits.shape[0] * 5))
    picture.save(tmp_path / "row.png")
    return str(tmp_path / "row.png")


def test_a_photo_of_one_digit_is_answered_in_full(page, frames, tmp_path):
    Image.fromarray(255 - frames[30]).resize((300, 300)).save(tmp_path / "three.png")
    photo(page, tmp_path / "three.png")
    wait_for_answer(page, "3", panel=1)
    assert page.locator(".reading rect").count() == 1


def test_several_digits_are_boxed(page, row):
    photo(page, row)
    page.locator(".reading .text").wait_for()
    assert page.locator(".reading .text").inner_text() == "104"
    shown = page.locator(".reading img").bounding_box()
    boxes = [box.bounding_box() for box in page.locator(".reading rect").all()]
    assert len(boxes) == 3
    assert [box["x"] for box in boxes] == sorted(box["x"] for box in boxes)
    for box in boxes:
        assert shown["x"] - 2 <= box["x"] <= shown["x"] + shown["width"]
        assert box["height"] > shown["height"] / 4


def test_the_text_can_be_copied(page, row):
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    photo(page, row)
    page.get_by_role("button", name="Copy the text").click()
    page.wait_for_function("navigator.clipboard.readText().then((text) => text === '104')")


def test_without_a_clipboard_the_text_is_copied_all_the_same(browser, url, row):
    """As on a phone in the same network: plain http, and a name that is not this machine's."""
    page = opened(browser, url.replace("127.0.0.1", "phone.test"), locale="en-US")
    assert page.evaluate("navigator.clipboard") is None
    photo(page, row)
    page.get_by_role("button", name="Copy the text").click()
    page.locator(".copy.done").wait_for()
    assert page.evaluate("getSelection().toString()") == "104"
    assert page.complaints == []
    page.context.close()


def drag(page, left: float, right: float) -> None:
    """Drag over the shown picture from top to bottom, between two shares of its width."""
    shown = page.locator(".boxes").bounding_box()
    page.mouse.move(shown["x"] + left * shown["width"], shown["y"] + 3)
    page.mouse.down()
    page.mouse.move(shown["x"] + right * shown["width"], shown["y"] + shown["height"] - 3, steps=5)
    page.mouse.up()


def test_dragging_over_a_photo_reads_that_part(page, row):
    photo(page, row)
    page.locator(".reading .text").wait_for()
    drag(page, 0.01, 0.67)
    page.locator(".reading .text", has_text=re.compile("^10$")).wait_for()
    # A part of the part: the shares are those of what is shown now.
    drag(page, 0.52, 1)
    wait_for_answer(page, "0", panel=1)
    page.get_by_role("button", name="Read the whole picture").click()
    page.locator(".reading .text", has_text="104").wait_for()


def test_what_is_chosen_while_another_is_read_is_read_next(page, row):
    """Two parts of a photo, and two examples: the server is kept from answering the first."""
    photo(page, row)
    page.locator(".reading .text").wait_for()
    with held(page):
        drag(page, 0.01, 0.67)
        drag(page, 0.34, 1)
    page.locator(".reading .text", has_text=re.compile("^04$")).wait_for()
    with held(page):
        page.get_by_role("button", name="Example 1").click()
        page.get_by_role("button", name="Example 2").click()
    wait_for_answer(page, "8", panel=1)


def test_cropping_by_keyboard(page, row):
    """The frame starts in the middle and is moved by twentieths: onto the last of three digits."""
    photo(page, row)
    page.locator(".reading .text").wait_for()
    page.locator(".boxes").focus()
    for key in ["ArrowRight"] * 5 + ["Shift+ArrowDown"] * 5 + ["ArrowUp"] * 5 + ["Enter"]:
        page.keyboard.press(key)
    page.get_by_role("button", name="Read the whole picture").wait_for()
    left, top, right, bottom = map(float, page.locator(".boxes").get_attribute("data-crop").split())
    assert (left, right) == pytest.approx((0.5, 1), abs=1e-4)
    assert bottom - top == pytest.approx(0.75, abs=1e-4)


def test_a_picture_can_be_pasted(page, row):
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    tab(page, "Photo")
    page.evaluate(
        "async (url) => navigator.clipboard.write([new ClipboardItem({'image/png':"
        " await (await fetch(url)).blob()})])",
        "data:image/png;base64," + base64.b64encode(Path(row).read_bytes()).decode(),
    )
    page.get_by_label("Paste from clipboard").click()
    page.locator(".reading .text", has_text="104").wait_for()


def test_a_picture_can_be_taken_with_the_camera(page):
    """Chromium's camera shows a moving sign; what is read of it does not matter."""
    tab(page, "Photo")
    page.get_by_label("Capture from camera").click()
    page.get_by_text("Click to Access Webcam").click()
    page.wait_for_function("document.querySelector('video')?.videoWidth > 0")
    page.get_by_label("capture photo").click()
    page.locator(".boxes").wait_for()
    assert page.locator(".sure", has_text="Choose a picture").count() == 0
    assert page.complaints == []


def test_examples_work_with_one_click(page):
    tab(page, "Photo")
    expected = ["2", "8", "56071", "5982\n177\n25655"]
    buttons = page.locator(".examples button")
    assert buttons.count() == len(expected)
    for number, text in enumerate(expected):
        page.get_by_role("button", name=f"Example {number + 1}").click()
        if len(text) == 1:
            wait_for_answer(page, text, panel=1)
        else:
            last = text.rpartition("\n")[2]
            page.locator(".reading .text", has_text=last).wait_for()
            assert page.locator(".reading .text").inner_text() == text


def test_a_damaged_photo_is_refused_with_a_reason(page, row):
    content = Path(row).read_bytes()
    tab(page, "Photo")
    half = {"name": "half.png", "mimeType": "image/png", "buffer": content[: len(content) // 2]}
    page.locator("input[type=file]").first.set_input_files(half)
    page.locator(".sure", has_text="The picture is damaged.").wait_for()


def digits_zip(frames, extra: dict[str, bytes], side: int = 140) -> dict:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for number in range(0, len(frames), 2):
            picture = io.BytesIO()
            Image.fromarray(255 - frames[number]).resize((side, side)).save(picture, "PNG")
            archive.writestr(f"digits/{number:02}.png", picture.getvalue())
        for name, content in extra.items():
            archive.writestr(name, content)
    return {"name": "many.zip", "mimeType": "application/zip", "buffer": stream.getvalue()}


def test_many_pictures_in_a_zip_are_read_and_listed(page, frames):
    tab(page, "Many")
    extra = {"notes.txt": b"no picture", "../../climbs.png": b"x"}
    page.locator("input[type=file]").last.set_input_files(digits_zip(frames, extra))
    page.locator(".many table").wait_for()
    assert page.locator(".many p").inner_text() == "52 pictures: 50 read, 2 without an answer"
    rows = [cells.split("\t") for cells in page.locator(".many tbody tr").all_inner_texts()]
    assert rows[0][1:] == [
        "notes.txt",
        "",
        "",
        "This is not a picture: PNG, JPEG, WebP, BMP and GIF are read.",
    ]
    assert rows[1][1:] == ["climbs.png", "", "", "Its path leads out of the ZIP."]
    assert all(row[2] == row[1][0] for row in rows[2:]), rows  # 34.png holds a 3
    assert page.locator(".many tbody img").count() == 50
    with page.expect_download() as download:
        page.get_by_text("Download as CSV").click()
    lines = Path(download.value.path()).read_text(encoding="utf-8").splitlines()
    assert lines[0] == "file,digit,label,confidence,note"
    assert len(lines) == 53
    assert lines[1].startswith("00.png,0,0,0.9")


def test_reading_many_can_be_cancelled(page, frames):
    tab(page, "Many")
    content = digits_zip(frames, {}, side=1000)  # large, so that there is time to press
    page.locator("input[type=file]").last.set_input_files([content] * 9)
    page.locator(".progress p", has_text="of 450 read").wait_for()
    page.get_by_role("button", name="Cancel").click()
    page.locator(".many p", has_text="Stopped after").wait_for()
    done = int(re.search(r"after (\d+) of 450", page.locator(".many p").inner_text())[1])
    assert 0 < done < 450
    assert page.locator(".many tbody tr").count() == done


def test_about_names_the_weights_and_the_page_asks_nobody_else(page, model, url):
    for name in ("Photo", "Many", "About"):
        tab(page, name)
    text = page.locator("#weights").inner_text()
    assert "bundled with mnist_cnn" in text
    assert f"{model.report.test.accuracy:.2%}" in text
    assert f"{model.config.parameters():,}" in text
    assert model.report.git_commit in text
    filters = page.locator("#weights img")
    width = "image => image.naturalWidth"
    assert filters.evaluate(width) == 8 * (model.config.kernel_sizes[0] + 1)
    elsewhere = [u for u in page.requested if not u.startswith((url, "data:", "blob:"))]
    assert elsewhere == []
    assert page.complaints == []


@pytest.mark.parametrize(
    ("locale", "language"), [("en-GB", "en"), ("zh-CN", "zh-CN"), ("zh-TW", "zh-CN")]
)
def test_every_text_is_in_the_readers_language(browser, url, locale, language, row, frames):
    """Each tab shows its texts in one language, and none of the other's."""
    page = opened(browser, url, locale=locale)
    page.locator(".width").fill("12")
    draw(page, [[(0.5, 0.0), (0.5, 0.95)]])
    page.locator(".hints li").nth(1).wait_for()
    seen = page.locator("body").inner_text()
    page.locator(".clear").click()
    wait_for_answer(page, "–")
    draw(page, SCRIBBLE)
    page.locator(".sure", has_text=TEXTS["not_one_digit"][language]).first.wait_for()
    seen += "\n" + page.locator("body").inner_text()
    for name in TABS[1:]:
        page.get_by_role("tab", name=TEXTS[name][language], exact=True).click()
        if name == "photo":
            page.locator("input[type=file]").first.set_input_files(row)
            page.locator(".reading .text").wait_for()
        if name == "many":
            found = digits_zip(frames[:20], {"row.png": b"no picture"})
            page.locator("input[type=file]").last.set_input_files(found)
            page.locator(".many table").wait_for()
        page.wait_for_timeout(200)
        seen += "\n" + page.locator("body").inner_text()
    page.context.close()
    for key in (
        *("title", "intro", "clear", "undo", "eraser", "brush", "why", "raw", "ink", "frame"),
        *("hint_thin", "hint_edge", "not_one_digit", "column_sure", "column_note", "bad_format"),
        *("examples", "copy", "crop_help", "download", "weights", "origin", "commit", "errors"),
        *("interval", "per_class", "filters", "curve", "privacy", "programs"),
    ):
        assert TEXTS[key][language] in seen, key
        assert TEXTS[key]["zh-CN" if language == "en" else "en"] not in seen, key
    assert "[[" not in seen
    assert "__i18n__" not in seen
    if language != "en":
        words = set(re.findall(r"[A-Za-z]{3,}", seen))
        known = {"PNG", "JPEG", "WebP", "BMP", "GIF", "ZIP", "CSV", "README", "Enter", "Esc"}
        known |= {"Shift", "predict", "read", "bundled", "with", "mnist", "cnn", "row", "png"}
        known |= {"many", "zip"}
        assert {word for word in words if not re.fullmatch("[a-f]+", word)} <= known


GRADIO_NESTS = 'aria-label="common.upload"'  # 6.31: an input in a button, above uploaded files


@pytest.mark.parametrize(
    ("theme", "width", "locale"),
    [("light", 360, "en"), ("dark", 360, "en"), ("light", 1280, "en"), ("dark", 1280, "zh-CN")],
)
def test_axe_finds_nothing_serious(browser, url, theme, width, locale, row, frames):
    """axe-core on every tab, with answers on it; what Gradio's own parts break is named."""
    from axe_playwright_python.sync_playwright import Axe

    page = opened(
        browser,
        f"{url}/?__theme={theme}",
        locale=locale,
        viewport={"width": width, "height": 800},
    )
    names = {name: TEXTS[name]["en" if locale == "en" else "zh-CN"] for name in TABS}
    draw(page, SEVEN)
    wait_for_answer(page, "7")
    tab(page, names["photo"])
    page.locator("input[type=file]").first.set_input_files(row)
    page.locator(".reading .text").wait_for()
    tab(page, names["many"])
    found = digits_zip(frames[:20], {"notes.txt": b"no picture"})
    page.locator("input[type=file]").last.set_input_files(found)
    page.locator(".many table").wait_for()
    for name in TABS:
        tab(page, names[name])
        page.wait_for_timeout(400)
        found = Axe().run(page).response["violations"]
        serious = [
            (violation["id"], node["html"][:150])
            for violation in found
            if violation["impact"] in ("serious", "critical")
            for node in violation["nodes"]
            if GRADIO_NESTS not in node["html"]
        ]
        assert serious == [], name
    page.context.close()


def test_the_keyboard_reaches_everything_in_order(page):
    page.locator("body").focus()
    reached = []
    for _ in range(12):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate(
                "document.activeElement.ariaLabel || document.activeElement.innerText.trim()"
            )
        )
    wanted = ["Draw", "Clear", "Undo", "Eraser", "Brush width"]
    positions = [reached.index(name) for name in wanted]
    assert positions == sorted(positions)


@pytest.mark.parametrize("width", [360, 768, 1440])
def test_no_tab_is_wider_than_the_screen(browser, url, width, row):
    page = opened(browser, url, viewport={"width": width, "height": 800}, locale="en-US")
    for name in TABS:
        tab(page, TEXTS[name]["en"])
        if name == "photo":
            page.locator("input[type=file]").first.set_input_files(row)
            page.locator(".reading .text").wait_for()
        page.wait_for_timeout(200)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
    page.context.close()


def test_a_phone_shows_why_a_picture_of_many_has_no_answer(browser, url, frames):
    page = opened(browser, url, viewport={"width": 360, "height": 800}, locale="en-US")
    tab(page, "Many")
    found = digits_zip(frames, {"notes.txt": b"no picture"})
    page.locator("input[type=file]").last.set_input_files(found)
    page.locator(".many table").wait_for()
    note = page.get_by_text("This is not a picture").bounding_box()
    name = page.get_by_text("notes.txt").bounding_box()
    assert note["x"] + note["width"] <= 360
    assert note["y"] >= name["y"] + name["height"]
    table = page.locator(".many .wide")
    assert table.evaluate("part => part.scrollWidth <= part.clientWidth")
    page.context.close()


def test_touch_drawing_on_a_phone(browser, url):
    """A finger draws and does not scroll; nothing lies over the canvas or beside the page."""
    phone = browser.new_context(
        viewport={"width": 360, "height": 640}, has_touch=True, is_mobile=True
    )
    page = phone.new_page()
    page.goto(url)
    page.locator("canvas[aria-label]").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    box = page.locator("canvas").bounding_box()
    for x, y in [(0.02, 0.02), (0.98, 0.02), (0.02, 0.98), (0.98, 0.98)]:
        at = [box["x"] + x * box["width"], box["y"] + y * box["height"]]
        assert page.evaluate("([x, y]) => document.elementFromPoint(x, y).tagName", at) == "CANVAS"
    for stroke in SEVEN:
        swipe(
            page, [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in stroke]
        )
    wait_for_answer(page, "7")
    assert page.evaluate("window.scrollY") == 0
    phone.close()


def swipe(page, corners: list[tuple[float, float]]) -> None:
    """Move a finger from corner to corner of the window."""
    touch = page.context.new_cdp_session(page)

    def send(kind: str, points: list) -> None:
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    path = np.concatenate([np.linspace(a, b, 8) for a, b in itertools.pairwise(corners)])
    points = [{"x": float(x), "y": float(y)} for x, y in path]
    send("touchStart", points[:1])
    for point in points[1:]:
        send("touchMove", [point])
    send("touchEnd", [])
    touch.detach()


@pytest.mark.parametrize("height", [1000, 4000])
def test_a_phone_scrolls_past_a_tall_photo_and_crops_it(browser, url, frames, tmp_path, height):
    picture = Image.new("L", (400, height), 255)
    picture.paste(Image.fromarray(255 - frames[30]).resize((280, 280)), (60, 100))
    picture.save(tmp_path / "tall.png")
    page = opened(
        browser,
        url,
        locale="en-US",
        viewport={"width": 360, "height": 780},
        has_touch=True,
        is_mobile=True,
    )
    photo(page, tmp_path / "tall.png")
    wait_for_answer(page, "3", panel=1)
    boxes = page.locator(".boxes")
    boxes.scroll_into_view_if_needed()
    shown, digit = boxes.bounding_box(), page.locator(".reading rect").bounding_box()
    assert shown["height"] <= 0.7 * 780 + 1
    assert page.locator(".image-frame img").bounding_box()["height"] <= 0.4 * 780 + 1
    assert shown["width"] / shown["height"] == pytest.approx(400 / height, rel=0.01)
    assert shown["y"] + 100 / height * shown["height"] <= digit["y"]
    assert digit["y"] + digit["height"] <= shown["y"] + 380 / height * shown["height"]
    # Up and down the page scrolls, wherever the finger is.
    middle = shown["x"] + shown["width"] / 2
    for _ in range(9):
        swipe(page, [(middle, 600), (middle + 8, 100)])
        page.wait_for_timeout(100)
    end = "window.scrollY + window.innerHeight >= document.documentElement.scrollHeight - 2"
    page.wait_for_function(end)
    assert boxes.get_attribute("data-crop") == "0.00000 0.00000 1.00000 1.00000"
    # To the side it crops.
    boxes.scroll_into_view_if_needed()
    shown, before = boxes.bounding_box(), page.evaluate("window.scrollY")
    left, top, width = shown["x"], shown["y"] + 20, shown["width"]
    swipe(page, [(left + 0.05 * width, top), (left + 0.95 * width, top + 0.8 * width)])
    page.get_by_role("button", name="Read the whole picture").wait_for()
    assert page.evaluate("window.scrollY") == pytest.approx(before, abs=60)  # a button came above
    page.context.close()


MARKUP = [
    "<script>window.hit=1</script>",
    "<img src=x onerror=window.hit=1>",
    "<svg onload=window.hit=1>",
    "<svg><script>window.hit=1</script></svg>",
    "<iframe src=javascript:parent.hit=1>",
    "<body onload=window.hit=1>",
    "<details open ontoggle=window.hit=1>",
    "<video><source onerror=window.hit=1>",
    "<input autofocus onfocus=window.hit=1>",
    "<a href=javascript:window.hit=1>a</a>",
    '"><script>window.hit=1</script>',
    "'><img src=x onerror=window.hit=1>",
    "--><img src=x onerror=window.hit=1>",
    "</td></tr></table><img src=x onerror=window.hit=1>",
    "</title><script>window.hit=1</script>",
    "${window.hit=1}",
    "{{constructor.constructor('window.hit=1')()}}",
    "`;window.hit=1;`",
    "\\`${window.hit=1}",
    "[[title]]",
    "[[sure|<img src=x onerror=window.hit=1>]]",
    "%3Cimg src=x onerror=window.hit=1%3E",
    "&lt;img src=x onerror=window.hit=1&gt;",
    "<img src=x onerror=&#119;indow.hit=1>",
    "<math><mtext><img src=x onerror=window.hit=1>",
    "<style>@import 'javascript:window.hit=1'</style>",
    "<object data=javascript:window.hit=1>",
    "<embed src=javascript:window.hit=1>",
    "<form><button formaction=javascript:window.hit=1>",
    "<marquee onstart=window.hit=1>",
    '__i18n__{"__type__":"translation_metadata","key":"title"}',
]


def test_names_of_files_cannot_inject_markup(page):
    """Names come in through an upload and through a ZIP, and are shown in the table and the CSV."""
    assert len(MARKUP) >= 30
    tab(page, "Many")
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for markup in MARKUP:
            archive.writestr(f"{markup}.png", b"no picture")
    stream = {"name": "a.zip", "mimeType": "application/zip", "buffer": stream.getvalue()}
    picture = io.BytesIO()
    Image.new("L", (30, 30), 255).save(picture, "PNG")
    named = [
        {"name": f"{markup}.png", "mimeType": "image/png", "buffer": picture.getvalue()}
        for markup in MARKUP
    ]
    page.locator("input[type=file]").last.set_input_files([*named, stream])
    page.locator(".many table").wait_for()
    assert page.locator(".many tbody tr").count() == 2 * len(MARKUP)
    page.wait_for_timeout(500)
    assert page.evaluate("window.hit") is None
    made = ".many :is(script, iframe, svg, video, input, object, embed, form, a, style)"
    assert page.locator(made).count() == 0
    assert page.locator(".many td img[onerror]").count() == 0
    assert "Handwritten digits" not in page.locator(".many tbody").inner_text()


def test_names_of_classes_cannot_inject_markup(browser, tmp_path, model):
    """Labels come from the weights' config.json, which may be anyone's."""
    names = [*MARKUP[:9], "seven"]
    folder = tmp_path / "weights"
    model.save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "class_names": names}))
    with app_server.running("--model", str(folder)) as (url, _):
        page = opened(browser, url, locale="en-US")
        draw(page, SEVEN)
        page.locator(".answer .bars").first.wait_for()
        tab(page, "About")
        page.wait_for_timeout(500)
        assert page.evaluate("window.hit") is None
        shown = page.locator(".answer .bars").first.inner_text()
        assert all(name in shown for name in names)
        page.context.close()


def test_the_app_does_not_wait_for_the_hub_and_swaps_its_weights_in(tmp_path, browser):
    """The Hub is a port where nobody listens yet; the bundled weights answer until it opens."""
    port, hub_port = app_server.free_port(), app_server.free_port()
    hub = HubServer(tmp_path / "hub", port=hub_port)
    app = app_server.start(
        port, **hub.environment(tmp_path / "home"), MNIST_CNN_MODEL="user/digits@main"
    )
    url = f"http://127.0.0.1:{port}"
    try:
        app_server.wait_until_up(url, app)
        page = browser.new_page()
        page.goto(url)
        notice = page.locator(".notice", has_text="user/digits@main could not be reached")
        notice.wait_for()
        wait_for_weights(page, "bundled with mnist_cnn")
        draw(page, SEVEN)
        wait_for_answer(page, "7")
        with hub:
            api = HfApi(endpoint=hub.url, token=hub.token)
            api.create_repo("user/digits")
            commit = api.upload_folder(repo_id="user/digits", folder_path=BUNDLED).oid
            for _ in range(1200):
                if commit in httpx.get(f"{url}/health").text:
                    break
                time.sleep(0.1)
            page.goto(url)
            wait_for_weights(page, f"user/digits at commit {commit}")
            assert page.locator(".notice").count() == 0
            draw(page, SEVEN)
            wait_for_answer(page, "7")
        page.close()
    finally:
        app.terminate()
        output, _ = app.communicate(timeout=120)
    lines = [line for line in output.splitlines() if line.startswith("app.py: weights: ")]
    assert lines == [
        "app.py: weights: bundled with mnist_cnn",
        f"app.py: weights: Hub repo user/digits at commit {commit}",
    ]


def test_a_mistyped_model_is_an_error():
    app = app_server.start(app_server.free_port(), "--model", "./runs/nowhere")
    output, _ = app.communicate(timeout=120)
    assert app.returncode == 1
    assert "'./runs/nowhere' is not a folder here" in output


def test_a_page_of_text_is_too_much(model, tmp_path):
    picture = np.full((1000, 1000), 255, np.uint8)
    for y in range(10, 980, 22):
        picture[y : y + 12, 10:990:16] = picture[y : y + 12, 11:990:16] = 0
    Image.fromarray(picture).save(tmp_path / "text.png")
    shown, answer = tabs.photo(SimpleNamespace(model=model), str(tmp_path / "text.png"))
    assert "<img" in shown
    assert "too_much" in answer
