"""Reading many pictures: what a ZIP may hold, what is listed, what is refused whole."""

import csv
import gc
import io
import shutil
import struct
import weakref
import zipfile
from pathlib import Path
from types import SimpleNamespace

import hostile
import pytest

from mnist_cnn.web import settings
from mnist_cnn.web.page import many, tabs
from mnist_cnn.web.server.guard import Uploads
from mnist_cnn.web.server.live import Weights
from mnist_cnn.web.server.readers import Readers

SEVEN = hostile.encoded(hostile.digit(64), "PNG")


def zipped(tmp_path: Path, *members: tuple[str | zipfile.ZipInfo, bytes], **options) -> str:
    file = tmp_path / "many.zip"
    with zipfile.ZipFile(file, "w", **options) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return str(file)


def rows(model, *paths: str) -> list[many.Row]:
    total, found = many.sources(list(paths))
    read = [row for chunk in many.read_each(model, found) for row in chunk]
    assert len(read) == total
    return read


def test_files_and_zips_are_read_together(model, tmp_path):
    (tmp_path / "one.png").write_bytes(SEVEN)
    archive = zipped(tmp_path, ("a/", b""), ("a/two.png", SEVEN), ("__MACOSX/a/._two.png", b"x"))
    found = rows(model, str(tmp_path / "one.png"), archive, str(tmp_path / "gone.png"))
    assert [row.name for row in found] == ["one.png", "two.png", "gone.png"]
    assert [(row.digit, row.label) for row in found] == [(7, "7"), (7, "7"), (None, "")]
    assert [row.problem for row in found] == ["", "", "bad_gone"]
    assert found[0].confidence > 0.9
    assert found[0].thumbnail.startswith("data:image/jpeg;base64,")


CLIMBING = ["../a.png", "a/../../b.png", "/etc/a.png", "C:\\a.png", "..\\a.png", "a\\..\\..\\b.png"]


@pytest.mark.parametrize("name", CLIMBING)
def test_paths_that_climb_out_are_refused_and_the_others_read(model, tmp_path, name):
    found = rows(model, zipped(tmp_path, (name, SEVEN), ("good.png", SEVEN)))
    assert [row.problem for row in found] == ["bad_path", ""]
    assert found[0].name in ("a.png", "b.png")
    assert [file.name for file in tmp_path.iterdir()] == ["many.zip"]
    assert not any((tmp_path.parent / outside).exists() for outside in ("a.png", "b.png"))


def test_links_are_refused(model, tmp_path):
    link = zipfile.ZipInfo("link.png")
    link.external_attr = 0o120777 << 16
    (row,) = rows(model, zipped(tmp_path, (link, b"/etc/passwd")))
    assert row.problem == "bad_path"


def test_a_zip_that_unpacks_to_too_much_is_refused_before_it_is(tmp_path):
    zeros = bytes(settings.LIMITS.picture)
    members = [(f"{i}.bmp", zeros) for i in range(settings.LIMITS.unzipped // len(zeros) + 1)]
    bomb = zipped(tmp_path, *members, compression=zipfile.ZIP_DEFLATED)
    assert Path(bomb).stat().st_size < settings.MB
    with pytest.raises(many.BadZip, match="bad_bomb"):
        many.sources([bomb])


def test_a_member_that_lies_about_its_size_is_cut_off(model, tmp_path):
    """The list says ten bytes; the data unpacks to 50 MB."""
    bomb = Path(zipped(tmp_path, ("a.bmp", bytes(50_000_000)), compression=zipfile.ZIP_DEFLATED))
    data = bomb.read_bytes().replace(struct.pack("<I", 50_000_000), struct.pack("<I", 10))
    bomb.write_bytes(data)
    (row,) = rows(model, str(bomb))
    assert row.problem == "bad_damaged"


def test_one_large_member_is_listed_and_not_unpacked(model, tmp_path):
    large = ("large.bmp", bytes(settings.LIMITS.picture + 1))
    archive = zipped(tmp_path, large, ("good.png", SEVEN), compression=zipfile.ZIP_DEFLATED)
    assert [row.problem for row in rows(model, archive)] == ["bad_bytes", ""]


def test_too_many_pictures_are_refused(tmp_path):
    members = [(f"{i}.png", b"") for i in range(settings.LIMITS.files + 1)]
    with pytest.raises(many.BadZip, match="bad_many"):
        many.sources([zipped(tmp_path, *members)])
    with pytest.raises(many.BadZip, match="bad_many"):
        many.sources([str(tmp_path / "a.png")] * (settings.LIMITS.files + 1))


def test_a_list_of_a_million_members_is_not_even_read(tmp_path, monkeypatch):
    archive = Path(zipped(tmp_path, ("a.png", SEVEN)))
    data = bytearray(archive.read_bytes())
    end = data.rfind(b"PK\5\6")
    data[end + 12 : end + 16] = struct.pack("<I", settings.LIMITS.listing + 1)
    archive.write_bytes(data)
    monkeypatch.setattr(zipfile, "ZipFile", lambda *_: pytest.fail("it was opened"))
    with pytest.raises(many.BadZip, match="bad_many"):
        many.checked_members(str(archive))


def test_encrypted_and_damaged_members_are_listed(model, tmp_path):
    archive = Path(zipped(tmp_path, ("a.png", SEVEN), ("b.png", SEVEN), ("c.png", SEVEN)))
    data = bytearray(archive.read_bytes())
    first = data.find(b"PK\1\2")
    data[first + 8] |= 1  # the list says that a.png is encrypted
    second = data.find(SEVEN, data.find(b"b.png"))
    data[second + 30] ^= 0xFF  # b.png no longer fits its checksum
    archive.write_bytes(data)
    assert [row.problem for row in rows(model, str(archive))] == ["bad_locked", "bad_damaged", ""]


@pytest.mark.parametrize("cut", [0.2, 0.6, 0.97])
def test_a_cut_zip_is_refused_or_no_zip(model, tmp_path, cut):
    archive = Path(zipped(tmp_path, *[(f"{i}.png", SEVEN) for i in range(20)]))
    data = archive.read_bytes()
    archive.write_bytes(data[: int(len(data) * cut)])
    assert [row.problem for row in rows(model, str(archive))] == ["bad_format"]


def test_the_csv_holds_every_row_and_no_formula(model, tmp_path):
    names = ("=1+1.png", "@a.png", "ok.png")
    found = rows(model, zipped(tmp_path, *[(name, SEVEN) for name in names], ("x.txt", b"x")))
    table = list(csv.reader(io.StringIO(many.as_csv(found))))
    assert table[0] == ["file", "digit", "label", "confidence", "note"]
    # What could be a formula loses its sign on arrival, or is marked as text.
    assert all(not row[0].startswith(("=", "+", "-", "@")) for row in table)
    assert [row[1:3] for row in table[1:]] == [["7", "7"]] * 3 + [["", ""]]
    assert table[4][4].startswith("This is not a picture")


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_a_class_whose_name_is_a_formula_is_text_in_the_csv(start):
    text = many.as_csv([many.Row("a.png", 3, f"{start}1+1", 0.9)])
    (row,) = csv.DictReader(io.StringIO(text, newline=""))
    assert row["digit"] == "3"
    assert row["label"] == f"'{start}1+1"


def test_progress_comes_before_the_table_and_stopping_keeps_the_rest(model, tmp_path):
    archive = zipped(tmp_path, *[(f"{i}.png", SEVEN) for i in range(20)])
    steps = list(tabs.read_many(Weights(model), [archive], lambda: False))
    bars = [step[0] for step in steps[:-1]]
    assert ['value="0"' in bars[0], 'value="8"' in bars[1]] == [True, True]
    assert all('max="20"' in bar for bar in bars)
    assert steps[-1][0].count("<tr>") == 21
    stopped = list(tabs.read_many(Weights(model), [archive], lambda: True))
    assert "[[stopped|8|20]]" in stopped[-1][0]
    assert stopped[-1][0].count("<tr>") == 9


def uploaded(uploads: Uploads, count: int) -> list[str]:
    return [str(uploads.add(f"{i}.png", io.BytesIO(SEVEN))) for i in range(count)]


def test_the_table_is_shown_even_if_its_file_cannot_be_written(model, tmp_path):
    paths = uploaded(Uploads(tmp_path / "uploads"), 20)
    steps = tabs.read_many(Weights(model), paths, lambda: False)
    next(steps)
    shutil.rmtree(Path(paths[0]).parent)
    *_, (table, _, download) = steps
    assert table.count("<tr>") == 21
    assert "[[bad_gone]]" in table
    assert not download.visible


def test_cancel_stops_who_reads_and_nobody_else_is_remembered(model, tmp_path):
    class Session(str):
        """A text that can be seen to be gone."""

    events = tabs.build(Readers(Weights(model))).fns.values()
    functions = {getattr(each.fn, "__name__", ""): each.fn for each in events}
    read, stop = functions["read_files"], functions["stop"]
    archive = zipped(tmp_path, *[(f"{i}.png", SEVEN) for i in range(20)])
    reader, idle = SimpleNamespace(session_hash="a"), SimpleNamespace(session_hash=Session("b"))
    steps = read([archive], reader)
    next(steps)
    stop(idle)
    assert 'value="8"' in next(steps)[0]
    stop(reader)
    *_, (table, _, _) = steps
    assert "[[stopped|16|20]]" in table
    assert "[[finished|20|20|0]]" in [*read([archive], reader)][-1][0]
    session = weakref.ref(idle.session_hash)
    del idle
    gc.collect()
    assert session() is None


def test_a_refused_zip_is_a_sentence(model, tmp_path):
    archive = zipped(tmp_path, *[(f"{i}.png", b"") for i in range(settings.LIMITS.files + 1)])
    (step,) = tabs.read_many(Weights(model), [archive], lambda: False)
    assert "[[bad_many]]" in step[0]
