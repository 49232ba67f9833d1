"""How the app serves under load, for long, and beside attackers: `python -m benchmarks.serving`.

Writes benchmarks/serving.json. The server runs on one core and the clients on another, over plain
sockets: gradio_client takes 70 ms of the client's own time a call. Beside our app, in the same run,
stands Gradio with a function that answers a constant: at its default settings, and behind our guard
and settings. Leave the machine alone while it runs (about twenty minutes on two cores).
"""

import argparse
import asyncio
import contextlib
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from benchmarks import reports
from benchmarks.speed import row

ROOT = Path(__file__).parent.parent
PARTS = ("start", "space", "pen", "throughput", "age", "crowd", "attack", "ending")
CLIENTS = (1, 32, 128)
GOOD_USERS = 16
BOUNDARY = "a-line-that-no-picture-holds"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20, help="for each number of clients")
    parser.add_argument("--answers", type=int, default=60_000, help="how many make it old")
    parser.add_argument(
        "--space-python",
        metavar="PYTHON",
        help="one as a Space on a CPU has it (PyTorch's CPU build, the app's requirements alone): "
        "start and memory are measured with it, too",
    )
    parser.add_argument(
        "--only", nargs="+", choices=PARTS, help="measure these; the others stay as they were"
    )
    parser.add_argument("--serve", choices=FLOORS, help="serve a constant answer (used by itself)")
    parser.add_argument("--port", type=int)
    args = parser.parse_args()
    if args.serve:
        return FLOORS[args.serve](args.port)
    parts = {
        "start": first_answer,
        "space": lambda: on_a_space(args.space_python),
        "pen": pen,
        "throughput": lambda: throughput(args.seconds),
        "age": lambda: age(args.answers),
        "crowd": crowd,
        "attack": lambda: attack(args.seconds),
        "ending": ending,
    }
    found = [each for part in args.only or PARTS for each in parts[part]()]
    kept = reports.read("serving")["rows"] if args.only else []
    rows = list({each["what"]: each for each in kept + found}.values())
    reports.write("serving", reports.with_origin({"rows": rows}))
    for each in rows:
        print(f"{each['what']}: {each['value']} ({each['against']})")
    return 0


# --- Servers


ANSWER = {"digit": 7, "confidence": 1.0, "probs": [0.0] * 10, "reason": None}


def serve_default(port: int) -> int:
    """Gradio as it comes; only its telemetry is off."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    import gradio as gr

    app = gr.Interface(lambda image: ANSWER, gr.Image(), gr.JSON(), api_name="predict")
    app.launch(server_port=port, quiet=True)
    return 0


def serve_ours(port: int) -> int:
    """The constant behind our guard and settings: the price of serving alone."""
    from mnist_cnn import load_model
    from mnist_cnn.web.page.tabs import OPTIONS, build
    from mnist_cnn.web.server import api
    from mnist_cnn.web.server.live import Weights
    from mnist_cnn.web.server.readers import Readers, Task
    from mnist_cnn.web.server.serve import make_app, run

    together = api.TASKS["predict"].together
    api.TASKS["predict"] = Task(lambda model, pictures: [ANSWER] * len(pictures), together)
    readers = Readers(Weights(load_model()))
    run(make_app(build(readers), readers, **OPTIONS), "127.0.0.1", port)
    return 0


FLOORS = {"default": serve_default, "ours": serve_ours}


@contextlib.contextmanager
def served(
    command: list[str], python: str = sys.executable, **environment: str
) -> Iterator["Server"]:
    """A server on the first core, while this process keeps to the others."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    cores = sorted(os.sched_getaffinity(0))
    process = subprocess.Popen(
        [python, *command, "--port", str(port)],
        cwd=ROOT,
        env={**os.environ, "MNIST_CNN_MODEL": "", **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: os.sched_setaffinity(0, cores[:1]),
    )
    os.sched_setaffinity(0, cores[1:] or cores)
    server = Server(process, port)
    try:
        asyncio.run(server.ready())
        yield server
    finally:
        os.sched_setaffinity(0, cores)
        process.terminate()
        process.wait(15)


@dataclass
class Server:
    process: subprocess.Popen
    port: int

    async def ready(self) -> None:
        while True:
            with contextlib.suppress(OSError):
                async with connected(self.port) as connection:
                    if (await connection.ask("GET", "/config"))[0] == 200:
                        return
            await asyncio.sleep(0.02)

    def memory(self) -> float:
        """Resident, in MB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
        return int(line.split()[1]) / 1024


OURS = ["app.py"]
FLOOR = {name: ["-m", "benchmarks.serving", "--serve", name] for name in FLOORS}


# --- A client that costs little


@dataclass
class Connection:
    """One kept connection; asks again on a new one if the server closed it."""

    port: int
    streams: tuple = field(default=())

    async def ask(
        self, method: str, path: str, body: bytes = b"", kind: str = "application/json"
    ) -> tuple[int, bytes]:
        """Status and body of an answer, of which streams are read to their end."""
        if not self.streams:
            self.streams = await asyncio.open_connection("127.0.0.1", self.port)
        reader, writer = self.streams
        head = f"{method} {path} HTTP/1.1\r\nHost: a\r\nContent-Type: {kind}\r\n"
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        status = int(head.split(" ", 2)[1])
        if "transfer-encoding: chunked" in head:
            parts = []
            while size := int(await reader.readline(), 16):
                parts.append(await reader.readexactly(size))
                await reader.readexactly(2)
            await reader.readexactly(2)
            content = b"".join(parts)
        else:
            content = await reader.readexactly(
                int(head.partition("content-length: ")[2].split()[0])
            )
        if "connection: close" in head:
            await self.close()
        return status, content

    async def close(self) -> None:
        if self.streams:
            self.streams[1].close()
            self.streams = ()


@contextlib.asynccontextmanager
async def connected(port: int) -> AsyncIterator[Connection]:
    connection = Connection(port)
    try:
        yield connection
    finally:
        await connection.close()


def form(name: str, content: bytes) -> tuple[bytes, str]:
    """A form with one file, and its content type."""
    head = f'Content-Disposition: form-data; name="{name}"; filename="a.png"\r\n\r\n'
    body = f"--{BOUNDARY}\r\n{head}".encode() + content + f"\r\n--{BOUNDARY}--\r\n".encode()
    return body, f"multipart/form-data; boundary={BOUNDARY}"


def drawing() -> bytes:
    """A 280×280 PNG of a 7."""
    image = Image.new("L", (280, 280), 255)
    ImageDraw.Draw(image).line([(84, 56), (200, 56), (126, 238)], 0, 20, "curve")
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


PICTURE = drawing()


async def upload(connection: Connection) -> str:
    status, content = await connection.ask("POST", "/gradio_api/upload", *form("files", PICTURE))
    assert status == 200, content
    return json.loads(content)[0]


async def join(connection: Connection, path: str, function: int) -> None:
    """One answer over Gradio's own queue, as the page and `gradio_client` ask for it."""
    session = uuid.uuid4().hex
    file = {"path": path, "meta": {"_type": "gradio.FileData"}}
    body = {"data": [file], "fn_index": function, "session_hash": session}
    address = "/gradio_api/queue/"
    status, content = await connection.ask("POST", f"{address}join", json.dumps(body).encode())
    if status == 503:
        raise Refused
    status, content = await connection.ask("GET", f"{address}data?session_hash={session}")
    assert b"process_completed" in content, content
    assert b'"digit":7' in content, content


class Refused(Exception):  # noqa: N818
    """The server said that it has enough to do."""


async def upload_and_join(connection: Connection, function: int) -> None:
    await join(connection, await upload(connection), function)


async def one_exchange(connection: Connection) -> None:
    """One answer from `/predict`: the picture in, the JSON out."""
    status, content = await connection.ask("POST", "/predict", *form("image", PICTURE))
    if status == 503:
        raise Refused
    assert status == 200, content
    assert json.loads(content)["digit"] == 7


@dataclass
class Load:
    """What many clients saw."""

    seconds: float
    latencies: list[float] = field(default_factory=list)  # seconds
    finished: list[float] = field(default_factory=list)  # when, in seconds from the start
    errors: int = 0

    @property
    def rate(self) -> float:
        return len(self.latencies) / self.seconds

    def quantile(self, share: float) -> float:
        """Milliseconds."""
        return float(np.quantile(self.latencies, share)) * 1e3


async def load(
    port: int, clients: int, ask: Callable[[Connection], Awaitable[None]], until: float | int
) -> Load:
    """Clients that ask again as soon as they are answered, for some seconds or (int) answers."""
    found, start = Load(0.0), time.perf_counter()

    def over() -> bool:
        done = len(found.latencies) if isinstance(until, int) else time.perf_counter() - start
        return done >= until

    async def client() -> None:
        async with connected(port) as connection:
            while not over():
                begun = time.perf_counter()
                try:
                    await ask(connection)
                except (OSError, AssertionError, Refused, asyncio.IncompleteReadError):
                    found.errors += 1
                    await connection.close()
                    continue
                found.latencies.append(time.perf_counter() - begun)
                found.finished.append(time.perf_counter() - start)

    await asyncio.gather(*(client() for _ in range(clients)))
    found.seconds = time.perf_counter() - start
    return found


# --- What is measured

# Notes the milliseconds from the end of each stroke to the first change of the answer.
WATCH = """() => {
  window.taken = [];
  let up = 0;
  document.querySelector("canvas").addEventListener("pointerup", () => { up = performance.now(); });
  new MutationObserver(() => {
    if (up) window.taken.push(performance.now() - up);
    up = 0;
  }).observe(document.querySelector(".answer").parentNode,
    {subtree: true, childList: true, characterData: true, attributes: true});
}"""


def pen() -> list[dict]:
    """What a person waits for: from lifting the pen to the answer, in Chromium."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium")
    with served(OURS) as server, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{server.port}")
        page.locator("canvas[aria-label]").wait_for()
        page.wait_for_timeout(1000)
        page.evaluate(WATCH)
        box = page.locator("canvas").bounding_box()
        for stroke in range(20):
            across = box["x"] + (0.2 + 0.03 * stroke) * box["width"]
            page.mouse.move(across, box["y"] + 0.3 * box["height"])
            page.mouse.down()
            page.mouse.move(across, box["y"] + 0.7 * box["height"], steps=5)
            page.mouse.up()
            page.wait_for_timeout(500)
        taken = page.evaluate("window.taken")
        browser.close()
    p50, p95 = np.median(taken), np.quantile(taken, 0.95)
    return [
        row(
            "from lifting the pen to the answer, in Chromium",
            f"{p50:.0f} ms (p50), {p95:.0f} ms (p95)",
            f"{len(taken)} strokes",
            p50_ms=float(p50),
            p95_ms=float(p95),
        )
    ]


def throughput(seconds: float) -> list[dict]:
    """Answers a second by three ways, at 1, 32 and 128 clients."""
    ways: dict[str, Callable] = {
        "`POST /predict`": one_exchange,  # plain Gradio has no such thing
        "Gradio's queue, of what was uploaded": join,
        "upload, then Gradio's queue": upload_and_join,
    }
    found: dict[tuple[str, str, int], Load] = {}
    for name, command in {"app": OURS, **FLOOR}.items():
        with served(command) as server:
            for way, ask in ways.items():
                if ask is one_exchange and name != "app":
                    continue
                # Anew each time: of very many uploads the oldest go.
                path, function = asyncio.run(_prepared(server.port))
                needed = {
                    join: {"path": path, "function": function},
                    upload_and_join: {"function": function},
                }
                asking = partial(ask, **needed.get(ask, {}))
                asyncio.run(load(server.port, 8, asking, min(2.0, seconds)))  # warm
                for clients in CLIENTS:
                    found[name, way, clients] = asyncio.run(
                        load(server.port, clients, asking, float(seconds))
                    )
    return [_throughput_row(found, way, clients) for way in ways for clients in CLIENTS]


async def _prepared(port: int) -> tuple[str, int]:
    """The path of an upload, and the number of the function `predict`."""
    async with connected(port) as connection:
        _, content = await connection.ask("GET", "/config")
        functions = json.loads(content)["dependencies"]
        number = next(each["id"] for each in functions if each["api_name"] == "predict")
        return await upload(connection), number


def _throughput_row(found: dict, way: str, clients: int) -> dict:
    ours = found["app", way, clients]
    beside = "Gradio's queue, of what was uploaded" if way == "`POST /predict`" else way
    floors = {name: found.get((name, beside, clients)) for name in FLOORS}
    known = {name: each for name, each in floors.items() if each}
    named = {"default": "a constant from plain Gradio's queue", "ours": "a constant from ours"}
    against = "; ".join(
        f"{named[name]}: {each.rate:.0f}/s, p99 {each.quantile(0.99):.0f} ms"
        for name, each in known.items()
    )
    return row(
        f"{way}, {clients} client{'s' if clients > 1 else ''}",
        f"{ours.rate:.0f}/s, p50 {ours.quantile(0.5):.0f} ms, p99 {ours.quantile(0.99):.0f} ms",
        against or "–",
        rate=ours.rate,
        p50_ms=ours.quantile(0.5),
        p99_ms=ours.quantile(0.99),
        errors=ours.errors,
        answers=len(ours.latencies),
        **{f"{name}_rate": each.rate for name, each in known.items()},
        **{f"{name}_errors": each.errors for name, each in known.items()},
    )


def age(answers: int) -> list[dict]:
    """Rate, memory and files over many answers."""
    with served(OURS) as server:
        early = max(1, min(5000, answers // 5))
        asyncio.run(load(server.port, 32, one_exchange, early))
        before = server.memory()
        found = asyncio.run(load(server.port, 32, one_exchange, answers))
        growth, files = server.memory() - before, _files()
        tenth = len(found.finished) // 10
        first, last = (tenth / (f[-1] - f[0]) for f in _ends(sorted(found.finished), tenth))
    return [
        row(
            f"{answers:,} answers: rate of the last tenth",
            f"{last / first:.0%} of the first tenth's",
            f"{first:.0f}/s at first, {last:.0f}/s at last, {found.errors} errors",
            share=last / first,
            errors=found.errors,
        ),
        row(
            f"memory that they added, after the first {early:,}",
            f"{growth:.0f} MB",
            f"{before:.0f} MB before; {files:,} files on the disk at the end",
            growth_mb=growth,
            files=files,
        ),
    ]


def _ends(times: list[float], count: int) -> tuple[list[float], list[float]]:
    return times[:count], times[-count:]


def _files() -> int:
    """How many uploads lie in this machine's temporary folders of the app."""
    return sum(1 for path in Path(tempfile.gettempdir()).glob("mnist-cnn-*/*/*") if path.is_file())


def crowd() -> list[dict]:
    """A thousand calls at once: those beyond the queue's size are refused, the others answered."""

    async def burst(server: Server) -> tuple[int, int, int, float]:
        answered, refused, lost, slowest = 0, 0, 0, 0.0

        async def one() -> None:
            nonlocal answered, refused, lost, slowest
            begun = time.perf_counter()
            try:
                async with connected(server.port) as connection:
                    await one_exchange(connection)
                answered += 1
            except Refused:
                refused += 1
                slowest = max(slowest, time.perf_counter() - begun)
            except (OSError, AssertionError, asyncio.IncompleteReadError):
                lost += 1

        await asyncio.gather(*(one() for _ in range(1000)))
        return answered, refused, lost, slowest

    with served(OURS) as server:
        answered, refused, lost, slowest = asyncio.run(burst(server))
    return [
        row(
            "a thousand calls at the same moment",
            f"{answered} answered, {refused} refused with 503, {lost} lost",
            f"the last refusal after {slowest * 1e3:.0f} ms",
            answered=answered,
            refused=refused,
            lost=lost,
            slowest_refusal_ms=slowest * 1e3,
        )
    ]


def attack(seconds: float) -> list[dict]:
    """Users' latencies alone, and beside attackers of every kind."""

    async def beside(server: Server) -> Load:
        attackers = [asyncio.create_task(attacker(server.port)) for attacker in ATTACKS]
        await asyncio.sleep(0.5)
        found = await load(server.port, GOOD_USERS, one_exchange, float(seconds))
        for task in attackers:
            task.cancel()
        await asyncio.gather(*attackers, return_exceptions=True)
        return found

    with served(OURS) as server:
        asyncio.run(load(server.port, GOOD_USERS, one_exchange, min(2.0, seconds)))
        quiet = asyncio.run(load(server.port, GOOD_USERS, one_exchange, float(seconds)))
        attacked = asyncio.run(beside(server))
        memory = server.memory()
    ratio = attacked.quantile(0.99) / quiet.quantile(0.99)
    return [
        row(
            f"{GOOD_USERS} users beside {len(ATTACKS)} attackers, p99",
            f"{attacked.quantile(0.99):.0f} ms, {ratio:.1f} times as long",
            f"without attackers {quiet.quantile(0.99):.0f} ms; {attacked.errors} errors; "
            f"{memory:.0f} MB at the end",
            ratio=ratio,
            errors=attacked.errors,
            memory_mb=memory,
        )
    ]


async def _bombs(port: int) -> None:
    """Pictures that claim or unpack to much, one after the other."""
    stream = io.BytesIO()
    Image.new("1", (4000, 3999)).save(stream, "PNG")
    while True:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            async with connected(port) as connection:
                await connection.ask("POST", "/predict", *form("image", stream.getvalue()))


async def _large_bodies(port: int) -> None:
    """100 MB each, sent for as long as the server listens."""
    head = b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 104857600\r\n\r\n"
    while True:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(head)
            for _ in range(100):
                writer.write(bytes(2**20))
                await writer.drain()
            writer.close()
        await asyncio.sleep(0)


async def _cut_uploads(port: int) -> None:
    """Uploads that end in the middle."""
    body, kind = form("files", PICTURE)
    head = f"POST /gradio_api/upload HTTP/1.1\r\nHost: a\r\nContent-Type: {kind}\r\n"
    while True:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode())
            writer.write(body[: len(body) // 2])
            await writer.drain()
            writer.close()
        await asyncio.sleep(0.01)


async def _half_open(port: int) -> None:
    """Five hundred connections that never finish their first line."""
    writers = []
    try:
        while True:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(b"GET / HTTP/1.1\r\nHost")
                writers.append(writer)
            if len(writers) > 500:
                writers.pop(0).close()
                await asyncio.sleep(0.1)
    finally:
        for writer in writers:
            writer.close()


ATTACKS = (_bombs, _large_bodies, _cut_uploads, _half_open)


def first_answer() -> list[dict]:
    """From the command to the first answer, cold, with the Hub out of reach as well."""

    def start(**environment: str) -> tuple[float, float]:
        begun = time.perf_counter()
        with served(OURS, **environment) as server:
            asyncio.run(load(server.port, 1, one_exchange, 1))
            return time.perf_counter() - begun, server.memory()

    seconds, memory = start()
    # A proxy where nobody listens: every request to the outside fails.
    offline, _ = start(HTTP_PROXY="http://127.0.0.1:9", HTTPS_PROXY="http://127.0.0.1:9")
    code = "import gradio, torch"
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
    alone = time.perf_counter() - begun
    return [
        row(
            "start to first answer",
            f"{seconds:.1f} s",
            f"without network {offline:.1f} s; importing gradio and torch alone: {alone:.1f} s",
            seconds=seconds,
            offline_seconds=offline,
            imports_seconds=alone,
        ),
        row(
            "memory after the first answer",
            f"{memory:.0f} MB",
            f"Python with torch alone: {_torch_memory():.0f} MB",
            memory_mb=memory,
        ),
    ]


def on_a_space(python: str | None) -> list[dict]:
    """Start and memory without CUDA's libraries, which take 280 MB and do nothing on a CPU."""
    if python is None:
        return []
    begun = time.perf_counter()
    with served(OURS, python=python) as server:
        at_rest = server.memory()
        asyncio.run(load(server.port, 1, one_exchange, 1))
        seconds, memory = time.perf_counter() - begun, server.memory()
    return [
        row(
            "with PyTorch's CPU build, as on a Space: start to first answer",
            f"{seconds:.1f} s",
            f"{memory:.0f} MB then, {at_rest:.0f} MB before it",
            seconds=seconds,
            memory_mb=memory,
            at_rest_mb=at_rest,
        )
    ]


def _torch_memory() -> float:
    code = "import torch; print(open('/proc/self/status').read())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    line = next(line for line in done.stdout.splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def ending() -> list[dict]:
    """SIGTERM while 16 clients ask: who was being answered is answered."""

    async def ended(server: Server) -> tuple[int, int, float]:
        pending, answered, cut = set(), 0, 0
        stop = asyncio.Event()

        async def client() -> None:
            nonlocal answered, cut
            async with connected(server.port) as connection:
                while not stop.is_set():
                    try:
                        await one_exchange(connection)
                        answered += stop.is_set()
                    except (OSError, AssertionError, asyncio.IncompleteReadError):
                        cut += 1
                        return

        pending = [asyncio.create_task(client()) for _ in range(16)]
        await asyncio.sleep(1)
        begun = time.perf_counter()
        stop.set()
        server.process.send_signal(signal.SIGTERM)
        await asyncio.gather(*pending)
        while server.process.poll() is None:
            await asyncio.sleep(0.01)
        return answered, cut, time.perf_counter() - begun

    with served(OURS) as server:
        answered, cut, seconds = asyncio.run(ended(server))
        code = server.process.returncode
    return [
        row(
            "SIGTERM while 16 clients wait for an answer",
            f"{answered} answered, {cut} cut off, ended after {seconds:.1f} s",
            f"exit code {code if code >= 0 else 128 - code}",
            answered=answered,
            cut=cut,
            seconds=seconds,
        )
    ]


if __name__ == "__main__":
    sys.exit(main())
