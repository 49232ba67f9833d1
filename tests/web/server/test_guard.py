"""The guard alone, before an app that says what reached it."""

import asyncio
import io
import json
import os
from dataclasses import replace

import pytest
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from mnist_cnn.web import settings
from mnist_cnn.web.server.guard import Guard, own_files, refused
from mnist_cnn.web.server.uploads import Uploads

FUNCTIONS = 5  # that the page is said to have


@pytest.fixture
def uploads(tmp_path):
    return Uploads(tmp_path / "uploads")


@pytest.fixture
def client(uploads):
    async def echo(request: Request):
        return JSONResponse({"path": request.url.path, "body": (await request.body()).decode()})

    app = Starlette(
        routes=[Route("/{rest:path}", echo, methods=["GET", "HEAD", "POST", "PUT", "DELETE"])],
        middleware=[Middleware(Guard, uploads=uploads, functions=FUNCTIONS)],
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
POST /gradio_api/call/predict
GET /gradio_api/call/predict/abc
POST /gradio_api/cancel
POST /gradio_api/reset
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
        for name in settings.HEADERS:
            assert len(answer.headers.get_list(name)) == 1


@pytest.mark.parametrize(
    ("address", "limit"),
    [
        ("/gradio_api/queue/join", settings.LIMITS.call),
        ("/gradio_api/upload", settings.LIMITS.upload),
        ("/predict", settings.LIMITS.picture + settings.LIMITS.call),
        ("/mcp", settings.LIMITS.mcp),
    ],
)
def test_a_large_body_is_refused_by_its_length_alone(client, address, limit):
    answer = client.post(address, headers={"content-length": str(limit + 1)}, content=b"")
    assert answer.status_code == 413
    assert f"{limit:,} at most" in answer.json()["error"]


def test_a_body_of_unsaid_length_is_counted(client):
    assert client.post("/predict", content=iter([b"a picture"])).json()["body"] == "a picture"
    parts = (bytes(settings.MB) for _ in range(settings.LIMITS.picture // settings.MB + 1))
    assert client.post("/predict", content=parts).status_code == 413


JOIN = {"data": [], "fn_index": 0, "session_hash": "k3j2l9", "trigger_id": None, "event_data": 7}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"text",
        b"[1]",
        b'"a"',
        b'{"data":["\\ud800"],"fn_index":0,"session_hash":"a"}',
        b"{" * 100_000,
        b'{"data":[' + b"[" * 300 + b"]" * 300 + b'],"fn_index":0,"session_hash":"a"}',
    ],
    ids=["empty", "text", "list", "string", "surrogate", "open", "deep"],
)
def test_a_call_must_be_modest_json(client, body):
    answer = client.post("/gradio_api/queue/join", content=body)
    assert answer.status_code == 400
    assert answer.json()["error"].endswith(".")


@pytest.mark.parametrize("address", ["/gradio_api/queue/join", "/gradio_api/queue/join/"])
def test_what_clients_send_passes(client, address):
    more = {"batched": True, "oauth_token": "x", "simple_format": True}  # not for them to say
    body = JOIN | {"data": [1.5, "ä", None, [], {"a": "b"}]}
    assert json.loads(client.post(address, json=body | more).json()["body"]) == body


@pytest.mark.parametrize("field", ["data", "fn_index", "session_hash"])
def test_a_field_that_is_missing_is_named(client, field):
    rest = {name: value for name, value in JOIN.items() if name != field}
    answer = client.post("/gradio_api/queue/join", json=rest)
    assert answer.status_code == 400
    assert answer.json() == {"error": f"{field}: Field required."}


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        *(("data", value) for value in (None, {}, "a", 7)),
        *(("fn_index", value) for value in (None, -1, FUNCTIONS, 10**9, "0", 0.5, True, [0])),
        *(("trigger_id", value) for value in ("5", 5.5, True, [])),
        *(
            ("session_hash", value)
            for value in (None, 7, "", "a" * 65, "../..", "a b", "ä", "a\n", ["a"])
        ),
    ],
)
def test_a_wrong_field_is_refused_with_a_sentence(client, field, wrong):
    answer = client.post("/gradio_api/queue/join", json=JOIN | {field: wrong})
    assert answer.status_code == 400
    assert answer.json()["error"].startswith((f"{field}: ", "The page has no function "))


def test_a_file_goes_on_by_its_real_path_and_without_its_url(client, uploads, kept):
    folder, name = os.path.split(kept)
    path = f"{uploads.folder}/nope/../{os.path.basename(folder)}/./{name}"
    file = {"path": path, "url": "http://127.0.0.1:9/", "orig_name": "a"}
    answer = client.post("/gradio_api/queue/join", json=JOIN | {"data": [file]})
    assert json.loads(answer.json()["body"])["data"] == [{"path": kept, "orig_name": "a"}]


def test_json_is_json_whatever_its_header_says(uploads):
    async def kind(scope, receive, send):
        await JSONResponse(dict(Headers(scope=scope)))(scope, receive, send)

    echo = TestClient(Guard(kind, uploads, FUNCTIONS))
    for headers in ({}, {"content-type": "text/plain"}, {"content-type": "application/json"}):
        content = json.dumps(JOIN)
        answer = echo.post("/gradio_api/queue/join", content=content, headers=headers)
        assert answer.json()["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        *((good, 200) for good in ("bytes=0-", "bytes=0-9", "bytes=-5", "bytes=7-7")),
        *((bad, 400) for bad in ("bytes=1-2-3", "bytes=1-2,4-5", "bytes=", "bytes=-", "x")),
    ],
)
def test_one_range_of_a_file_may_be_asked_for(client, kept, asked, status):
    answer = client.get(f"/gradio_api/file={kept}", headers={"range": asked})
    assert answer.status_code == status


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
            {"data": [], "event_data": {"path": path}},
            {"data": [[{"a": {"path": path, "meta": {"_type": "gradio.FileData"}}}]]},
            {"path": path},
        ):
            with pytest.raises(HTTPException, match="not uploaded here") as refusal:
                own_files(body, uploads)
            assert refusal.value.status_code == 400


async def _never() -> dict:
    await asyncio.sleep(3600)


def _in_drops():
    left = iter(range(5, -1, -1))

    async def receive() -> dict:
        await asyncio.sleep(0.2)
        return {"type": "http.request", "body": b" ", "more_body": next(left) > 0}

    return receive


@pytest.mark.parametrize("receive", [_never, _in_drops()], ids=["never", "in drops"])
def test_a_body_that_does_not_come_ends(uploads, monkeypatch, receive):
    monkeypatch.setattr(settings, "TIMES", replace(settings.TIMES, body=0.5))
    sent = []

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
    asyncio.run(Guard(app, uploads, FUNCTIONS)(scope, receive, send))
    assert sent[0]["status"] == 408


def test_where_there_is_no_body_nothing_is_timed(uploads, monkeypatch):
    monkeypatch.setattr(settings, "TIMES", replace(settings.TIMES, body=0.05))

    async def app(scope, receive, send):
        async with asyncio.timeout(0.2):  # as a stream waits for its listener to leave
            await receive()

    scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
    with pytest.raises(TimeoutError):
        asyncio.run(Guard(app, uploads, FUNCTIONS)(scope, _never, None))


def test_only_a_few_large_bodies_are_received_at_once(uploads):
    async def app(scope, receive, send):
        await JSONResponse({})(scope, receive, send)

    guard, sent = Guard(app, uploads, FUNCTIONS), []

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

    guard.large = settings.LIMITS.large_bodies
    asyncio.run(guard(scope(settings.LIMITS.large_body + 1), receive, send))
    assert sent[0]["status"] == 503
    assert guard.large == settings.LIMITS.large_bodies
    sent.clear()
    asyncio.run(guard(scope(settings.LIMITS.large_body), receive, send))
    assert sent[0]["status"] == 200
