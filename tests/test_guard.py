"""The guard alone, before an app that says what reached it."""

import asyncio
import io
import json
import os
import time

import pytest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from mnist_cnn.web import settings
from mnist_cnn.web.api import check_upload
from mnist_cnn.web.guard import Guard, Uploads, checked_json, plain_name, refused, upload


@pytest.fixture
def uploads(tmp_path):
    return Uploads(tmp_path / "uploads")


@pytest.fixture
def client(uploads):
    async def echo(request: Request):
        return JSONResponse({"path": request.url.path, "body": (await request.body()).decode()})

    async def keep(request: Request):
        return await upload(request, uploads, check_upload)

    app = Starlette(
        routes=[
            Route("/gradio_api/upload", keep, methods=["POST"]),
            Route("/{rest:path}", echo, methods=["GET", "HEAD", "POST", "PUT", "DELETE"]),
        ],
        middleware=[Middleware(Guard, uploads=uploads, is_full=lambda: False)],
        exception_handlers={HTTPException: refused},
    )
    return TestClient(app)


@pytest.fixture
def kept(uploads):
    return str(uploads.add("seven.png", io.BytesIO(b"content")))


@pytest.mark.parametrize(
    "address",
    ["/", "/config", "/health", "/assets/index-1.js", "/gradio_api/info", "/gradio_api/queue/data"],
)
def test_what_the_page_needs_is_open(client, address):
    assert client.get(address).json()["path"] == address


CLOSED = """
GET /docs
GET /redoc
GET /openapi.json
GET /gradio_api/openapi.json
GET /monitoring
GET /monitoring/summary
GET /monitoring/anything
GET /gradio_api/deep_link
GET /gradio_api/runs
GET /gradio_api/proxy=https://example.com/
HEAD /gradio_api/proxy=https://example.com/
GET /proxy=https://example.com/
GET /gradio_api/file=https://example.com/
GET /gradio_api/file=/etc/passwd
GET /gradio_api/file=C:/Windows/win.ini
GET /file=/etc/passwd
GET /gradio_api/file//etc/passwd
GET /gradio_api/stream/a/b/c/playlist.m3u8
GET /gradio_api/custom_component/a/client/component/style.css
GET /gradio_api/token
GET /gradio_api/dev/reload
GET /gradio_api/vibe-code
GET /gradio_api/profiling/traces
GET /static/../../etc/passwd
GET /assets/%2e%2e/%2e%2e/etc/passwd
POST /gradio_api/run/predict
POST /gradio_api/api/predict
POST /gradio_api/run/0
POST /gradio_api/call/v2/predict
POST /gradio_api/call/draw
POST /gradio_api/component_server
POST /gradio_api/process_recording
POST /gradio_api/vibe-edit
POST /gradio_api/stream/abc
POST /login
POST /
PUT /gradio_api/upload
DELETE /health
""".strip().splitlines()


@pytest.mark.parametrize("request_line", CLOSED)
def test_everything_else_is_closed(client, request_line):
    method, _, address = request_line.partition(" ")
    answer = client.request(method, address)
    assert answer.status_code == 404
    if method != "HEAD":
        assert answer.json() == {"error": "There is nothing at this address."} or (
            "no such file" in answer.json()["error"]
        )


def test_every_answer_has_the_headers(client):
    for answer in (client.get("/"), client.get("/closed"), client.post("/gradio_api/queue/join")):
        assert answer.headers["x-content-type-options"] == "nosniff"
        policy = answer.headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "object-src 'none'" in policy
        assert "frame-ancestors 'self'" in policy
        assert "http://" not in policy


@pytest.mark.parametrize(
    ("address", "limit"),
    [
        ("/gradio_api/queue/join", settings.MAX_JSON),
        ("/gradio_api/call/predict", settings.MAX_JSON),
        ("/gradio_api/upload", settings.MAX_UPLOAD),
        ("/predict", settings.MAX_PICTURE + settings.MAX_JSON),
        ("/mcp", settings.MAX_MCP),
    ],
)
def test_a_large_body_is_refused_by_its_length_alone(client, address, limit):
    answer = client.post(address, headers={"content-length": str(limit + 1)}, content=b"")
    assert answer.status_code == 413
    assert f"at most {limit:,}" in answer.json()["error"]


def test_a_body_needs_a_length(client):
    assert client.post("/gradio_api/queue/join", content=iter([b"{}"])).status_code == 411
    headers = {"content-length": "-1"}
    assert client.post("/gradio_api/queue/join", headers=headers).status_code == 400


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"text",
        b"[1]",
        b'"a"',
        b'{"a":NaN}',
        b'{"a":1e999}',
        b'{"a":"\\ud800"}',
        b"{" * 100_000,
        b'{"a":' * 30 + b"1" + b"}" * 30,
    ],
    ids=["empty", "text", "list", "string", "nan", "infinity", "surrogate", "open", "deep"],
)
def test_json_must_be_a_modest_object(client, body):
    answer = client.post("/gradio_api/call/predict", content=body)
    assert answer.status_code == 400
    assert "JSON" in answer.json()["error"]


def test_json_goes_on_as_it_came(client, kept):
    body = {"data": [{"path": kept, "meta": {"_type": "gradio.FileData"}}, 1.5, "ä", None, []]}
    answer = client.post("/gradio_api/call/predict", json=body)
    assert json.loads(answer.json()["body"]) == body


def test_urls_are_taken_out(client, kept):
    body = {"data": [{"path": kept, "url": "http://127.0.0.1:9/", "orig_name": "a"}]}
    answer = client.post("/gradio_api/queue/join", json=body)
    assert json.loads(answer.json()["body"]) == {"data": [{"path": kept, "orig_name": "a"}]}


def paths_outside(uploads):
    inside = str(uploads.folder)
    link = uploads.folder / "link"
    link.symlink_to("/etc/passwd")
    os.mkfifo(uploads.folder / "pipe")
    return [
        "/etc/passwd",
        "/dev/zero",
        "/proc/self/environ",
        "../../../etc/passwd",
        f"{inside}/../../etc/passwd",
        f"{inside}",
        f"{inside}/",
        f"{inside}/missing.png",
        f"{inside}/pipe",
        f"{inside}-other/file",
        str(link),
        "http://127.0.0.1/a.png",
        "file:///etc/passwd",
        "",
        "a\0b",
        "\ud800",
        "x" * 5000,
        None,
        7,
        ["/etc/passwd"],
        {"path": "/etc/passwd"},
    ]


def test_files_that_were_not_uploaded_are_refused_wherever_they_are_named(uploads):
    for path in paths_outside(uploads):
        for body in (
            {"data": [{"path": path}]},
            {"data": [[{"a": {"path": path, "meta": {"_type": "gradio.FileData"}}}]]},
            {"path": path},
        ):
            with pytest.raises(HTTPException, match="not uploaded here") as refusal:
                checked_json(json.dumps(body).encode(), uploads)
            assert refusal.value.status_code == 400


def test_a_named_file_stays_and_a_forgotten_one_goes(uploads):
    named, forgotten = (uploads.add(name, io.BytesIO(b"12345")) for name in ("a.png", "b.png"))
    assert uploads.bytes == 10
    long_ago = time.time() - settings.KEEP_SECONDS - 1
    for path in (named, forgotten):
        os.utime(path.parent, (long_ago, long_ago))
    checked_json(json.dumps({"data": [{"path": str(named)}]}).encode(), uploads)
    uploads.sweep()
    assert named.exists()
    assert list(uploads.folder.iterdir()) == [named.parent]
    assert uploads.bytes == 5


def test_where_there_are_too_many_the_oldest_go(uploads, monkeypatch):
    monkeypatch.setattr(settings, "MAX_KEPT", 2)
    paths = [uploads.add("a.png", io.BytesIO(b"12345")) for _ in range(4)]
    for age, path in enumerate(paths):
        os.utime(path.parent, (time.time() - age,) * 2)
    uploads.sweep()
    assert [path.exists() for path in paths] == [True, True, False, False]


def test_a_full_disk_is_said(uploads, monkeypatch):
    monkeypatch.setattr(settings, "MAX_DISK", 3)
    uploads.add("a.png", io.BytesIO(b"12345"))
    with pytest.raises(HTTPException) as refusal:
        uploads.add("b.png", io.BytesIO(b"12345"))
    assert refusal.value.status_code == 507


def png_bytes() -> bytes:
    from PIL import Image

    stream = io.BytesIO()
    Image.new("L", (20, 20), 255).save(stream, "PNG")
    return stream.getvalue()


def test_upload_keeps_pictures_under_their_last_name(client, uploads):
    files = [("files", ("../../seven.png", png_bytes())), ("files", ("b/c.png", png_bytes()))]
    answer = client.post("/gradio_api/upload", files=files)
    assert answer.status_code == 200
    assert [os.path.basename(path) for path in answer.json()] == ["seven.png", "c.png"]
    assert all(uploads.holds(path) for path in answer.json())
    fetched = client.get(f"/gradio_api/file={answer.json()[0]}")
    assert fetched.status_code == 200


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "seven.png: the file is empty"),
        (b"<svg onload=alert(1)>", "seven.png: not a picture"),
        (b"<html><script>alert(1)</script>", "seven.png: not a picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "seven.png: not a picture"),
        (b"II*\0" + bytes(100), "seven.png: not a picture"),
        (b"8BPS\0\1" + bytes(100), "seven.png: not a picture"),
    ],
    ids=["empty", "svg", "html", "eps", "tiff", "psd"],
)
def test_upload_refuses_what_is_no_picture(client, uploads, content, message):
    good = ("files", ("good.png", png_bytes()))
    answer = client.post("/gradio_api/upload", files=[good, ("files", ("seven.png", content))])
    assert answer.status_code == 415
    assert answer.json()["error"].startswith(message)
    assert list(uploads.folder.iterdir()) == []  # not even the good one, as one form is one whole


def test_upload_refuses_fields_and_crowds(client, uploads):
    assert client.post("/gradio_api/upload", data={"files": "x" * 5000}).status_code == 400
    crowd = [("files", ("a.png", b"")) for _ in range(settings.MAX_FILES + 1)]
    assert client.post("/gradio_api/upload", files=crowd).status_code == 400
    assert client.post("/gradio_api/upload", content=b"no form").status_code == 400
    assert list(uploads.folder.iterdir()) == []


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("seven.png", "seven.png"),
        ("../../etc/passwd", "passwd"),
        ("C:\\a\\b.png", "b.png"),
        ("<img src=x onerror=alert(1)>.png", "img srcx onerroralert(1).png"),
        ("七.png", "七.png"),
        ("\x1b[31m\n.png", "31m.png"),
        ("..", "file"),
        ("", "file"),
        (None, "file"),
        ("字" * 300 + ".png", "字" * 38 + ".png"),
    ],
)
def test_names_lose_what_could_act(given, kept):
    name = plain_name(given)
    assert name == kept or (len(name.encode()) <= 120 and given.endswith(name))


def test_a_body_that_does_not_come_ends(uploads, monkeypatch):
    monkeypatch.setattr(settings, "READ_SECONDS", 0.05)
    sent = []

    async def never():
        await asyncio.sleep(3600)

    async def send(message):
        sent.append(message)

    async def app(scope, receive, send):
        raise AssertionError("it must not get here")

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/gradio_api/queue/join",
        "headers": [(b"content-length", b"10")],
    }
    asyncio.run(Guard(app, uploads, lambda: False)(scope, never, send))
    assert sent[0]["status"] == 408


def test_only_a_few_large_bodies_are_received_at_once(uploads):
    async def app(scope, receive, send):
        await JSONResponse({})(scope, receive, send)

    guard, sent = Guard(app, uploads, lambda: False), []

    async def send(message):
        sent.append(message)

    async def receive():
        return {"type": "http.request", "body": b""}

    def scope(length: int) -> dict:
        headers = [(b"content-length", str(length).encode())]
        return {
            "type": "http",
            "method": "POST",
            "path": "/gradio_api/upload",
            "headers": headers,
        }

    guard.large = settings.MAX_LARGE_UPLOADS
    asyncio.run(guard(scope(settings.LARGE + 1), receive, send))
    assert sent[0]["status"] == 503
    assert guard.large == settings.MAX_LARGE_UPLOADS
    sent.clear()
    asyncio.run(guard(scope(settings.LARGE), receive, send))
    assert sent[0]["status"] == 200


def test_a_full_queue_refuses_before_it_reads(uploads):
    async def app(scope, receive, send):
        await JSONResponse({})(scope, receive, send)

    async def receive():
        raise AssertionError("it must not be read")

    def status(method: str, path: str) -> int:
        sent = []

        async def send(message):
            sent.append(message)

        scope = {"type": "http", "method": method, "path": path, "headers": []}
        asyncio.run(Guard(app, uploads, lambda: True)(scope, receive, send))
        return sent[0]["status"]

    assert status("POST", "/gradio_api/call/predict") == 503
    assert status("POST", "/gradio_api/queue/join") == 503
    assert status("GET", "/gradio_api/call/predict/abc") == 200  # who waits is answered
    assert status("GET", "/") == 200
