"""What a visitor of the app does, in a real Chromium."""

import shutil

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")
CHROMIUM_FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking"),
    *("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"),  # a camera
    "--host-resolver-rules=MAP phone.test 127.0.0.1",  # a name that no browser trusts
]
PATIENCE = 120_000  # milliseconds that a slow and busy machine may take
SEVEN = [[(0.3, 0.2), (0.72, 0.2), (0.45, 0.85)]]
FOUR = [[(0.3, 0.15), (0.25, 0.55), (0.75, 0.55)], [(0.65, 0.2), (0.62, 0.85)]]
SCRIBBLE = [[(0.1 + 0.8 * (i % 2), 0.1 + 0.02 * i) for i in range(40)]]


def opened(browser, url: str, **options):
    """A page that notes what it asks for and complains about, and that is ready."""
    page = browser.new_context(**{"viewport": {"width": 1280, "height": 860}, **options}).new_page()
    page.set_default_timeout(PATIENCE)
    page.requested, page.complaints = [], []
    page.on("request", lambda request: page.requested.append(request.url))
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on("console", lambda message: message.type == "error" and page.complaints.append(message))
    page.goto(url)
    page.locator("canvas[aria-label]").wait_for()
    return page


def draw(page, strokes) -> None:
    box = page.locator("canvas").bounding_box()
    for stroke in strokes:
        points = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in stroke]
        page.mouse.move(*points[0])
        page.mouse.down()
        for point in points[1:]:
            page.mouse.move(*point, steps=8)
        page.mouse.up()


def wait_for_answer(page, digit: str, panel: int = 0) -> None:
    page.wait_for_function(
        "([panel, digit]) => [...document.querySelectorAll('.answer .digit')][panel]"
        "?.innerText === digit",
        arg=[panel, digit],
        timeout=PATIENCE,
    )


def tab(page, name: str) -> None:
    page.get_by_role("tab", name=name, exact=True).click()


def wait_for_weights(page, said: str) -> None:
    """Until the About tab says so; the page is back at Draw then."""
    tab(page, "About")
    page.locator("#weights", has_text=said).wait_for(timeout=PATIENCE)
    tab(page, "Draw")
