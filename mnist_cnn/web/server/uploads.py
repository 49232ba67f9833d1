"""The files that visitors send, in place of Gradio's own uploading.

Gradio's keeps cut and forgotten files for ever and believes in names.
"""

import io
import os
import re
import shutil
import sys
import time
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from mnist_cnn.web import settings

_LEFT = re.compile(r"mnist-cnn-(\d{1,9})-[0-9a-f]{32}")  # as `settings` names folders
# How PNG, JPEG, WebP, BMP, GIF and ZIP begin. The rest of a header can be as long as the file;
# whoever reads the picture looks at that.
_STARTS = re.compile(
    rb"\x89PNG\r\n\x1a\n|\xff\xd8\xff|RIFF.{4}WEBP|BM|GIF8[79]a|PK\x03\x04", re.DOTALL
)
NO_ROOM = "There is no room for this. Try again in a few minutes."


class Uploads:
    """A folder of files that visitors sent, each in a folder of its own with a name of chance.

    Files go `settings.TIMES.keep` after they were last named; all of them together are bounded.
    """

    def __init__(self, folder: str | Path) -> None:
        Path(folder).mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder = Path(folder).resolve()
        # By their folders' names: when they were last named, and their bytes. The oldest first.
        self.kept: dict[str, tuple[float, int]] = {}
        self.bytes = 0  # of all of them, about

    def find(self, path: Any) -> str | None:
        """The real path of a regular file in the folder; nothing if it is none."""
        if not isinstance(path, str) or len(path) > 4096:
            return None
        try:
            real = os.path.realpath(path)
        except ValueError:  # no path at all: it holds a null, or half a character
            return None
        inside = real.startswith(f"{self.folder}{os.sep}") and os.path.isfile(real)
        return real if inside else None

    def touch(self, real: str) -> None:
        """The file is in use: `sweep` leaves its folder for a while."""
        name = Path(real).relative_to(self.folder).parts[0]
        if found := self.kept.pop(name, None):
            self.kept[name] = time.monotonic(), found[1]

    def add(self, name: str | None, content: Any) -> Path:
        """Keep a file's content (a binary stream) under the last part of its name.

        Raises:
            HTTPException: 507, there is too much already.
            OSError: the disk is full.
        """
        if self.bytes > settings.LIMITS.disk:
            raise HTTPException(507, NO_ROOM)
        folder = self.folder / uuid.uuid4().hex
        path = folder / plain_name(name)
        try:
            folder.mkdir()
            with path.open("wb") as file:
                shutil.copyfileobj(content, file)
            size = path.stat().st_size
        except OSError:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        self.kept[folder.name] = time.monotonic(), size
        self.bytes += size
        return path

    def add_all(self, files: Iterable[tuple[str | None, Any]]) -> list[Path]:
        """`add` each name and content; if one cannot be kept, none is."""
        paths: list[Path] = []
        try:
            for name, content in files:
                paths.append(self.add(name, content))
        except (HTTPException, OSError):
            for path in paths:
                self._delete(path.parent.name)
            raise
        return paths

    def sweep(self) -> None:
        """Delete what was not named for long, and the oldest where there is too much."""
        now = time.monotonic()
        for name in os.listdir(self.folder):
            if name not in self.kept:  # Gradio puts its copies of the examples there
                self.kept.setdefault(name, (now, _size(self.folder / name)))
        for name, (named, _) in self.kept.copy().items():  # requests change it meanwhile
            if named > now - settings.TIMES.keep and len(self.kept) <= settings.LIMITS.uploads:
                break
            self._delete(name)
        self.bytes = sum(size for _, size in self.kept.copy().values())

    def _delete(self, name: str) -> None:
        """A folder that cannot be deleted still counts, and is tried again."""
        shutil.rmtree(self.folder / name, ignore_errors=True)
        if not (self.folder / name).exists():
            _, size = self.kept.pop(name, (0.0, 0))
            self.bytes -= size

    def remove_left(self) -> None:
        """Delete the folders beside this one whose processes were killed."""
        for folder in self.folder.parent.glob("mnist-cnn-*"):
            left = _LEFT.fullmatch(folder.name)
            if left and not _is_alive(int(left[1])):
                shutil.rmtree(folder, ignore_errors=True)  # of other users: they stay


def _is_alive(process: int) -> bool:
    if sys.platform == "win32":  # there, the signal 0 is Ctrl-C
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        return True
    return True


def _size(folder: Path) -> int:
    """Bytes of the files in a folder; 0 if it is gone."""
    try:
        with os.scandir(folder) as entries:
            return sum(entry.stat(follow_symlinks=False).st_size for entry in entries)
    except OSError:
        return 0


def plain_name(name: str | None) -> str:
    """The last part of a file's name, without what a path, a page or a terminal would act on."""
    last = re.split(r"[\\/]", name or "")[-1]
    kept = "".join(c for c in last if c.isalnum() or c in " ._-()+").strip(" .")
    while len(kept.encode()) > 120:  # file systems allow 255 bytes
        kept = kept[1:]
    return kept or "file"


async def upload(request: Request, uploads: Uploads) -> Response:
    """Keep a form's files; answers their paths as Gradio's own uploading does."""
    form = request.form(max_files=settings.LIMITS.files, max_fields=4, max_part_size=1024)
    try:
        async with form as fields:
            files = [part for _, part in fields.multi_items() if isinstance(part, UploadFile)]
            if not files:
                raise HTTPException(400, "The form holds no file.")
            contents = [(file.filename, _kept(file.file)) for file in files]
            return JSONResponse([str(path) for path in uploads.add_all(contents)])
    except OSError as error:
        raise HTTPException(507, NO_ROOM) from error


def _kept(file: BinaryIO) -> BinaryIO:
    """What is kept of a file: of what is neither a picture nor a ZIP no more than that it is not.

    Those who read it say so, each file on its own and in the visitor's language.
    """
    start = file.read(12)
    file.seek(0)
    return file if not start or _STARTS.match(start) else io.BytesIO(b"?")
