"""Record docs/app.gif, the picture of the README: `python docs/record.py` beside a running app.

    python app.py --port 7860 &
    python docs/record.py http://127.0.0.1:7860

A hand draws digits in a Chromium, and a picture is taken at every step of it.
"""

import io
import itertools
import math
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

FILE = Path(__file__).with_name("app.gif")
WINDOW = {"width": 1000, "height": 700}
SHOWN = (800, 560)  # pixels of the recording
COLOURS = 48
STEP = 0.06  # of the canvas: the hand's way between two pictures
PICTURE_MS, STROKE_MS, ANSWER_MS = 50, 700, 1600  # how long a picture is shown

Stroke = list[tuple[float, float]]  # points in shares of the canvas


def arc(x: float, y: float, wide: float, high: float, start: int, stop: int) -> Stroke:
    """A part of an ellipse, from one angle to another, in degrees clockwise from the right."""
    angles = [math.radians(start + (stop - start) * i / 24) for i in range(25)]
    return [(x + wide * math.cos(angle), y + high * math.sin(angle)) for angle in angles]


FOUR = [[(0.42, 0.16), (0.26, 0.56), (0.76, 0.54)], [(0.64, 0.34), (0.58, 0.88)]]
NINE = [[*arc(0.5, 0.34, 0.17, 0.17, -20, -370), (0.66, 0.42), (0.6, 0.86)]]
SEVEN = [[(0.28, 0.2), (0.72, 0.19), (0.44, 0.86)], [(0.36, 0.53), (0.7, 0.5)]]
LETTER = [[(0.28, 0.8), (0.5, 0.2), (0.72, 0.8)], [(0.37, 0.58), (0.64, 0.58)]]  # A


class Recorder:
    """Takes pictures of a page, each shown for as long as it is told."""

    def __init__(self, page: Page) -> None:
        self.page, self.pictures, self.durations = page, [], []

    def take(self, milliseconds: int) -> None:
        picture = Image.open(io.BytesIO(self.page.screenshot())).convert("RGB")
        self.pictures.append(picture.resize(SHOWN, Image.Resampling.LANCZOS))
        self.durations.append(milliseconds)

    def draw(self, strokes: list[Stroke]) -> None:
        box = self.page.locator("canvas").bounding_box()
        left, top, width, height = (box[side] for side in ("x", "y", "width", "height"))
        for stroke in strokes:
            points = [(left + x * width, top + y * height) for x, y in stroke]
            self.page.mouse.move(*points[0])
            self.page.mouse.down()
            for before, after in itertools.pairwise(points):
                far = math.dist(before, after) / width
                steps = max(1, round(far / STEP))
                for step in range(1, steps + 1):
                    share = step / steps
                    self.page.mouse.move(
                        *(a + (b - a) * share for a, b in zip(before, after, strict=True))
                    )
                    self.take(PICTURE_MS)
            self.page.mouse.up()
            self.page.wait_for_timeout(1500)  # for the answer
            self.take(STROKE_MS if stroke is not strokes[-1] else ANSWER_MS)

    def save(self) -> None:
        palette = self.pictures[-1].quantize(COLOURS)
        first, *others = [
            each.quantize(palette=palette, dither=Image.Dither.NONE) for each in self.pictures
        ]
        first.save(
            FILE,
            save_all=True,
            append_images=others,
            duration=self.durations,
            loop=0,
            optimize=True,
        )


def main(url: str) -> int:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        page = browser.new_page(viewport=WINDOW)
        page.goto(url)
        page.locator("canvas[aria-label]").wait_for()
        page.add_style_tag(content="footer { display: none !important }")
        recorder = Recorder(page)
        recorder.take(STROKE_MS)
        for strokes in (FOUR, NINE, LETTER, SEVEN):
            recorder.draw(strokes)
            if strokes is not SEVEN:
                page.get_by_role("button", name="Clear", exact=True).click()
                page.wait_for_timeout(800)
                recorder.take(PICTURE_MS)
        recorder.save()
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
