"""What the app allows itself and its visitors: every limit, with its reason, in one place.

Importing this module sets the environment that Gradio and the Hub client read when they are
imported, so it comes before them.
"""

import os
import tempfile
import uuid
from dataclasses import dataclass
from pathlib import Path

MB = 2**20

ENVIRONMENT = {
    # No telemetry, no version check, no request to anyone.
    "GRADIO_ANALYTICS_ENABLED": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    # Gradio summarises its last 10,000 events with pandas after every event, for a monitoring page
    # that is closed here. That halves the answers a second.
    "GRADIO_ANALYTICS_CACHE_FREQUENCY": str(10**9),
    "GRADIO_ANALYTICS_MAX_EVENTS": "100",
    # Uploads lie in a folder of this process alone, which is removed with it; its name tells the
    # next one whether a process that was killed has left it.
    "GRADIO_TEMP_DIR": str(
        Path(tempfile.gettempdir()).resolve() / f"mnist-cnn-{os.getpid()}-{uuid.uuid4().hex}"
    ),
}
os.environ.update(ENVIRONMENT)
UPLOADS = ENVIRONMENT["GRADIO_TEMP_DIR"]


@dataclass(frozen=True)
class Limits:
    """How much may be sent, wait and lie here."""

    # Bytes of a form with files: 500 drawings or small photos, or a ZIP of them.
    upload: int = 64 * MB
    files: int = 500  # in a form, or in a ZIP
    # Bytes of a call: a drawing takes 10 to 60 kB as a PNG in base64; nothing else is longer.
    call: int = MB // 2
    drawing: int = 400_000  # characters of a canvas's value: noise takes 200 thousand
    # Bytes of one picture to `/predict` or `/read`. Phones write 3 to 12 MB.
    picture: int = 16 * MB
    mcp: int = 22 * MB  # bytes: such a picture in base64
    # Bytes that a ZIP unpacks to: pictures are compressed already, and BMP shrinks a hundredfold.
    unzipped: int = 256 * MB
    # Bytes of a ZIP's list of members; each takes 46 and its name. More are not even counted.
    listing: int = MB

    chunk: int = 8  # pictures of many between two reports of progress: about 40 ms

    # Who waits behind 256 others waits two seconds at most; more are refused at once.
    queue: int = 256
    # Threads that read: one decodes while the other's network runs. More wait for each other.
    readers: int = 2
    batch: int = 16  # pictures that share one run of the network, which halves its time for each
    # Pixels of a picture that has a thread of its own, so that drawings do not wait behind photos.
    large_picture: int = 2_000_000
    large_pictures: int = 16  # that wait for that thread: each takes up to half a second
    niceness: int = 10  # of that thread: a tenth of the processor while the others have work
    large_body: int = 2 * MB  # bytes
    large_bodies: int = 4  # that are received at once

    uploads: int = 10_000  # that are kept; where there are more, the oldest go first
    disk: int = 512 * MB  # bytes of all uploads; further ones are refused until old ones are gone
    sessions: int = 200  # of which Gradio keeps a record; each call over the queue is one
    corrections: int = 10_000  # that a folder takes: visitors must not fill the disk
    correction_side: int = 1024  # pixels of a picture that is kept; a photo is scaled down


@dataclass(frozen=True)
class Times:
    """How long things may take, in seconds."""

    body: float = 30  # for a request to arrive: a phone sends 64 MB in that time at 17 Mbit/s
    headers: float = 10  # for a request's first line and headers, on a fresh connection
    drain: int = 5  # after SIGTERM, for what is in flight
    keep: float = 300  # an upload stays, since a request last named it
    sweep: float = 5  # between looks for uploads that go
    # Gradio tells all who wait their place after every event unless told otherwise: quadratic.
    status: float = 2
    hub: float = 5  # that a start waits for the Hub; then the bundled weights serve
    first_retry: float = 5  # between tries for the Hub; they double up to the last
    last_retry: float = 300
    send: float = 300  # between tries to send corrections to the Hub


@dataclass(frozen=True)
class Shown:
    """How the page shows pictures, and when it gives hints."""

    reading: int = 800  # pixels: longer side of a picture that is shown with boxes
    why: int = 112  # pixels: the pictures that tell why
    example: int = 96
    thumbnail: int = 48
    detail: int = 4  # times the usual size, at which a photo is decoded for a small crop
    crop: float = 0.01  # of the picture's side: the smallest part that may be asked for
    doubtful: float = 0.9  # less sure answers are looked at again: there may be several digits
    # Below these a drawing is read less surely; shares of the digit's or picture's longer side.
    thin: float = 0.03
    small: float = 0.15


LIMITS, TIMES, SHOWN = Limits(), Times(), Shown()

# --- What the browser is told

# The page's script and style are in its HTML, and Gradio makes templates into functions, hence
# `unsafe-inline` and `unsafe-eval`; but nothing comes from or goes to another host. Spaces show the
# app inside a page of huggingface.co.
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Content-Security-Policy": "; ".join(
        (
            "default-src 'self'",
            "script-src 'self' 'unsafe-inline' 'unsafe-eval'",
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data: blob:",
            "media-src 'self' blob:",
            "font-src 'self' data:",
            "connect-src 'self' data: blob:",
            "worker-src 'self' blob:",
            "object-src 'none'",
            "base-uri 'self'",
            "form-action 'self'",
            "frame-ancestors 'self' https://huggingface.co https://*.hf.space",
        )
    ),
}
