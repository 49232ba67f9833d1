"""600 pictures and today's answers to them, so that a change of code can show that none changed.

    python -m benchmarks.answers            # compare; status 1 and a list where answers differ
    python -m benchmarks.answers --write    # after a change that is meant: answer them anew

`tests/files/answers.zip` holds the pictures, made once by this project's own generators, and
`answers.json`. `--pictures DATA_DIR` makes the pictures, too; nobody needs to do that again.
"""

import argparse
import io
import json
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mnist_cnn import MnistCNN, load_model

FILE = Path(__file__).parent.parent / "tests" / "files" / "answers.zip"
CLOSE = 2e-3  # probabilities: processors and versions of torch round differently


def answers(model: MnistCNN, picture: bytes) -> dict[str, Any]:
    """What `predict` and `read` say of a picture, as JSON holds it."""
    one, several = model.predict(picture), model.read(picture)
    return {
        "digit": one.digit,
        "reason": one.reason,
        "probs": [round(p, 5) for p in one.probs.tolist()],
        "text": several.text,
        "read_reason": several.reason,
        "boxes": [list(each.box) for each in several.digits],
        "confidences": [round(each.confidence, 5) for each in several.digits],
    }


def stored() -> Iterator[tuple[str, bytes, dict[str, Any]]]:
    """Name, content and answers of each picture."""
    with zipfile.ZipFile(FILE) as file:
        known = json.loads(file.read("answers.json"))
        for name in sorted(known):
            yield name, file.read(name), known[name]


def differences(model: MnistCNN) -> list[str]:
    """A sentence for each picture whose answers are not those that are stored."""
    found = []
    for name, picture, before in stored():
        now = answers(model, picture)
        same = before.keys() == now.keys() and all(
            _close(before[key], now[key])
            if key in ("probs", "confidences")
            else before[key] == now[key]
            for key in before
        )
        if not same:
            changed = [key for key in before if before[key] != now.get(key)]
            was, is_ = ({key: each.get(key) for key in changed} for each in (before, now))
            found.append(f"{name}: {was} → {is_}")
    return found


def _close(before: list[float], now: list[float]) -> bool:
    return len(before) == len(now) and bool(np.allclose(before, now, rtol=0, atol=CLOSE))


def write(model: MnistCNN, pictures: dict[str, bytes]) -> None:
    new = {name: answers(model, picture) for name, picture in pictures.items()}
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(new[name])}" for name in sorted(new))
    temporary = FILE.with_suffix(".tmp")
    with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in [*sorted(pictures.items()), ("answers.json", f"{{{lines}}}\n")]:
            file.writestr(zipfile.ZipInfo(name), content)
    temporary.replace(FILE)


def make(data_dir: str) -> dict[str, bytes]:
    """The pictures: sketches, photos, rows, pages, non-digits, frames and unusual formats."""
    from benchmarks import photos, rows

    digits, made = photos.Digits(data_dir), {}
    for kind in photos.MAKERS:
        flat = kind in ("plain sketch", "hard sketch", "small drawing", "paint")
        for index in range(60 if flat else 5):
            made[f"{kind}/{index}"] = photos.picture(kind, 5000 + index, digits)[0]
    for index, page in enumerate(rows.make(100, 4242, data_dir)):
        way = {"quality": 90} if page.kind.surface == "photo" else {}
        made[f"rows/{index}"] = photos.encoded(page.picture, "JPEG" if way else "PNG", **way)
    rng = np.random.default_rng(7)
    frames, labels = digits.frames.numpy(), digits.labels.numpy()
    generator = rows.Generator(frames, labels, 99)
    for index in range(6):
        kind = rows.Kind("drawn", "touching" if index % 2 else "spaced", "clean")
        page = generator.row(kind, [8, 8, 8, 8])
        made[f"pages/{index}"] = photos.encoded(page.picture)
    nondigits = _nondigits()
    for index, ink in enumerate(nondigits):
        made[f"nondigits/{index}"] = photos.encoded(np.round(255 * (1 - ink)).astype(np.uint8))
    for index in range(50):
        frame = frames[rng.integers(len(frames))]
        made[f"frames/{index}"] = photos.encoded(frame)
        if index < 20:
            made[f"formats/{index}"] = _unusual(frame, index)
    return made


def _nondigits() -> list[np.ndarray]:
    from mnist_cnn.data.drawn import nondigits

    rng = np.random.default_rng(11)
    kinds = list(nondigits.KINDS.values())
    return [kinds[index % len(kinds)](rng, None) for index in range(90)]


def _unusual(frame: np.ndarray, index: int) -> bytes:
    big = Image.fromarray(frame).resize((200, 200), Image.Resampling.BICUBIC)
    levels = np.asarray(big)
    alpha = Image.fromarray(np.dstack([np.zeros((200, 200, 3), np.uint8), levels]), "RGBA")
    images = (
        (alpha, "PNG"),
        (Image.fromarray(levels.astype(np.uint16) * 257), "PNG"),
        (big.convert("P"), "GIF"),
        (big.convert("CMYK"), "JPEG"),
        (big.convert("1"), "BMP"),
    )
    image, format_ = images[index % len(images)]
    stream = io.BytesIO()
    image.save(stream, format_)
    return stream.getvalue()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="store today's answers")
    parser.add_argument("--pictures", metavar="DATA_DIR", help="make the pictures anew")
    args = parser.parse_args()
    model = load_model()
    if args.pictures:
        write(model, make(args.pictures))
    elif args.write:
        write(model, {name: picture for name, picture, _ in stored()})
    else:
        found = differences(model)
        print("\n".join(found) or "no answer differs")
        return int(bool(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
