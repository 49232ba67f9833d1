"""Reading hundreds of pictures, or a ZIP of them: one digit each.

A ZIP is read in memory, member by member, and never unpacked to the disk.
"""

import csv
import io
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from mnist_cnn.ink import PictureError, find_ink, open_picture
from mnist_cnn.model import MnistCNN
from mnist_cnn.reading import predict_ink
from mnist_cnn.web import settings
from mnist_cnn.web.page.markup import html
from mnist_cnn.web.page.texts import TEXTS, phrase
from mnist_cnn.web.page.views import thumbnail
from mnist_cnn.web.server import plain_name


@dataclass(frozen=True)
class Source:
    """One picture that is to be read: its name, and its content or why there is none."""

    name: str
    content: bytes = b""
    problem: str = ""  # a key of `texts`


@dataclass(frozen=True)
class Row:
    """One line of the table: an answer, or the reason why there is none."""

    name: str
    digit: int | None = None
    label: str = ""  # the name of its class
    confidence: float | None = None
    problem: str = ""  # a key of `texts`
    thumbnail: str = ""  # a data URL


class BadZip(ValueError):  # noqa: N818
    """A ZIP that is not read; its argument is a key of `texts`."""


def sources(paths: list[str]) -> tuple[int, Iterator[Source]]:
    """How many pictures some files hold, and each of them, read only when its turn comes.

    Raises:
        BadZip: a ZIP, or the number of files, is refused as a whole. Nothing was read then.
    """
    members = {path: checked_members(path) for path in paths if zipfile.is_zipfile(path)}
    total = len(paths) - len(members) + sum(len(each) for each in members.values())
    if total > settings.LIMITS.files:
        raise BadZip("bad_many")
    return total, _each(paths, members)


def checked_members(path: str) -> list[zipfile.ZipInfo]:
    """A ZIP's files, if the whole of it is small enough.

    Raises:
        BadZip: what is wrong with it.
    """
    _check_listing(path)
    try:
        with zipfile.ZipFile(path) as archive:
            found = [member for member in archive.infolist() if _is_meant(member)]
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError) as error:
        raise BadZip("bad_zip") from error
    if len(found) > settings.LIMITS.files:
        raise BadZip("bad_many")
    if sum(member.file_size for member in found) > settings.LIMITS.unzipped:
        raise BadZip("bad_bomb")
    return found


def _check_listing(path: str) -> None:
    """Refuse a ZIP whose list of members would fill the memory: 64 MB can list a million."""
    with open(path, "rb") as file:
        file.seek(0, io.SEEK_END)
        file.seek(max(0, file.tell() - 65_557 - 20))
        tail = file.read()
    at = tail.rfind(b"PK\5\6")  # how the end of the list begins
    if at < 0 or len(tail) < at + 22:
        raise BadZip("bad_zip")
    is_large = b"PK\6\7" in tail  # how the end of a list in 64 bits begins
    if is_large or int.from_bytes(tail[at + 12 : at + 16], "little") > settings.LIMITS.listing:
        raise BadZip("bad_many")


def _is_meant(member: zipfile.ZipInfo) -> bool:
    """Whether a member is one of the files that the sender sees in the ZIP."""
    parts = PurePosixPath(member.filename).parts
    return not member.is_dir() and "__MACOSX" not in parts and parts[-1:] != (".DS_Store",)


def _each(paths: list[str], members: dict[str, list[zipfile.ZipInfo]]) -> Iterator[Source]:
    for path in paths:
        if path not in members:
            yield _from_file(path)
            continue
        with zipfile.ZipFile(path) as archive:
            for member in members[path]:
                yield _from_zip(archive, member)


def _from_file(path: str) -> Source:
    name = Path(path).name
    try:
        return Source(name, Path(path).read_bytes())
    except OSError:
        return Source(name, problem="bad_gone")


def _from_zip(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Source:
    name = plain_name(member.filename)
    if _climbs(member):
        return Source(name, problem="bad_path")
    if member.flag_bits & 1:
        return Source(name, problem="bad_locked")
    if member.file_size > settings.LIMITS.picture:
        return Source(name, problem="bad_bytes")
    try:
        # No more than the listed size is unpacked, whatever the data holds.
        return Source(name, archive.read(member))
    except Exception:  # decompressors raise whatever damaged data makes them stumble over
        return Source(name, problem="bad_damaged")


def _climbs(member: zipfile.ZipInfo) -> bool:
    """Whether a member would land outside of its folder, or is a link to elsewhere."""
    name = member.orig_filename.replace("\\", "/")
    is_link = (member.external_attr >> 16) & 0xF000 == 0xA000  # by its Unix mode
    return is_link or name.startswith("/") or ".." in name.split("/") or ":" in name.split("/")[0]


def read_each(model: MnistCNN, found: Iterator[Source]) -> Iterator[list[Row]]:
    """Rows, a chunk at a time."""
    chunk: list[Source] = []
    for source in found:
        chunk.append(source)
        if len(chunk) == settings.LIMITS.chunk:
            yield [_row(model, each) for each in chunk]
            chunk = []
    if chunk:
        yield [_row(model, each) for each in chunk]


def _row(model: MnistCNN, source: Source) -> Row:
    if source.problem:
        return Row(source.name, problem=source.problem)
    try:
        picture = open_picture(source.content)
        answer = predict_ink(model, find_ink(picture))
    except PictureError as error:
        return Row(source.name, problem=f"bad_{error.kind}")
    except ValueError:
        return Row(source.name, problem="bad_damaged")
    small = thumbnail(picture, settings.SHOWN.thumbnail)
    if answer.label is None:
        return Row(source.name, problem=answer.reason or "", thumbnail=small)
    return Row(source.name, answer.digit, answer.label, answer.confidence, thumbnail=small)


def progress(done: int, total: int, started: float) -> str:
    """A bar with the time left."""
    left = (time.monotonic() - started) / max(done, 1) * (total - done)
    return html("progress", done=done, total=total, seconds=left)


def table(rows: list[Row], summary: str) -> str:
    """The rows with their thumbnails, those without an answer first."""
    return html("table", rows=sorted(rows, key=lambda row: not row.problem), summary=summary)


def summary(rows: list[Row], total: int) -> str:
    """How many there were, read and not."""
    without = sum(bool(row.problem) for row in rows)
    said = phrase("finished", len(rows), len(rows) - without, without)
    return said if len(rows) == total else phrase("stopped", len(rows), total) + " " + said


def as_csv(rows: list[Row]) -> str:
    """The rows in the order of the files, with notes in English."""
    stream = io.StringIO()
    writer = csv.writer(stream)
    writer.writerow(("file", "digit", "label", "confidence", "note"))
    for row in rows:
        digit = "" if row.digit is None else row.digit
        sure = "" if row.confidence is None else f"{row.confidence:.4f}"
        note = TEXTS[row.problem]["en"] if row.problem else ""
        writer.writerow((_as_text(row.name), digit, _as_text(row.label), sure, note))
    return stream.getvalue()


def _as_text(name: str) -> str:
    """A name that no spreadsheet takes for a formula."""
    return f"'{name}" if name.startswith(("=", "+", "-", "@", "\t", "\r")) else name
