"""What the bundled weights read beyond MNIST: `python -m benchmarks.reading --data-dir DIR`.

Writes benchmarks/reading.json. All pictures are made by the program, from MNIST *test* digits and
from ways of writing that training does not see: sketches, photos, rows of digits, non-digits,
corruptions. Beside the accuracy on single pictures stands that of the same network on the picture
merely resized to 28×28, and merely cropped into the 20×20 box: what most demos do; and that of this
project before it had an ink finder for photos and a network that knows more than MNIST.
"""

import argparse
import io
import json
import operator
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from benchmarks import photos, reports, rows
from benchmarks.corruptions import CORRUPTIONS
from mnist_cnn import MnistCNN, data, load_model
from mnist_cnn.data.drawn import strokes
from mnist_cnn.data.drawn.nondigits import HELD_OUT_KINDS, KINDS, nondigit
from mnist_cnn.ink import frame
from mnist_cnn.reading.evaluation import wilson
from mnist_cnn.reading.prediction import read_frames

ROOT = Path(__file__).parent.parent
PARTS = ("pictures", "changed", "rows", "drawn", "nondigits", "mnist_refused", "corruptions")
SEED = 2026  # of everything here; training and tuning used others
BEFORE = "91ad715"  # the commit before all work on reading: a box, a threshold, MNIST alone
READ_BEFORE = """
import json, sys
from pathlib import Path
from mnist_cnn import load_model
model = load_model()
print(json.dumps([model.predict(Path(file).read_bytes()).digit for file in sys.argv[1:]]))
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", default="data")
    parser.add_argument("--n", type=int, default=300, help="pictures a slice; half as many rows")
    parser.add_argument(
        "--only", nargs="+", choices=PARTS, help="measure these; the others stay as they were"
    )
    args = parser.parse_args()
    model, n = load_model(), args.n
    frames, labels = (part.numpy() for part in data.load("mnist", args.data_dir, train=False))
    parts = {
        "pictures": lambda: pictures(model, args.data_dir, n),
        "changed": lambda: changed(model, args.data_dir, n),
        "rows": lambda: digit_rows(model, args.data_dir, n),
        "drawn": lambda: drawn(model, n),
        "nondigits": lambda: nondigits(model, n),
        "mnist_refused": lambda: refused(read_frames(model, frames)),
        "corruptions": lambda: corruptions(model, frames[:n], labels[:n]),
    }
    figures = reports.read("reading") if args.only else {}
    figures |= {part: parts[part]() for part in args.only or PARTS}
    figures["weights_accuracy"] = model.report.test.accuracy
    reports.write("reading", reports.with_origin(figures))
    print("wrote reading.json")
    return 0


def share(right: int, n: int) -> dict[str, float]:
    """A share with its size and its Wilson interval."""
    return {"n": n, "share": right / n, "interval": wilson(right, n)}


def refused(answers: list) -> dict[str, float]:
    return share(sum(answer.digit is None for answer in answers), len(answers))


def pictures(model: MnistCNN, data_dir: str, n: int) -> dict[str, dict]:
    """Single pictures by slice; for the blank ones, the share that is refused."""
    digits, result = photos.Digits(data_dir), {}
    with before() as read_before:
        for name in photos.MAKERS:
            made = [photos.picture(name, SEED + index, digits) for index in range(n)]
            files, wanted = [file for file, _, _ in made], [digit for _, _, digit in made]
            answers = {"ours": [model.predict(file).digit for file in files]}
            for way, prepare in BASELINES.items():
                frames = np.stack([prepare(file) for file in files])
                answers[way] = [answer.digit for answer in read_frames(model, frames)]
            answers["before"] = read_before(files)
            right = {way: sum(map(operator.eq, each, wanted)) for way, each in answers.items()}
            result[name] = {way: share(count, n) for way, count in right.items()}
            print(f"{name}: {right['ours'] / n:.1%}", flush=True)
    return result


@contextmanager
def before() -> Iterator[Callable[[list[bytes]], list[int | None]]]:
    """What reads pictures as this project did before."""
    with tempfile.TemporaryDirectory() as folder:
        old, pictures = Path(folder) / "old", Path(folder) / "pictures"
        pictures.mkdir()
        git = ["git", "-C", str(ROOT)]
        if subprocess.run([*git, "cat-file", "-e", f"{BEFORE}^{{commit}}"]).returncode:
            raise SystemExit(f"commit {BEFORE} is not here: git fetch --unshallow")
        subprocess.run([*git, "worktree", "prune"], check=True)
        subprocess.run([*git, "worktree", "add", "-q", "--detach", str(old), BEFORE], check=True)

        def read(files: list[bytes]) -> list[int | None]:
            names = [str(pictures / str(number)) for number in range(len(files))]
            for name, file in zip(names, files, strict=True):
                Path(name).write_bytes(file)
            command = [sys.executable, "-c", READ_BEFORE, *names]
            environment = os.environ | {"PYTHONPATH": str(old)}
            done = subprocess.run(
                command, cwd=old, env=environment, stdout=subprocess.PIPE, check=True
            )
            return json.loads(done.stdout)

        try:
            yield read
        finally:
            subprocess.run([*git, "worktree", "remove", "--force", str(old)], check=True)


def changed(model: MnistCNN, data_dir: str, n: int) -> dict[str, dict]:
    """Usual sketches, and the same digits with one thing changed."""
    digits, result = photos.Digits(data_dir), {}
    for name, change in photos.CHANGES.items():
        right = 0
        for index in range(n):
            rng = np.random.default_rng((SEED, index))
            digit = digits.draw(rng)
            file = photos.changed_sketch(digit, rng, **change)
            right += model.predict(file).digit == digit.digit
        result[name] = share(right, n)
    return result


def _grey(file: bytes) -> np.ndarray:
    """The picture in grey, light ink on dark by the colour of its border; `(H, W)` uint8."""
    picture = Image.open(io.BytesIO(file))
    if picture.has_transparency_data:
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture.convert("RGBA"))
    grey = np.asarray(picture.convert("L"))
    edge = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    return grey if np.median(edge) < 128 else 255 - grey


def resized(file: bytes) -> np.ndarray:
    return cv2.resize(_grey(file), (28, 28), interpolation=cv2.INTER_AREA)


def boxed(file: bytes) -> np.ndarray:
    """Threshold, crop, scale to 20 pixels, centre by mass."""
    ink = _grey(file) / np.float32(255)
    ink = np.where(ink > 0.3, ink, 0)
    if not ink.any():
        return np.zeros((28, 28), np.uint8)
    ys, xs = np.nonzero(ink)
    ink = ink[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1]
    size = [max(1, round(20 * side / max(ink.shape))) for side in ink.shape[::-1]]
    return frame(np.pad(cv2.resize(ink, size, interpolation=cv2.INTER_AREA), 4))


BASELINES: dict[str, Callable[[bytes], np.ndarray]] = {"resized": resized, "boxed": boxed}


def digit_rows(model: MnistCNN, data_dir: str, n: int) -> dict[str, dict]:
    """Rows of digits, every digit of the picture right."""
    counts, _, _ = rows.measure(model, rows.make(4 * n, SEED, data_dir))
    return {name: share(count["right"], count["n"]) for name, count in sorted(counts.items())}


def drawn(model: MnistCNN, n: int) -> dict[str, dict]:
    """Pen strokes in ways that training sees and does not see; a refusal is not right."""
    result = {}
    for name, held_out in (("ways seen in training", False), ("other ways", True)):
        frames, labels = strokes.draw_frames(10 * n, SEED, held_out)
        answers = [answer.digit for answer in read_frames(model, frames)]
        result[name] = share(int((np.array(answers) == labels).sum()), len(labels))
    return result


def nondigits(model: MnistCNN, n: int) -> dict[str, dict]:
    """The share of non-digits that is refused, by kind and over all kinds.

    And, where they hold no digits, the share in which `read` finds none.
    """
    result = {}
    for title, kinds in (("seen in training", KINDS), ("other", HELD_OUT_KINDS)):
        answers, readings = [], []
        for kind in kinds:
            rng = np.random.default_rng(SEED)
            inks = [nondigit(rng, kind=kind) for _ in range(n // 3)]
            group = read_frames(model, np.stack([frame(ink) for ink in inks]))
            result[kind] = refused(group)
            answers += group
            if "digits" not in kind:
                pages = [np.round(255 * (1 - np.pad(ink, 20))).astype(np.uint8) for ink in inks]
                readings += [model.read(page) for page in pages]
        result[f"all kinds {title}"] = refused(answers)
        empty = sum(not reading.digits for reading in readings)
        result[f"all kinds {title}, by `read`"] = share(empty, len(readings))
    return result


def corruptions(model: MnistCNN, frames: np.ndarray, labels: np.ndarray) -> dict[str, dict]:
    """MNIST test digits, spoiled, through the whole road."""
    result = {}
    for name, spoil in CORRUPTIONS.items():
        rng = np.random.default_rng(SEED)
        answers = [model.predict(spoil(digit, rng)).digit for digit in frames]
        result[name] = share(int((np.array(answers) == labels).sum()), len(labels))
    return result


if __name__ == "__main__":
    sys.exit(main())
