"""Files that visitors send: kept for a while under harmless names, counted, and swept."""

import errno
import io
import os
import subprocess
import sys
import uuid
from dataclasses import replace
from pathlib import Path
from tempfile import SpooledTemporaryFile
from types import SimpleNamespace

import hostile
import pytest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.routing import Route
from starlette.testclient import TestClient

from mnist_cnn.ink.decoding import PictureError, decode
from mnist_cnn.web import settings
from mnist_cnn.web.server import uploads as uploads_module
from mnist_cnn.web.server.guard import refused
from mnist_cnn.web.server.uploads import Uploads, plain_name, upload


@pytest.fixture
def uploads(tmp_path):
    return Uploads(tmp_path / "uploads")


@pytest.fixture
def client(uploads):
    async def keep(request: Request):
        return await upload(request, uploads)

    return TestClient(
        Starlette(
            routes=[Route("/gradio_api/upload", keep, methods=["POST"])],
            exception_handlers={HTTPException: refused},
        )
    )


@pytest.fixture
def clock(monkeypatch) -> SimpleNamespace:
    """The clock, which stands until a test moves it on."""
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(uploads_module, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


def add(uploads, count: int) -> list[Path]:
    return [uploads.add("a.png", io.BytesIO(b"12345")) for _ in range(count)]


def name_file(uploads, path: Path) -> None:
    uploads.touch(uploads.find(str(path)))


def test_a_file_that_the_sweep_takes_meanwhile_is_no_error(uploads):
    (path,) = add(uploads, 1)
    uploads.kept.clear()
    name_file(uploads, path)


def test_a_named_file_stays_and_a_forgotten_one_goes(uploads, clock):
    named, forgotten = add(uploads, 2)
    assert uploads.bytes == 10
    clock.now += settings.TIMES.keep - 1
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
    monkeypatch.setattr(settings, "LIMITS", replace(settings.LIMITS, uploads=2))
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
    clock.now += settings.TIMES.keep - 1
    name_file(uploads, copy)
    clock.now += 2
    uploads.sweep()
    assert copy.exists()
    clock.now += settings.TIMES.keep
    uploads.sweep()
    assert not copy.exists()
    assert uploads.bytes == 0


def test_what_cannot_be_deleted_counts_and_is_tried_again(uploads, clock, monkeypatch):
    (path,) = add(uploads, 1)
    clock.now += settings.TIMES.keep
    with monkeypatch.context() as context:
        context.setattr(uploads_module.shutil, "rmtree", lambda *_, **__: None)
        uploads.sweep()
    assert uploads.bytes == 5
    uploads.sweep()
    assert not path.exists()
    assert uploads.bytes == 0


def test_a_sweep_looks_into_no_folder_that_it_knows(uploads, monkeypatch):
    monkeypatch.setattr(uploads_module, "_size", lambda folder: pytest.fail("it was looked at"))
    add(uploads, 3)
    uploads.sweep()
    assert uploads.bytes == 15


def test_a_full_disk_is_said(uploads, monkeypatch):
    monkeypatch.setattr(settings, "LIMITS", replace(settings.LIMITS, disk=3))
    uploads.add("a.png", io.BytesIO(b"12345"))
    with pytest.raises(HTTPException) as refusal:
        uploads.add("b.png", io.BytesIO(b"12345"))
    assert refusal.value.status_code == 507


@pytest.mark.parametrize(
    ("owner", "name"),
    [(Path, "mkdir"), (uploads_module.shutil, "copyfileobj"), (SpooledTemporaryFile, "write")],
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
    monkeypatch.setattr(settings, "LIMITS", replace(settings.LIMITS, disk=3))
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
    found = uploads_module._LEFT.fullmatch(Path(settings.UPLOADS).name)
    assert int(found[1]) == os.getpid()


def test_a_process_of_another_user_is_alive(monkeypatch):
    def refuse(*_):
        raise PermissionError

    monkeypatch.setattr(os, "kill", refuse)
    assert uploads_module._is_alive(1)


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
    crowd = [("files", ("a.png", b"")) for _ in range(settings.LIMITS.files + 1)]
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
