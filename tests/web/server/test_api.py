"""What programs see: the same answers by every way, in documented JSON, and limits."""

import asyncio
import base64
import io
import json
import re
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import app_server
import hostile
import httpx
import numpy as np
import pytest
from gradio_client import Client, handle_file
from PIL import Image

KEYS = {
    "predict": {"digit", "label", "confidence", "probs", "reason", "message"},
    "read": {"text", "digits", "reason", "message"},
}


@pytest.fixture(scope="module")
def files(tmp_path_factory, frames) -> dict[str, str]:
    """A 4, a row 104, blank paper, no picture, and half a picture."""
    folder = tmp_path_factory.mktemp("files")
    row = np.pad(np.hstack([frames[10], frames[0], frames[40]]), 10)
    Image.fromarray(255 - np.pad(frames[40], 6)).resize((280, 280)).save(folder / "four.png")
    Image.fromarray(255 - row).resize((row.shape[1] * 5, row.shape[0] * 5)).save(folder / "row.jpg")
    Image.new("L", (100, 100), 255).save(folder / "blank.gif")
    (folder / "text.png").write_text("not a picture")
    (folder / "half.png").write_bytes((folder / "four.png").read_bytes()[:900])
    return {file.stem: str(file) for file in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def from_cli(files) -> dict[str, dict[str, dict]]:
    """What the command line says of the same files, without their folders."""

    def run(*flags: str) -> dict[str, dict]:
        command = [sys.executable, "-m", "mnist_cnn", "predict", "--json", *flags]
        done = subprocess.run([*command, *files.values()], capture_output=True, text=True)
        rows = {}
        for name, row in zip(files, json.loads(done.stdout), strict=True):
            file = row.pop("file")
            if "error" in row:
                row["error"] = row["error"].replace(file, file.rpartition("/")[2])
            rows[name] = row
        return rows

    return {"predict": run(), "read": run("--read")}


def same(answer: dict, expected: dict) -> bool:
    """Equal, but for the last bits of floats, which depend on how many were read at once."""
    if answer.keys() != expected.keys():
        return False
    flat = [json.dumps(each, sort_keys=True) for each in (answer, expected)]
    numbers = [[float(n) for n in re.findall(r"-?\d+\.?\d*(?:e-?\d+)?", text)] for text in flat]
    texts = [re.sub(r"-?\d+\.?\d*(?:e-?\d+)?", "0", text) for text in flat]
    return texts[0] == texts[1] and np.allclose(*numbers, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["predict", "read"])
def test_plain_http_answers_as_the_command_line(url, files, from_cli, name):
    for key, file in files.items():
        with open(file, "rb") as stream:
            answer = httpx.post(f"{url}/{name}", files={"image": stream}, timeout=120)
        expected = from_cli[name][key]
        if "error" in expected:
            # No name is needed where there is one picture.
            expected = {"error": "the picture" + expected["error"][expected["error"].index(":") :]}
        assert answer.status_code == (422 if "error" in expected else 200)
        assert same(answer.json(), expected), (answer.text, expected)


@pytest.mark.parametrize("name", ["predict", "read"])
def test_gradio_client_answers_as_the_command_line(url, files, from_cli, name):
    client = Client(url, verbose=False)
    for key in ("four", "row", "blank", "half"):
        answer = client.predict(handle_file(files[key]), api_name=f"/{name}")
        assert same(answer, from_cli[name][key])
    client.close()


def uploaded(url: str, file: str) -> str:
    with open(file, "rb") as stream:
        return httpx.post(f"{url}/gradio_api/upload", files={"files": stream}).json()[0]


def test_answers_that_share_a_batch_stay_apart(url, files, from_cli):
    contents = {key: Path(files[key]).read_bytes() for key in ("four", "blank", "row")}
    with httpx.Client(timeout=60) as client, ThreadPoolExecutor(32) as pool:

        def answer(key: str) -> dict:
            return client.post(f"{url}/predict", files={"image": contents[key]}).json()

        keys = list(contents) * 16
        answers = list(pool.map(answer, keys))
    assert all(same(a, from_cli["predict"][key]) for a, key in zip(answers, keys, strict=True))


def test_the_json_is_as_documented(url, files):
    for name, keys in KEYS.items():
        with open(files["four"], "rb") as stream:
            answer = httpx.post(f"{url}/{name}", files={"image": stream}).json()
        assert answer.keys() == keys
        assert answer["reason"] is None
    assert answer["text"] == "4"
    assert answer["digits"][0].keys() == {"box", "digit", "label", "confidence", "probs"}


def test_mcp_tools_answer_as_the_command_line(url, files, from_cli):
    """A client of the protocol's own package finds the two tools and calls them."""
    from mcp import ClientSession
    from mcp.client.streamable_http import streamablehttp_client

    def content(key: str) -> str:
        with open(files[key], "rb") as stream:
            return base64.b64encode(stream.read()).decode()

    async def talk() -> tuple[list, list[dict]]:
        async with (
            streamablehttp_client(f"{url}/mcp") as (incoming, outgoing, _),
            ClientSession(incoming, outgoing) as session,
        ):
            await session.initialize()
            tools = (await session.list_tools()).tools
            answers = []
            for tool, image in (
                ("predict_digit", content("four")),
                ("read_digits", "data:image/jpeg;base64," + content("row")),
                ("predict_digit", content("text")),
                ("predict_digit", "http://127.0.0.1:1/seven.png"),
            ):
                result = await session.call_tool(tool, {"image_base64": image})
                answers.append(json.loads(result.content[0].text))
            return tools, answers

    tools, (four, row, text, address) = asyncio.run(talk())
    assert {tool.name for tool in tools} == {"predict_digit", "read_digits"}
    assert all("JSON object" in tool.description for tool in tools)
    assert same(four, from_cli["predict"]["four"])
    assert same(row, from_cli["read"]["row"])
    assert text["error"].startswith("the picture: not a picture")
    assert address == {"error": "image_base64 must be the picture's bytes in base64"}


def test_health_names_the_weights(url, model):
    answer = httpx.get(f"{url}/health")
    assert answer.status_code == 200
    assert answer.json() == {
        "status": "ok",
        "weights": "bundled with mnist_cnn",
        "classes": list("0123456789"),
        "commit": model.report.git_commit,
        "standing_in": False,
        "waiting": 0,
    }


def test_only_predict_and_read_are_named_endpoints(url):
    info = httpx.get(f"{url}/gradio_api/info").json()
    assert list(info["named_endpoints"]) == ["/predict", "/read"]
    assert info["unnamed_endpoints"] == {}
    assert "probs" in info["named_endpoints"]["/predict"]["description"]


@pytest.mark.parametrize(
    "form",
    [
        {"files": {"picture": b"x"}},
        {"data": {"image": "seven.png"}},
        {"files": [("image", b"x"), ("image", b"y")]},
        {"content": b"x"},
        {},
    ],
    ids=["other-name", "field", "two", "no-form", "nothing"],
)
def test_a_request_without_one_image_is_told_what_to_send(url, form):
    answer = httpx.post(f"{url}/predict", **form)
    assert answer.status_code == 400
    assert answer.json()["error"]


# --- Hostile files and requests


def test_the_rest_of_a_refused_body_is_not_read(url):
    """The refusal comes, and then the end of the connection: 100 MB would have followed."""
    host, port = url.removeprefix("http://").split(":")
    head = b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 104857600\r\n\r\n"
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(head)
        answer = b"".join(iter(lambda: connection.recv(4096), b""))
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"104,857,600 bytes are too many" in answer


def test_thousands_of_hostile_files_are_answered_or_refused(url, app, files, from_cli):
    """No crash, no server error, a sentence for each refusal, and right answers all along."""
    good, expected = Path(files["four"]).read_bytes(), from_cli["predict"]["four"]
    each = list(hostile.files())
    assert len(each) >= 3500
    at_rest = app_server.memory(app)

    def send(item: tuple[int, tuple[str, bytes]]) -> None:
        number, (name, content) = item
        answer = client.post(f"{url}/predict", files={"image": ("seven.png", content)})
        assert answer.status_code in (200, 422), (name, answer.status_code)
        error = answer.json().get("error")
        assert (answer.status_code == 422) == (error is not None)
        assert error is None or (error.startswith("the picture: ") and len(error) > 25), name
        assert answer.elapsed.total_seconds() < 30
        if number % 100 == 0:
            answer = client.post(f"{url}/predict", files={"image": ("four.png", good)})
            assert same(answer.json(), expected)

    with httpx.Client(timeout=120) as client, ThreadPoolExecutor(4) as pool:
        list(pool.map(send, enumerate(each)))
    # torch alone takes 200 or 500 MB, by its build, so what counts is what files add.
    assert app_server.memory(app, "VmHWM") - at_rest < 450  # each thread has a heap of its own


@pytest.fixture(scope="module")
def canary():
    """A port that counts who calls."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.2)
    calls, stop = [], threading.Event()

    def accept() -> None:
        while not stop.is_set():
            try:
                calls.append(listener.accept()[1])
            except TimeoutError:
                continue

    thread = threading.Thread(target=accept)
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}", calls
    stop.set()
    thread.join()
    listener.close()


def payloads(address: str, path: str, functions: int, predict: int) -> list[bytes]:
    """More than 300 hostile calls for Gradio's queue.

    Args:
        address: of a server that must not be asked for anything.
        path: of an upload.
        functions: how many the page has.
        predict: the number of the one that takes a picture.
    """
    host = address.removeprefix("http://")
    port = host.rpartition(":")[2]
    urls = [
        f"{address}/a.png",
        f"HTTP://{host}/a.png",
        f"http://127.1:{port}/a.png",
        f"http://2130706433:{port}/a.png",
        f"http://0:{port}/a.png",
        f"http://[::ffff:127.0.0.1]:{port}/a.png",
        f"http://localhost:{port}/a.png",
        f"http://huggingface.co@{host}/a.png",
        f"//{host}/a.png",
        f"ftp://{host}/a.png",
        f"https://{host}/a.png",
        "data:image/png;base64," + base64.b64encode(hostile.whole()["png"]).decode(),
        "file:///etc/passwd",
    ]
    paths = [
        "/etc/passwd",
        "/proc/self/environ",
        "/dev/zero",
        "/dev/stdin",
        "app.py",
        "README.md",
        "../README.md",
        f"{path}/../../../etc/passwd",
        path.rpartition("/")[0],
        f"{path}\0.png",
        "",
        "x" * 100_000,
    ]
    meta = {"_type": "gradio.FileData"}
    data: list = [{"path": each, "meta": meta} for each in (*paths, *urls)]
    data += [{"path": each} for each in (*paths, *urls)]
    data += [{"path": path, "url": each, "meta": meta} for each in urls]
    data += [{"url": each, "meta": meta} for each in urls]
    data += [{"path": None, "url": each} for each in urls]
    data += [*urls, *paths]
    data += [
        {"path": path, "meta": meta, "is_stream": True},
        {"path": path, "meta": {"_type": "other"}},
        {"path": path, "mime_type": "text/html", "orig_name": "<script>alert(1)</script>"},
        {"path": 7},
        {"path": [path]},
        {"path": {"path": path}},
        {"__type__": "update", "value": path},
        {"value": {"path": "/etc/passwd", "meta": meta}},
        [{"path": path}, {"path": "/etc/passwd"}],
        7,
        -1e308,
        True,
        "x" * 200_000,
        [[]] * 1000,
        {str(i): i for i in range(5000)},
    ]
    bodies = [
        b'{"data": [1]',
        b"\xff\xfe",
        b"[]",
        b"null",
        b'{"data": [NaN], "fn_index": 0, "session_hash": "a"}',
        b'{"data": [1e999], "fn_index": 0, "session_hash": "a"}',
        b'{"data": ' * 200,
        b"[" * 200_000,
        b'{"data": [{"path": "\\ud800"}], "fn_index": 0, "session_hash": "a"}',
        b'{"data": [{"path": "a", "path": "/etc/passwd"}], "fn_index": 0, "session_hash": "a"}',
    ]
    joins = [
        {"fn_index": index, "session_hash": session, "data": value}
        for index in (0, functions - 1, functions, -1, 10**9, 10**30, "0", 0.5, True, [], None)
        for session, value in (("a", []), ("a" * 5000, [None]), ("../..", ["x"]), (None, [None]))
    ]
    joins += [
        {"fn_index": 0, "session_hash": "a", "data": [None]} | more
        for more in (
            {"data": {}},
            {"data": None},
            {"trigger_id": "x"},
            {"event_id": 7},
            {"event_data": {"path": "/etc/passwd"}},
            {"simple_format": [], "batched": "x", "oauth_token": 7},
        )
    ]
    joins += [{}, {"data": []}, {"fn_index": 0}]
    joins += [
        {"fn_index": function, "session_hash": f"hostile-{function}-{number}", "data": [each]}
        for function in (predict, 0)
        for number, each in enumerate(data)
    ]
    return [*bodies, *(json.dumps(join).encode() for join in joins)]


def joined(url: str, body: bytes) -> httpx.Response:
    return httpx.post(f"{url}/gradio_api/queue/join", content=body, timeout=60)


def heard(url: str, session: str) -> str:
    """All that Gradio's queue says to a session."""
    address = f"{url}/gradio_api/queue/data?session_hash={session}"
    return httpx.get(address, timeout=60).text


def reason(answer: httpx.Response) -> str:
    """The sentence with which something is refused."""
    said = answer.json()["error"]
    assert len(said) > 10
    assert said.endswith(".")
    return said


def test_hostile_requests_read_no_file_and_call_nobody(url, app, canary, files, from_cli):
    address, calls = canary
    path = uploaded(url, files["four"])
    functions = httpx.get(f"{url}/config").json()["dependencies"]
    predict = next(each["id"] for each in functions if each["api_name"] == "predict")
    bodies = payloads(address, path, len(functions), predict)
    assert len(bodies) >= 300
    secret = Path("/etc/passwd").read_text()[:20]
    answers = 0
    for body in bodies:
        answer = joined(url, body)
        assert answer.status_code < 500, body[:200]
        if answer.status_code != 200:
            assert secret not in reason(answer)
        elif b'"hostile-' in body:
            text = heard(url, json.loads(body)["session_hash"])
            assert "process_completed" in text
            assert secret not in text
            answers += '"digit":' in text
    assert answers >= 10  # what is hostile in a URL alone is answered without it
    assert calls == []
    assert app.poll() is None
    body = {"data": [{"path": path, "meta": {"_type": "gradio.FileData"}}], "fn_index": predict}
    assert joined(url, json.dumps(body | {"session_hash": "after"}).encode()).is_success
    output = json.loads(heard(url, "after").split("\n\n")[-3][6:])["output"]
    assert same(output["data"][0], from_cli["predict"]["four"])


# --- Starting and stopping


def test_sigterm_answers_what_is_in_flight(frames):
    page = 255 - frames[:40].reshape(4, 10, 28, 28).swapaxes(1, 2).reshape(112, 280)
    stream = io.BytesIO()
    Image.fromarray(page).resize((1200, 480)).save(stream, "PNG")
    with app_server.running() as (url, app), ThreadPoolExecutor(1) as pool:
        content = {"image": stream.getvalue()}
        waiting = pool.submit(httpx.post, f"{url}/read", files=content, timeout=120)
        while httpx.get(f"{url}/health").json()["waiting"] == 0:
            assert not waiting.done(), "it was too quick to be in flight"
        app.send_signal(signal.SIGTERM)
        assert waiting.result().status_code == 200
        assert app.wait(10) in (0, -signal.SIGTERM)


def test_a_busy_port_is_said_in_a_sentence(url):
    port = int(url.rpartition(":")[2])
    second = app_server.start(port)
    output, _ = second.communicate(timeout=120)
    assert second.returncode == 1
    assert f"cannot listen on 127.0.0.1, port {port}: Address already in use." in output
    assert f"--port {port + 1}" in output
    assert "Traceback" not in output
