import os
from pathlib import Path

import pytest

from mnist_cnn.files import replacing, write_whole


def names(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()}


@pytest.mark.parametrize("durable", [False, True])
def test_a_file_is_replaced_or_left_as_it_was(durable, tmp_path, monkeypatch):
    file = tmp_path / "weights"
    write_whole(file, b"old", durable)
    (tmp_path / ".weights.tmp").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        write_whole(file, b"new", durable)
    assert file.read_bytes() == b"old"
    write_whole(file, b"new", durable)
    assert file.read_bytes() == b"new"
    assert names(tmp_path) == {"weights"}


def test_what_is_durable_is_synced_with_its_name(tmp_path, monkeypatch):
    synced = []
    where = "/proc/self/fd/{}".format
    monkeypatch.setattr(os, "fsync", lambda number: synced.append(os.readlink(where(number))))
    write_whole(tmp_path / "weights", b"new", durable=True)
    assert synced == [str(tmp_path / ".weights.tmp"), str(tmp_path)]


def test_a_folders_files_come_together_and_the_last_one_last(tmp_path, monkeypatch):
    (tmp_path / "a").write_text("old")

    def fail() -> None:
        with replacing(tmp_path) as new:
            (new / "a").write_text("half")
            raise OSError("full")

    with pytest.raises(OSError, match="full"):
        fail()
    assert (tmp_path / "a").read_text() == "old"
    order, replace = [], Path.replace
    monkeypatch.setattr(Path, "replace", lambda a, b: order.append(b.name) or replace(a, b))
    with replacing(tmp_path / "deeper" / "still", last="b") as new:
        for name in "cba":
            (new / name).write_text("new")
    assert names(tmp_path / "deeper" / "still") == {"a", "b", "c"}
    assert order[-1] == "b"
