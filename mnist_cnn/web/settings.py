"""What the app allows itself and its visitors: every limit, with its reason, in one place.

Importing this module sets the environment that Gradio and the Hub client read when they are
imported, so it comes before them.
"""

import os
import tempfile
import uuid
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

# --- What may be sent

# A form with files: 500 drawings or small photos, or a ZIP of them.
MAX_UPLOAD = 64 * MB
MAX_FILES = 500
# A drawing takes 10 to 60 kB as a PNG in base64; nothing else in JSON is longer than a path.
MAX_JSON = MB // 2
# One picture to `/predict`, `/read` or, in base64, to MCP. Phones write 3 to 12 MB.
MAX_PICTURE = 16 * MB
MAX_MCP = MAX_PICTURE * 4 // 3 + MB // 4
# A ZIP must not grow: pictures are compressed already, and BMP shrinks about a hundredfold.
MAX_UNZIPPED = 256 * MB

# --- How long and how much at once

READ_SECONDS = 30  # for a request's body: a phone sends 64 MB in that time at 17 Mbit/s
HEADER_SECONDS = 10  # for a request's first line and headers, on a fresh connection
DRAIN_SECONDS = 5  # after SIGTERM, for what is in flight
# Whoever waits behind 256 others waits two seconds at most; more are refused at once.
MAX_QUEUE = 256
# Two threads read pictures: one decodes while the other's network runs. More only wait for each
# other on two cores.
READERS = 2
# Larger pictures have one thread of their own, so that drawings do not wait behind photos, and few
# may wait for it: each takes up to half a second.
LARGE_PIXELS = 2_000_000
MAX_LARGE = 16
LARGE_NICENESS = 10  # a tenth of the processor for that thread while the others have work
MAX_BATCH = 16  # pictures that share one run of the network, which halves its time for each
MAX_LARGE_UPLOADS = 4  # bodies above LARGE that are received at once
LARGE = 2 * MB
# Gradio tells all who wait their place after every event unless told otherwise: that is quadratic.
STATUS_SECONDS = 2.0

# --- What is kept, and for how long

KEEP_SECONDS = 300  # an upload, since a request last named it
SWEEP_SECONDS = 5
MAX_KEPT = 10_000  # uploads; where there are more, the oldest go first
MAX_DISK = 512 * MB  # for all uploads; further ones are refused until old ones are gone
SESSIONS = 200  # of which Gradio keeps a record; each call over the queue is one

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

HOST = "127.0.0.1"  # this machine alone, until someone asks for more
PORT = 7860  # where Spaces look
