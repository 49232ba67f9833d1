"""Damaged, odd and hostile files and requests; all made here, by rule or by seeded chance.

`python -m tests.hostile --n 5000000` mutates pictures and decodes them, and stops at a finding.
"""

import argparse
import io
import random
import struct
import sys
import time
import zlib
from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageDraw

from mnist_cnn.ink import WORK_SIDE, find_ink
from mnist_cnn.ink import decoding as decode

SECONDS = 2.0  # of the processor: no file may take longer


def digit(size: int = 64, mode: str = "RGB", ground: str = "white", pen: str = "black"):
    """A drawn 7."""
    image = Image.new("RGB", (size, size), ground)
    line = [(0.3 * size, 0.2 * size), (0.72 * size, 0.2 * size), (0.45 * size, 0.85 * size)]
    ImageDraw.Draw(image).line(line, pen, max(1, size // 14), "curve")
    return image.convert(mode)


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def whole(size: int = 24) -> dict[str, bytes]:
    """Small whole pictures, in most ways that the five formats have."""
    rgb, grey = digit(size), digit(size, "L")
    frames = [grey, digit(size, "L", "black", "white")]
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a description"
    return {
        "png": encoded(rgb, "PNG"),
        "png-grey": encoded(grey, "PNG", exif=exif),
        "png-1": encoded(digit(size, "1"), "PNG"),
        "png-palette": encoded(digit(size, "P"), "PNG", transparency=0),
        "png-alpha": encoded(digit(size, "RGBA"), "PNG"),
        "png-16": encoded(Image.fromarray(np.asarray(grey).astype(np.uint16) * 257), "PNG"),
        "png-animated": encoded(frames[0], "PNG", save_all=True, append_images=frames[1:]),
        "jpeg": encoded(rgb, "JPEG", exif=exif),
        "jpeg-grey": encoded(grey, "JPEG", quality=30),
        "jpeg-progressive": encoded(rgb, "JPEG", progressive=True),
        "jpeg-cmyk": encoded(digit(size, "CMYK"), "JPEG"),
        "webp": encoded(rgb, "WEBP", exif=exif),
        "webp-lossless": encoded(digit(size, "RGBA"), "WEBP", lossless=True),
        "webp-animated": encoded(rgb, "WEBP", save_all=True, append_images=[rgb.rotate(90)]),
        "bmp": encoded(rgb, "BMP"),
        "bmp-palette": encoded(digit(size, "P"), "BMP"),
        "gif": encoded(grey, "GIF"),
        "gif-animated": encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]),
    }


def mutated(content: bytes, rng: random.Random) -> bytes:
    """The same content with one to four accidents."""
    data = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        at, span = rng.randrange(len(data)), rng.randint(1, 16)
        kind = rng.randrange(8)
        if kind == 0:
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            data[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF))
        elif kind == 2:
            data[at : at + span] = rng.randbytes(span)
        elif kind == 3:
            del data[at : at + span]
        elif kind == 4:
            data[at:at] = data[at : at + span]
        elif kind == 5:
            data[at:] = b""
        elif kind == 6:  # lengths and sizes are mostly four bytes, or two
            data[at : at + 4] = rng.choice((b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff"))
        else:
            data[at : at + 2] = struct.pack(rng.choice("<>") + "H", rng.choice((0, 1, 65535)))
        if not data:
            return b"\0"
    return bytes(data)


def fuzz(count: int, seed: int) -> int:
    """Decode mutated pictures; returns how many were read.

    Raises:
        Exception: whatever a file makes the decoder raise beyond `PictureError`: a finding.
    """
    rng, seeds, read = random.Random(seed), list(whole(12).values()), 0
    for number in range(count):
        content = mutated(rng.choice(seeds), rng)
        start = time.process_time()
        try:
            image, _ = decode.decode(content, "it", WORK_SIDE)
            if number % 50 == 0:
                ink = find_ink(content)
                assert np.isfinite(ink.levels).all()
        except decode.PictureError:
            continue
        except Exception as error:
            raise AssertionError(f"input {number} of seed {seed}: {content.hex()}") from error
        finally:
            taken = time.process_time() - start
            assert taken < SECONDS, f"input {number} of seed {seed} took {taken:.1f} s"
        assert image.width * image.height <= decode.LIMITS.pixels
        read += 1
    return read


def files() -> Iterator[tuple[str, bytes]]:
    """More than 3,500 files by name: cut, flipped, odd, oversized, and no pictures at all."""
    rng = random.Random(4)
    for name, content in whole(40).items():
        yield name, content
        for cut in range(60):
            yield f"{name}-cut-{cut}", content[: 1 + len(content) * cut // 60]
        for number in range(125):
            yield f"{name}-mutated-{number}", mutated(content, rng)
        yield f"{name}-then-html", content + b"<script>alert(1)</script>"
        yield f"{name}-then-zip", content + b"PK\3\4" + bytes(100)
    yield from not_pictures()
    yield from odd_sizes()
    yield from bombs()
    for number in range(60):
        yield f"random-{number}", rng.randbytes(rng.randint(1, 5000))


def not_pictures() -> Iterator[tuple[str, bytes]]:
    """What is often sent under a picture's name, and formats that Pillow reads but we do not."""
    texts = {
        "empty": b"",
        "text": b"seven",
        "svg": b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"></svg>',
        "html": b"<!doctype html><script>alert(1)</script>",
        "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n",
        "pdf": b"%PDF-1.7\n1 0 obj<</Type/Catalog>>endobj\n",
        "zip": b"PK\3\4" + bytes(40),
        "gzip": b"\x1f\x8b\x08" + bytes(40),
        "elf": b"\x7fELF" + bytes(60),
        "pickle": b"\x80\x04\x95" + bytes(30),
        "json": b'{"path": "/etc/passwd"}',
        "xml": b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>',
        "psd": b"8BPS\0\1" + bytes(40),
        "fits": b"SIMPLE  =                    T".ljust(2880),
        "nulls": bytes(10_000),
        "ones": b"\xff" * 10_000,
    }
    yield from texts.items()
    for kind in ("TIFF", "PPM", "ICO", "PCX", "TGA", "SGI", "JPEG2000", "DDS", "ICNS", "SPIDER"):
        mode = "F" if kind == "SPIDER" else "RGB"
        yield f"format-{kind}", encoded(digit(32, mode), kind)


def png_claiming(width: int, height: int, depth: int = 8, colour: int = 0) -> bytes:
    """A PNG whose header claims a size and whose data is one byte."""
    return png_of((b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)))


def png_of(*chunks: tuple[bytes, bytes]) -> bytes:
    data = b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in (*chunks, (b"IDAT", zlib.compress(b"\0")), (b"IEND", b""))
    )
    return b"\x89PNG\r\n\x1a\n" + data


def bmp_claiming(width: int, height: int, bits: int) -> bytes:
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54 + 4, 0, 0, 54) + header + bytes(4)


def odd_sizes() -> Iterator[tuple[str, bytes]]:
    """Whole pictures of unusual shapes, and blank ones."""
    for width, height in ((1, 1), (1, 4000), (4000, 1), (2, 2), (3, 60_000), (28, 28), (16, 9000)):
        for colour in ("white", "black", "red"):
            image = Image.new("RGB", (width, height), colour)
            yield f"blank-{width}x{height}-{colour}", encoded(image, "PNG")
    yield "transparent", encoded(Image.new("RGBA", (50, 50), (0, 0, 0, 0)), "PNG")
    noise = np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8)
    yield "noise", encoded(Image.fromarray(noise), "PNG")


def bombs() -> Iterator[tuple[str, bytes]]:
    """Small files that claim or unpack to much."""
    sizes = ((5000, 5000), (13_000, 13_000), (65_535, 65_535), (2**31 - 1, 1), (2**31 - 1,) * 2)
    for width, height in (*sizes, (0, 0), (0, 5), (30_000, 600)):
        for depth, colour in ((1, 0), (8, 2), (16, 6)):
            yield f"png-claims-{width}x{height}-{depth}", png_claiming(width, height, depth, colour)
        for bits in (1, 8, 24, 32):
            yield f"bmp-claims-{width}x{height}-{bits}", bmp_claiming(width, height, bits)
    header = b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 0)
    text = b"zTXt", b"k\0\0" + zlib.compress(bytes(30_000_000))
    yield "png-text", png_of(header, text)
    yield (
        "png-international-text",
        png_of(header, (b"iTXt", b"k\0\1\0\0\0" + zlib.compress(bytes(30_000_000)))),
    )
    yield "png-profile", png_of(header, (b"iCCP", b"k\0\0" + zlib.compress(bytes(30_000_000))))
    yield "png-chunks", png_of(header, *[(b"tEXt", b"a\0b")] * 30_000)
    yield "png-16-million", encoded(Image.new("1", (4000, 3999)), "PNG")
    yield "png-too-many", encoded(Image.new("1", (4001, 4000)), "PNG")
    yield "jpeg-64-million", encoded(Image.new("L", (8000, 7999)), "JPEG")
    yield "jpeg-too-many", encoded(Image.new("L", (8001, 8001)), "JPEG")
    yield "jpeg-scans", many_scans(2000, 300)
    frame = Image.new("P", (64, 64))
    yield "gif-frames", encoded(frame, "GIF", save_all=True, append_images=[frame] * 2000)
    yield "gif-claims", b"GIF89a" + struct.pack("<HH", 65_535, 65_535) + bytes(3) + b"\x3b"
    yield "webp-claims", webp_claiming(16_383, 16_383)


def many_scans(side: int, count: int) -> bytes:
    """A progressive JPEG whose last scan is there many times over."""
    content = encoded(Image.new("L", (side, side), 128), "JPEG", progressive=True)
    last = content[content.rfind(b"\xff\xda") : -2]
    return content[:-2] + last * count + b"\xff\xd9"


def webp_claiming(width: int, height: int) -> bytes:
    """An extended WebP whose canvas is larger than its only frame."""
    frame = encoded(Image.new("RGB", (8, 8)), "WEBP", lossless=True)[12:]
    size = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
    body = b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4) + size + frame
    return b"RIFF" + struct.pack("<I", len(body)) + body


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    start = time.perf_counter()
    read = fuzz(args.n, args.seed)
    print(f"{args.n:,} inputs, {read:,} read, {time.perf_counter() - start:.0f} s, 0 findings")
    return 0


if __name__ == "__main__":
    sys.exit(main())
