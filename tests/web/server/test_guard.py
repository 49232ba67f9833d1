"""The guard alone, before an app that says what reached it."""

import asyncio
import errno
import io
import json
import os
import subprocess
import sys
import uuid
from pathlib import Path
from tempfile import SpooledTemporaryFile
from types import SimpleNamespace

import hostile
import pytest
from gradio.route_utils import get_root_url
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from mnist_cnn.ink.decoding import PictureError, decode
from mnist_cnn.web import settings
from mnist_cnn.web.server import guard
from mnist_cnn.web.server.guard import Guard, Uploads, checked_json, plain_name, refused, upload

FUNCTIONS = 5  # that the page is said to have


@pytest.fixture
def uploads(tmp_path):
    return Uploads(tmp_path / "uploads")


@pytest.fixture
def client(uploads):
    async def echo(request: Request):
        return JSONResponse({"path": request.url.path, "body": (await request.body()).decode()})

    async def keep(request: Request):
        return await upload(request, uploads)

    app = Starlette(
        routes=[
            Route("/gradio_api/upload", keep, methods=["POST"]),
            Route("/{rest:path}", echo, methods=["GET", "HEAD", "POST", "PUT", "DELETE"]),
        ],
        middleware=[
            Middleware(Guard, uploads=uploads, is_full=lambda _: False, functions=FUNCTIONS)
        ],
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
POST /gradio_api/call/predict/
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


ADDRESSES = [
    ("Host", "127.0.0.1:7860"),
    ("Host", "user-space.hf.space"),
    ("Host", "[::1]:7860"),
    ("X-Forwarded-Host", "user-space.hf.space"),
    ("X-Forwarded-Host", "user_name.example.org:8443, 10.0.0.1:7860"),
    ("X-Forwarded-Host", "[2001:db8::1]"),
    ("X-Forwarded-Host", ""),
    ("X-Gradio-Server", "https://user-space.hf.space/"),
    ("X-Gradio-Server", "http://[::1]:7860/apps/digits"),
    ("X-Forwarded-Proto", "https,http"),
    ("X-Forwarded-Proto", "gopher"),
]
NO_ADDRESSES = [
    ("Host", "999.1.1.1"),
    ("X-Forwarded-Host", "a:b"),
    ("X-Forwarded-Host", "a:b, a"),
    ("X-Forwarded-Host", "256.1.1.1"),
    ("X-Forwarded-Host", "[1]"),
    ("X-Forwarded-Host", "[::1"),
    ("X-Forwarded-Host", "a:123456"),
    ("X-Forwarded-Host", "a/b"),
    ("X-Forwarded-Host", "user@host"),
    ("X-Forwarded-Host", "a b"),
    ("X-Forwarded-Host", '"><script>'),
    ("X-Forwarded-Host", b"\xfc.example.org"),
    ("X-Gradio-Server", "http://a:b"),
    ("X-Gradio-Server", "a"),
    ("X-Gradio-Server", "//a"),
    ("X-Gradio-Server", "ftp://a"),
    ("X-Gradio-Server", "http://"),
    ("X-Gradio-Server", "http://[/"),
    ("X-Gradio-Server", "http://a/?b"),
]


@pytest.mark.parametrize(("header", "value"), ADDRESSES)
def test_a_proxys_headers_pass_and_gradio_can_read_them(client, header, value):
    assert client.get("/", headers={header: value}).status_code == 200
    raw = [(header.lower().encode(), value.encode())]
    scope = {"type": "http", "path": "/", "query_string": b"", "headers": raw}
    request = Request(scope | {"scheme": "http", "server": ("127.0.0.1", 7860)})
    assert get_root_url(request, "/", "").startswith("http")


@pytest.mark.parametrize(("header", "value"), NO_ADDRESSES)
@pytest.mark.parametrize(("method", "address"), [("GET", "/"), ("POST", "/gradio_api/call/read")])
def test_an_address_that_is_none_is_refused(client, method, address, header, value):
    answer = client.request(method, address, headers={header: value})
    assert answer.status_code == 400
    assert answer.json()["error"] == f"The header {header.lower()} holds no address of a server."


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


JOIN = {"data": [], "fn_index": 0, "session_hash": "k3j2l9", "trigger_id": None, "event_data": 7}
CANCEL = {"session_hash": str(uuid.UUID(int=5)), "fn_index": 4, "event_id": "0" * 32}


@pytest.mark.parametrize(
    ("where", "right"),
    [("queue/join", JOIN), ("queue/join/", JOIN), ("cancel", CANCEL), ("reset", {"event_id": "a"})],
)
def test_what_clients_send_passes_and_every_field_counts(client, where, right):
    answer = client.post(f"/gradio_api/{where}", json=right)
    assert json.loads(answer.json()["body"]) == right
    for field in right.keys() - {"session_hash", "trigger_id", "event_data"} | CANCEL.keys():
        rest = {name: value for name, value in right.items() if name != field}
        answer = client.post(f"/gradio_api/{where}", json=rest)
        needed = field in right and not (where.startswith("queue") and field == "session_hash")
        assert answer.status_code == (400 if needed else 200)
        assert not needed or answer.json() == {"error": f"The JSON must have the field {field}."}


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        *(("data", value) for value in (None, {}, "a", 7)),
        *(("fn_index", value) for value in (None, -1, FUNCTIONS, 10**9, "0", 0.0, True, [0])),
        *(("trigger_id", value) for value in ("5", 5.5, True, [])),
        *(
            (field, value)
            for field in ("session_hash", "event_id")
            for value in (None, 7, "", "a" * 65, "../..", "a b", "ä", "a\n", ["a"])
        ),
    ],
)
def test_a_wrong_field_is_refused_with_a_sentence(client, field, wrong):
    for where in ("queue/join", "call/predict"):
        answer = client.post(f"/gradio_api/{where}", json=JOIN | {field: wrong})
        assert answer.status_code == 400
        assert answer.json()["error"].startswith(f"{field} must be ")


def test_what_gradio_tells_itself_is_not_for_visitors_to_say(client):
    body = JOIN | {"batched": "x", "oauth_token": 7, "simple_format": []}
    answer = client.post("/gradio_api/queue/join", json=body)
    assert json.loads(answer.json()["body"]) == JOIN


def test_json_goes_on_as_it_came(client, kept):
    body = {"data": [{"path": kept, "meta": {"_type": "gradio.FileData"}}, 1.5, "ä", None, []]}
    answer = client.post("/gradio_api/call/predict", json=body)
    assert json.loads(answer.json()["body"]) == body


def test_urls_are_taken_out(client, kept):
    body = {"data": [{"path": kept, "url": "http://127.0.0.1:9/", "orig_name": "a"}]}
    answer = client.post("/gradio_api/call/read", json=body)
    assert json.loads(answer.json()["body"]) == {"data": [{"path": kept, "orig_name": "a"}]}


def test_a_roundabout_path_goes_on_as_the_real_one(client, uploads, kept):
    folder, name = os.path.split(kept)
    path = f"{uploads.folder}/nope/../{os.path.basename(folder)}/./{name}"
    answer = client.post("/gradio_api/call/read", json={"data": [{"path": path}]})
    assert json.loads(answer.json()["body"]) == {"data": [{"path": kept}]}


def test_json_is_json_whatever_its_header_says(uploads):
    async def kind(scope, receive, send):
        await JSONResponse(dict(Headers(scope=scope)))(scope, receive, send)

    echo = TestClient(Guard(kind, uploads, lambda _: False, FUNCTIONS))
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


def test_a_file_that_the_sweep_takes_meanwhile_is_no_error(client, uploads, kept):
    uploads.kept.clear()
    answer = client.post("/gradio_api/call/read", json={"data": [{"path": kept}]})
    assert answer.status_code == 200


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
                checked_json(json.dumps(body).encode(), uploads, FUNCTIONS)
            assert refusal.value.status_code == 400


@pytest.fixture
def clock(monkeypatch) -> SimpleNamespace:
    """The guard's clock, which stands until a test moves it on."""
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(guard, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


def add(uploads, count: int) -> list[Path]:
    return [uploads.add("a.png", io.BytesIO(b"12345")) for _ in range(count)]


def name_file(uploads, path: Path) -> None:
    checked_json(json.dumps({"data": [{"path": str(path)}]}).encode(), uploads, FUNCTIONS)


def test_a_named_file_stays_and_a_forgotten_one_goes(uploads, clock):
    named, forgotten = add(uploads, 2)
    assert uploads.bytes == 10
    clock.now += settings.KEEP_SECONDS - 1
    uploads.sweep()
    assert named.exists()
    assert forgotten.exists()
    name_file(uploads, named)
    clock.now += 2
    uploads.sweep()
    assert named.exists()
    assert list(uploads.folder.iterdir()) == [named.parent]
    assert uploads.bytes == 5


def test_where_there_are_too_many_the_oldest_go(uploads, clock, monkeypatch):
    monkeypatch.setattr(settings, "MAX_KEPT", 2)
    paths = add(uploads, 4)
    name_file(uploads, paths[0])
    uploads.sweep()
    assert [path.exists() for path in paths] == [True, False, False, True]
    assert uploads.bytes == 10


def test_what_gradio_puts_there_is_found_and_goes(uploads, clock):
    copy = uploads.folder / "of an example" / "seven.jpg"
    copy.parent.mkdir()
    copy.write_bytes(b"1234567")
    uploads.sweep()
    assert uploads.bytes == 7
    clock.now += settings.KEEP_SECONDS - 1
    name_file(uploads, copy)
    clock.now += 2
    uploads.sweep()
    assert copy.exists()
    clock.now += settings.KEEP_SECONDS
    uploads.sweep()
    assert not copy.exists()
    assert uploads.bytes == 0


def test_what_cannot_be_deleted_counts_and_is_tried_again(uploads, clock, monkeypatch):
    (path,) = add(uploads, 1)
    clock.now += settings.KEEP_SECONDS
    with monkeypatch.context() as context:
        context.setattr(guard.shutil, "rmtree", lambda *_, **__: None)
        uploads.sweep()
    assert uploads.bytes == 5
    uploads.sweep()
    assert not path.exists()
    assert uploads.bytes == 0


def test_a_sweep_looks_into_no_folder_that_it_knows(uploads, monkeypatch):
    monkeypatch.setattr(guard, "_size", lambda folder: pytest.fail("it was looked at"))
    add(uploads, 3)
    uploads.sweep()
    assert uploads.bytes == 15


def test_a_full_disk_is_said(uploads, monkeypatch):
    monkeypatch.setattr(settings, "MAX_DISK", 3)
    uploads.add("a.png", io.BytesIO(b"12345"))
    with pytest.raises(HTTPException) as refusal:
        uploads.add("b.png", io.BytesIO(b"12345"))
    assert refusal.value.status_code == 507


@pytest.mark.parametrize(
    ("owner", "name"),
    [(Path, "mkdir"), (guard.shutil, "copyfileobj"), (SpooledTemporaryFile, "write")],
    ids=["folder", "file", "form"],
)
def test_a_full_disk_is_said_and_leaves_nothing_behind(client, uploads, monkeypatch, owner, name):
    """It is full at the third time that something is written."""
    function, calls = getattr(owner, name), []

    def write(*args, **options):
        calls.append(args)
        if len(calls) >= 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        return function(*args, **options)

    monkeypatch.setattr(owner, name, write)
    files = [("files", (f"{n}.png", png_bytes())) for n in range(4)]
    answer = client.post("/gradio_api/upload", files=files)
    assert answer.status_code == 507
    assert answer.json()["error"].startswith("There is no room for this.")
    assert list(uploads.folder.iterdir()) == []
    assert uploads.kept == {}
    assert uploads.bytes == 0


def test_too_much_leaves_nothing_of_its_form_behind(client, uploads, monkeypatch):
    monkeypatch.setattr(settings, "MAX_DISK", 3)
    files = [("files", (f"{n}.png", png_bytes())) for n in range(4)]
    assert client.post("/gradio_api/upload", files=files).status_code == 507
    assert list(uploads.folder.iterdir()) == []
    assert uploads.bytes == 0


def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    left, ours, old, long, name = (
        tmp_path / name
        for name in (
            f"mnist-cnn-{gone.pid}-{uuid.uuid4().hex}",
            f"mnist-cnn-{os.getpid()}-{uuid.uuid4().hex}",
            f"mnist-cnn-{uuid.uuid4().hex}",
            f"mnist-cnn-{gone.pid}-{uuid.uuid4().hex}-more",
            f"mnist-cnn-{gone.pid}",
        )
    )
    for folder in (left, ours, old, long, name):
        (folder / "upload").mkdir(parents=True)
    link = tmp_path / f"mnist-cnn-{gone.pid}-{uuid.uuid4().hex}"
    link.symlink_to(old)
    uploads = Uploads(tmp_path / f"mnist-cnn-{os.getpid()}-{uuid.uuid4().hex}")
    uploads.remove_left()
    assert not left.exists()
    assert all((folder / "upload").exists() for folder in (ours, old, long, name))
    assert uploads.folder.exists()


def test_the_folder_is_named_for_its_process():
    found = guard._LEFT.fullmatch(Path(settings.UPLOADS).name)
    assert int(found[1]) == os.getpid()


def test_a_process_of_another_user_is_alive(monkeypatch):
    def refuse(*_):
        raise PermissionError

    monkeypatch.setattr(os, "kill", refuse)
    assert guard._is_alive(1)


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
    assert all(uploads.find(path) for path in answer.json())
    fetched = client.get(f"/gradio_api/file={answer.json()[0]}")
    assert fetched.status_code == 200


def test_content_decides_and_no_name(client):
    """Every way of the five formats is kept under a wrong name, nothing else under a right one."""
    pictures = [*hostile.whole().values(), hostile.png_claiming(2**31 - 1, 1), b"PK\3\4zip"]
    others = [content for name, content in hostile.not_pictures() if name != "zip"]
    others += [b"II*\0" + bytes(100), b"8BPS\0\1" + bytes(100), b"<svg onload=alert(1)>" * 1000]
    for contents, name in ((pictures, "seven.txt"), (others, "seven.png")):
        for content in contents:
            (path,) = client.post("/gradio_api/upload", files={"files": (name, content)}).json()
            assert (Path(path).read_bytes() == content) == (contents is pictures or not content)


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"<svg onload=alert(1)>" * 1000, "not a picture"), (b"", "the file is empty")],
    ids=["svg", "empty"],
)
def test_a_bad_file_is_left_to_whoever_reads_it(client, content, reason):
    good = [("files", (f"{n}.png", png_bytes())) for n in range(3)]
    files = [*good[:2], ("files", ("bad.svg", content)), good[2]]
    answer = client.post("/gradio_api/upload", files=files)
    assert answer.status_code == 200
    paths = [Path(path) for path in answer.json()]
    assert [path.name for path in paths] == ["0.png", "1.png", "bad.svg", "2.png"]
    assert [path.read_bytes() == png_bytes() for path in paths] == [True, True, False, True]
    assert paths[2].stat().st_size <= 1
    with pytest.raises(PictureError, match=f"bad: {reason}"):
        decode(paths[2].read_bytes(), "bad", 100)


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
    monkeypatch.setattr(settings, "READ_SECONDS", 0.5)
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
    asyncio.run(Guard(app, uploads, lambda _: False, FUNCTIONS)(scope, receive, send))
    assert sent[0]["status"] == 408


def test_where_there_is_no_body_nothing_is_timed(uploads):
    seen = []

    async def app(scope, receive, send):
        seen.append(receive)

    scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
    asyncio.run(Guard(app, uploads, lambda _: False, FUNCTIONS)(scope, _never, None))
    assert seen == [_never]


def test_only_a_few_large_bodies_are_received_at_once(uploads):
    async def app(scope, receive, send):
        await JSONResponse({})(scope, receive, send)

    guard, sent = Guard(app, uploads, lambda _: False, FUNCTIONS), []

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
        asyncio.run(Guard(app, uploads, lambda path: path in full, FUNCTIONS)(scope, receive, send))
        return sent[0]["status"]

    full = {"/gradio_api/call/predict", "/gradio_api/queue/join"}
    assert status("POST", "/gradio_api/call/predict") == 503
    assert status("POST", "/gradio_api/queue/join") == 503
    assert status("GET", "/gradio_api/call/predict/abc") == 200  # who waits is answered
    assert status("GET", "/") == 200
