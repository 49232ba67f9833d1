"""What the bundled weights read of script and handwriting fonts: digits and letters of many hands.

    npm install --no-save --prefix fonts $(cat benchmarks/fonts.txt)
    python -m benchmarks.fonts $(find fonts -name '*-latin-400-normal.woff')

Writes benchmarks/fonts.json. People who know nothing of this project drew these shapes. They are no
part of the training, and no choice was made on them: mistakes are not looked at one by one. Fonts
for print, and relatives of those that were looked at while the network was made, are left out.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from benchmarks import reports
from benchmarks.reading import SEED, share
from mnist_cnn import load_model

HEIGHT, BORDER = 160, 120  # pixels
DIGITS = "0123456789"
# Without what is a digit to some reader: O o D I l i j Z z S s B b g q y.
SIGNS = "ACEFGHJKLMNPQRTUVWXYacdefhkmnprtuvwx?&#%@$+=*"
ROW = 5  # digits


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", type=Path, nargs="+", help="fonts: .ttf, .otf or .woff")
    files = sorted(parser.parse_args().files, key=lambda file: file.stem)
    model, rng = load_model(), np.random.default_rng(SEED)
    digits, rows, signs = [], [], []  # whether each is right
    for file in files:
        row = "".join(rng.choice(list(DIGITS), ROW))
        rows.append(model.read(written(row, file)).text == row)
        digits += [str(model.predict(written(each, file)).digit) == each for each in DIGITS]
        signs += [model.predict(written(each, file)).digit is None for each in SIGNS]
    figures = {
        "fonts": len(files),
        "digits": share(sum(digits), len(digits)),
        "rows": share(sum(rows), len(rows)),
        "signs": share(sum(signs), len(signs)),
        "weights_accuracy": model.report.test.accuracy,
    }
    reports.write("fonts", reports.with_origin(figures))
    print("wrote fonts.json")
    return 0


def written(text: str, file: Path) -> np.ndarray:
    """Black on white, `(H, W, 3)` uint8: text in a font, `HEIGHT` pixels high, with a border.

    Raises:
        ValueError: the font draws nothing for it.
    """
    # The other layout may be missing.
    font = ImageFont.truetype(file, 100, layout_engine=ImageFont.Layout.BASIC)
    _, top, _, bottom = font.getbbox(text)
    if bottom <= top:
        raise ValueError(f"{file} draws nothing for {text!r}: leave this font out")
    font = font.font_variant(size=100 * HEIGHT / (bottom - top))
    left, top, right, bottom = font.getbbox(text)
    size = round(right - left) + 2 * BORDER, round(bottom - top) + 2 * BORDER
    picture = Image.new("RGB", size, "white")
    ImageDraw.Draw(picture).text((BORDER - left, BORDER - top), text, "black", font)
    return np.asarray(picture)


if __name__ == "__main__":
    sys.exit(main())
