"""The app as a process of its own, for the tests that talk to it."""

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import httpx

ROOT = Path(__file__).parent.parent


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def start(
    port: int, *flags: str, log: int | IO[str] = subprocess.PIPE, **environment: str
) -> subprocess.Popen:
    """The app; a log that may become long must be a file, for a full pipe would stop the app."""
    return subprocess.Popen(
        [sys.executable, "app.py", "--port", str(port), *flags],
        cwd=ROOT,
        env={**os.environ, "MNIST_CNN_MODEL": "", **environment},
        stdout=log,
        stderr=subprocess.STDOUT,
        text=True,
    )


def wait_until_up(url: str, app: subprocess.Popen) -> None:
    for _ in range(1200):
        assert app.poll() is None, app.stdout and app.stdout.read()
        try:
            httpx.get(f"{url}/health")
            return
        except httpx.TransportError:
            time.sleep(0.1)
    raise TimeoutError(url)


@contextlib.contextmanager
def running(*flags: str, **environment: str) -> Iterator[tuple[str, subprocess.Popen]]:
    """The app's address and process; it is ended afterwards."""
    port = free_port()
    with tempfile.TemporaryFile("w+") as log:
        app = start(port, *flags, log=log, **environment)
        try:
            wait_until_up(f"http://127.0.0.1:{port}", app)
            yield f"http://127.0.0.1:{port}", app
        finally:
            app.terminate()
            app.wait(60)


def memory(app: subprocess.Popen, what: str = "VmRSS") -> float:
    """Resident memory in MB: now, or with `VmHWM` the most there ever was."""
    status = Path(f"/proc/{app.pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith(what))
    return int(line.split()[1]) / 1024
