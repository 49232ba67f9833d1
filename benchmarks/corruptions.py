"""Fifteen ways to spoil an MNIST digit, in the manner of MNIST-C (Mu and Gilmer 2019).

Each takes a `(28, 28)` uint8 frame and a generator and returns a picture of the same kind. They are
our own, at a strength at which a person still reads the digit.
"""

from collections.abc import Callable

import cv2
import numpy as np

Frame = np.ndarray
Rng = np.random.Generator


def shot_noise(frame: Frame, rng: Rng) -> Frame:
    return _bytes(rng.poisson(frame / 255 * 12) / 12)


def impulse_noise(frame: Frame, rng: Rng) -> Frame:
    hit = rng.random(frame.shape) < 0.06
    return np.where(hit, rng.choice([0, 255], frame.shape), frame).astype(np.uint8)


def glass_blur(frame: Frame, rng: Rng) -> Frame:
    rows, columns = np.indices(frame.shape, np.float32)
    moves = rng.uniform(-1.5, 1.5, (2, *frame.shape)).astype(np.float32)
    return cv2.remap(frame, columns + moves[0], rows + moves[1], cv2.INTER_LINEAR)


def motion_blur(frame: Frame, rng: Rng) -> Frame:
    kernel = np.zeros((5, 5), np.float32)
    angle = rng.uniform(0, np.pi)
    end = np.round(2 + 2 * np.array([np.cos(angle), np.sin(angle)])).astype(int)
    cv2.line(kernel, tuple((4 - end).tolist()), tuple(end.tolist()), 1)
    return cv2.filter2D(frame, -1, kernel / kernel.sum())


def shear(frame: Frame, rng: Rng) -> Frame:
    return _affine(frame, np.array([[1, rng.choice([-1, 1]) * 0.35], [0, 1]]))


def scale(frame: Frame, rng: Rng) -> Frame:
    return _affine(frame, np.eye(2) * rng.choice([0.6, 1.15]))


def rotate(frame: Frame, rng: Rng) -> Frame:
    angle = np.radians(rng.choice([-1, 1]) * rng.uniform(15, 25))
    return _affine(frame, [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def brightness(frame: Frame, rng: Rng) -> Frame:
    return _bytes(0.35 + 0.65 * frame / 255)


def translate(frame: Frame, rng: Rng) -> Frame:
    top, left = rng.integers(0, 9, 2)
    return np.pad(frame, 4)[top : top + 28, left : left + 28]


def stripe(frame: Frame, rng: Rng) -> Frame:
    out = frame.copy()
    out[:, :3] = out[:, -3:] = 255 - out[:, :3]
    return out


def fog(frame: Frame, rng: Rng) -> Frame:
    coarse = rng.uniform(0, 0.6, (4, 4)).astype(np.float32)
    cloud = cv2.resize(coarse, frame.shape, interpolation=cv2.INTER_CUBIC)
    return _bytes(np.maximum(frame / 255, cloud))


def spatter(frame: Frame, rng: Rng) -> Frame:
    out = frame.copy()
    for _ in range(6):
        x, y = rng.integers(0, 28, 2)
        cv2.circle(out, (int(x), int(y)), 0, 200, -1)
    return out


def dotted_line(frame: Frame, rng: Rng) -> Frame:
    out, (left, right) = frame.copy(), rng.integers(2, 26, 2)
    for x in range(0, 28, 3):
        out[round(left + (right - left) * x / 27), x] = 255
    return out


def zigzag(frame: Frame, rng: Rng) -> Frame:
    out, start = frame.copy(), rng.integers(4, 24)
    points = [[x, int(start + (2 if i % 2 else -2))] for i, x in enumerate(range(0, 29, 4))]
    cv2.polylines(out, [np.array(points)], False, 160, 1)
    return out


def canny_edges(frame: Frame, rng: Rng) -> Frame:
    large = cv2.resize(frame, (112, 112), interpolation=cv2.INTER_CUBIC)
    edges = cv2.dilate(cv2.Canny(large, 80, 160), np.ones((3, 3)))
    return cv2.resize(edges, (28, 28), interpolation=cv2.INTER_AREA)


def _bytes(values: np.ndarray) -> Frame:
    return np.round(np.clip(values, 0, 1) * 255).astype(np.uint8)


def _affine(frame: Frame, matrix: np.ndarray | list) -> Frame:
    """The frame under a linear map about its middle."""
    matrix, middle = np.array(matrix, float), np.array([13.5, 13.5])
    return cv2.warpAffine(frame, np.c_[matrix, middle - matrix @ middle], (28, 28))


CORRUPTIONS: dict[str, Callable[[Frame, Rng], Frame]] = {
    function.__name__.replace("_", " "): function
    for function in (
        shot_noise, impulse_noise, glass_blur, motion_blur, shear, scale, rotate, brightness,
        translate, stripe, fog, spatter, dotted_line, zigzag, canny_edges,
    )
}  # fmt: skip
