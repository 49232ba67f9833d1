"""Files that are whole or as they were before: written under another name, then renamed."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write_whole(file: Path, content: bytes | memoryview, durable: bool = False) -> None:
    """Put a file in the place of the one before it, which stays as it is if that fails.

    Args:
        file: its folder exists.
        content: all of it.
        durable: come back only when it would survive a power cut, too.

    Raises:
        OSError: a full disk, say.
    """
    temporary = file.with_name(f".{file.name}.tmp")
    try:
        with temporary.open("wb") as stream:
            stream.write(content)
            if durable:
                stream.flush()
                os.fsync(stream.fileno())
        temporary.replace(file)
        if durable:
            _sync_names(file.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replacing(folder: Path, last: str = "") -> Iterator[Path]:
    """An empty folder to write into; its files then take the places of those in `folder`.

    Args:
        folder: made if it is not there; left as it is if the writing fails.
        last: the name of the file that comes last: where it is, all others are.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".saving-") as temporary:
        yield Path(temporary)
        for file in sorted(Path(temporary).iterdir(), key=lambda file: file.name == last):
            file.replace(folder / file.name)


def _sync_names(folder: Path) -> None:
    """Until then, a file's new name may be lost with the power."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
