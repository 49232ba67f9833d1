"""Data sets in MNIST's format, made by tests."""

import struct
from pathlib import Path

import numpy as np


def idx(array: np.ndarray) -> bytes:
    """The IDX format: two zero bytes, type, number of axes, sizes, values; all big-endian."""
    kind, dtype = {"uint8": (8, ">u1"), "int32": (12, ">i4")}[str(array.dtype)]
    head = struct.pack(f">BBBB{array.ndim}I", 0, 0, kind, array.ndim, *array.shape)
    return head + array.astype(dtype).tobytes()


def an_l(n: int) -> np.ndarray:
    """Frames of an L, which no turn or mirror leaves alone; the n-th has n grey levels less."""
    frames = np.zeros((n, 28, 28), np.uint8)
    frames[:, 4:24, 8:11] = frames[:, 21:24, 8:20] = 255
    return frames - (np.arange(n, dtype=np.uint8)[:, None, None] * (frames > 0))


def write(folder: Path, files: dict[str, np.ndarray]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in files.items():
        (folder / name).write_bytes(idx(array))
