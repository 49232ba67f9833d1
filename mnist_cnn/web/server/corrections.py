"""What people say a picture really was, kept to train on: `train.py --dataset folder:DIR`.

    DIR/7/ID.png              the picture, in the folder of what it was
    DIR/7/drawn-3.png         ten digits a class drawn by the program, so that every class is there
    DIR/.corrections/ID.json  the frame, what was read, what it was, and by which weights

A correction is on the disk before anybody is thanked for it. For a Hub data set, DIR is its copy
here, and what has not arrived there yet is sent again, also after a restart.
"""

import base64
import io
import json
import os
import re
import time
import uuid
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from huggingface_hub import CommitScheduler, constants
from PIL import Image

from mnist_cnn import hub
from mnist_cnn.data.drawn import strokes
from mnist_cnn.ink import find_ink, open_picture
from mnist_cnn.model import MnistCNN
from mnist_cnn.reading import predict_ink
from mnist_cnn.web import settings

DIGITS = tuple("0123456789")  # which the program can draw
NOTES = ".corrections"  # hidden, so that it is not taken for a class


class Corrections:
    """A folder, or a Hub data set, that takes corrections.

    Attributes:
        data_set: the Hub data set, or None for a folder here; people are told before they help.
    """

    def __init__(self, place: str, class_names: tuple[str, ...]) -> None:
        """Open or make a place: a folder, or `USER/DATASET`, which is made private.

        Anything that is a folder, has no slash, or begins with `.`, `/` or `~` is a folder.

        Raises:
            ValueError: no place to keep them, or no right to write there.
            ConnectionError: the Hub could not be reached.
        """
        self._scheduler: CommitScheduler | None = None
        folder = Path(place).expanduser()
        on_hub = "/" in place and place[0] not in "./~" and not folder.is_dir()
        if on_hub:
            repo_id, _ = hub.split_repo_id(place)
            folder = Path(constants.HF_HOME) / "corrections" / repo_id.replace("/", "--")
        self.folder = folder
        self._make(class_names)
        if on_hub:
            with hub.explained(repo_id, kind="dataset"):
                self._scheduler = CommitScheduler(
                    repo_id=repo_id,
                    repo_type="dataset",
                    folder_path=folder,
                    every=settings.TIMES.send / 60,
                    private=True,
                    ignore_patterns=["*.tmp"],
                )
        self.data_set = place if on_hub else None

    def _make(self, class_names: tuple[str, ...]) -> None:
        try:
            (self.folder / NOTES).mkdir(parents=True, exist_ok=True)
            for name in class_names:
                (self.folder / folder_name(name)).mkdir(exist_ok=True)
            if class_names == DIGITS and not any(self.folder.glob("*/drawn-*.png")):
                self._draw_examples()
        except OSError as error:
            raise ValueError(f"cannot keep corrections in {self.folder}: {error}") from error

    def _draw_examples(self) -> None:
        rng = np.random.default_rng(0)
        for digit in range(10):
            for number in range(10):
                ink = np.round(255 * (1 - strokes.draw(digit, rng))).astype(np.uint8)
                (self.folder / str(digit) / f"drawn-{number}.png").write_bytes(png(ink))

    def keep(self, model: MnistCNN, picture: bytes | str, right: str) -> str:
        """Keep a picture that `model` reads, with what it was; returns its id.

        Raises:
            ValueError: no such class, no picture, or the folder is full.
            OSError: it could not be written; then nothing of it is kept.
        """
        names = model.config.class_names
        if right not in names:
            raise ValueError(f"{right!r} is no class of these weights: {', '.join(names)}")
        most = settings.LIMITS.corrections
        if sum(1 for _ in (self.folder / NOTES).iterdir()) >= most:
            raise ValueError(f"{most:,} corrections are here already: no more are kept")
        image = open_picture(picture)
        prediction = predict_ink(model, find_ink(image))
        image = image if image.mode in ("L", "RGB", "RGBA") else image.convert("RGB")
        image.thumbnail((settings.LIMITS.correction_side,) * 2)
        name = f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{uuid.uuid4().hex[:8]}"
        picture_path = f"{folder_name(right)}/{name}.png"
        note = {
            "picture": picture_path,
            "frame": base64.b64encode(png(prediction.frame)).decode(),
            "given": prediction.label,
            "right": right,
            "confidence": prediction.confidence,
            "weights": model.source,
        }
        text = json.dumps(note, indent=1, ensure_ascii=False) + "\n"
        note_path = self.folder / NOTES / f"{name}.json"
        with self._still():
            # The note first: what lies in a class folder is complete.
            write_durably(note_path, text.encode())
            try:
                write_durably(self.folder / picture_path, png(np.asarray(image)))
            except OSError:
                note_path.unlink()
                raise
        if self._scheduler:
            self._scheduler.trigger()  # sooner than the next round; a failure waits for that
        return name

    def _still(self) -> AbstractContextManager[Any]:
        """While nothing is sent: half a correction must not be."""
        return self._scheduler.lock if self._scheduler else nullcontext()


def folder_name(class_name: str) -> str:
    """The sub-folder of a class: its name, without what file systems do not take."""
    return re.sub(r"[^\w .+-]", "_", class_name).lstrip(".") or "_"


def png(pixels: np.ndarray) -> bytes:
    """A picture's pixels alone: no place, no camera, no time."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def write_durably(file: Path, content: bytes) -> None:
    """A new file that is whole, and survives the process and a power cut; or no file."""
    temporary = file.with_name(f".{file.name}.tmp")
    try:
        with temporary.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(file)
        _sync_folder(file.parent)
    except OSError:
        temporary.unlink(missing_ok=True)
        file.unlink(missing_ok=True)
        raise


def _sync_folder(folder: Path) -> None:
    """Until then, the file's name may be lost with the power."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
