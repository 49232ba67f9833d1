"""How fast the bundled weights read and the flagship trains: `python -m benchmarks.speed`.

Writes benchmarks/speed.json. Every speed stands beside a baseline timed in the same run. Leave the
machine alone while it runs (about four minutes on two cores).
"""

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import cv2
import numpy as np
import torch
from accelerate import Accelerator
from torch.nn import functional as F

from benchmarks import reports, rows
from mnist_cnn import data, load_model
from mnist_cnn.config import FLAGSHIP
from mnist_cnn.data.augmenter import Augmenter
from mnist_cnn.ink import find_ink, frame, open_picture
from mnist_cnn.model import MnistCNN
from mnist_cnn.training.engine import Engine
from mnist_cnn.training.recipes import ADDED, RECIPES
from mnist_cnn.training.state import Batches, Training

BATCH = 256
PAGES = 5  # photos of a kind: what one takes depends on what is on it


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir", default="data")
    args = parser.parse_args()
    test_frames, test_labels = data.load("mnist", args.data_dir, train=False)
    train_frames, train_labels = data.load("mnist", args.data_dir, train=True)
    rows = [
        framing(test_frames.numpy()),
        *reading(test_frames),
        *photos(test_frames, test_labels),
        *training(train_frames, train_labels),
    ]
    reports.write("speed", reports.with_origin({"rows": rows}))
    for row in rows:
        print(f"{row['what']}: {row['value']} ({row['against']})")
    return 0


def row(what: str, value: str, against: str, **numbers: float) -> dict:
    return {"what": what, "value": value, "against": against, **numbers}


def framing(frames: np.ndarray) -> dict:
    same = sum(bool((frame(find_ink(digit)) == digit).all()) for digit in frames)
    return row(
        "MNIST test digits that framing returns bit for bit",
        f"{same / len(frames):.2%}",
        f"{same:,} of {len(frames):,}",
        rate=same / len(frames),
    )


def reading(frames: torch.Tensor) -> list[dict]:
    """One sketch at a time, and frames in batches."""
    model = load_model()
    digit = np.pad(frames[0].numpy(), 6)
    sketch = 255 - cv2.resize(digit, (400, 400), interpolation=cv2.INTER_CUBIC)
    plain = torch.from_numpy(frames[:1].numpy())

    @torch.inference_mode()
    def network_alone() -> None:
        model(plain)

    whole, alone = timed(lambda: model.predict(sketch)), timed(network_alone)

    @torch.inference_mode()
    def batch() -> None:
        model(frames[:1000])

    @torch.inference_mode()
    def one_by_one() -> None:
        for index in range(100):
            model(frames[index : index + 1])

    rate, single = 1000 / np.median(timed(batch, 20)), 100 / np.median(timed(one_by_one, 10))
    p50, p95, base = np.median(whole) * 1e3, np.quantile(whole, 0.95) * 1e3, np.median(alone) * 1e3
    return [
        row(
            "`predict` of a 400×400 sketch",
            f"{p50:.1f} ms (p50), {p95:.1f} ms (p95)",
            f"the network alone on a ready frame: {base:.1f} ms",
            p50_ms=p50,
            p95_ms=p95,
            network_ms=base,
        ),
        row(
            "frames read a second, in batches of 1,000",
            f"{rate:,.0f}",
            f"{rate / single:.1f} times one by one ({single:,.0f})",
            per_second=rate,
            one_by_one=single,
        ),
    ]


def _file(page: np.ndarray) -> bytes:
    """A page as a JPEG file of 12 megapixels."""
    scale = (12e6 / (page.shape[0] * page.shape[1])) ** 0.5
    page = cv2.resize(page, None, fx=scale, fy=scale)
    return cv2.imencode(".jpg", page[..., ::-1])[1].tobytes()


def photos(frames: torch.Tensor, labels: torch.Tensor) -> list[dict]:
    """Files of 12 megapixels, on one core: one digit, and pages of four lines."""
    model, threads = load_model(), torch.get_num_threads()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    generator = rows.Generator(frames.numpy(), labels.numpy(), seed=5)
    page = "`read` of a 12-megapixel page of 4 × 8 digits"
    found = []
    for what, lengths, spacing, answer in (
        ("`predict` of a 12-megapixel photo, one core", [1], "spaced", model.predict),
        (f"{page}, one core", [8] * 4, "spaced", model.read),
        (f"{page} that touch, one core", [8] * 4, "touching", model.read),
    ):
        kind = rows.Kind("drawn", spacing, "photo")
        files = [_file(generator.row(kind, lengths).picture) for _ in range(PAGES)]
        each = [1e3 * np.median(timed(partial(answer, file), 5)) for file in files]
        base = 1e3 * np.median([timed(partial(open_picture, file), 5) for file in files])
        value = f"{np.median(each):.0f} ms (median of {PAGES}; {min(each):.0f} to {max(each):.0f})"
        against = f"decoding the file alone: {base:.0f} ms"
        found.append(row(what, value, against, each_ms=each, decoding_ms=base))
    torch.set_num_threads(threads)
    return found


def training(frames: torch.Tensor, labels: torch.Tensor) -> list[dict]:
    """A training step against plain fp32, an epoch, and the augmentation's share of it."""
    step, plain = step_seconds(torch.bfloat16, frames, labels), step_seconds(None, frames, labels)
    run = RECIPES["flagship"]
    recipe = replace(run.recipe, batch_size=BATCH, **dict.fromkeys(ADDED, 0))
    run = replace(run, recipe=recipe)
    batches = Batches(run, frames, labels)
    augmenter = Augmenter(run.augmentation)
    start = time.perf_counter()
    for number in range(batches.steps):
        augmenter(frames[number * BATCH : (number + 1) * BATCH].numpy(), (0, 0, number))
    augmenting = time.perf_counter() - start
    engine = Engine(Accelerator(cpu=True), torch.bfloat16, workers=1)
    state = Training(run, batches.steps, engine)
    loader = torch.utils.data.DataLoader(
        batches, batch_size=None, sampler=batches.keys(1), num_workers=1
    )
    before = matrix_rate(torch.bfloat16)
    start = time.perf_counter()
    for batch in loader:
        state.update(*batch)
    epoch = time.perf_counter() - start
    fastest = max(before, matrix_rate(torch.bfloat16))
    # Forward, and backward to inputs and to weights: three times two operations a multiply-add.
    rate = 6 * FLAGSHIP.multiply_adds() * batches.steps * BATCH / epoch
    return [
        row(
            "a flagship training step (batch 256, bf16, channels_last)",
            f"{step * 1e3:.0f} ms",
            f"{plain / step:.1f} times faster than plain fp32 ({plain * 1e3:.0f} ms)",
            ms=step * 1e3,
            fp32_ms=plain * 1e3,
        ),
        row(
            "an epoch of 60,000 frames",
            f"{epoch:.1f} s",
            f"augmenting them takes {augmenting:.1f} s on one core, {augmenting / epoch:.0%} of it",
            seconds=epoch,
            augmentation_share=augmenting / epoch,
        ),
        row(
            "what the training loop makes of the machine, augmentation included",
            f"{rate / 1e9:.0f} GFLOP/s",
            f"{rate / fastest:.0%} of a large bf16 matrix product's {fastest / 1e9:.0f} GFLOP/s",
            flops=rate,
            share=rate / fastest,
        ),
    ]


def matrix_rate(dtype: torch.dtype, side: int = 2048) -> float:
    """Operations a second of a large matrix product, the best of ten."""
    left, right = (torch.randn(side, side).to(dtype) for _ in range(2))
    return 2 * side**3 / timed(lambda: left @ right, 10).min()


def step_seconds(amp: torch.dtype | None, frames: torch.Tensor, labels: torch.Tensor) -> float:
    model = MnistCNN(FLAGSHIP).train()
    if amp is None:
        model = model.to(memory_format=torch.contiguous_format)
    optimizer = torch.optim.AdamW(model.parameters())

    def step() -> None:
        with torch.autocast("cpu", amp or torch.bfloat16, enabled=amp is not None):
            logits = model(frames[:BATCH])
        F.cross_entropy(logits.float(), labels[:BATCH]).backward()
        optimizer.step()
        optimizer.zero_grad()

    return float(np.median(timed(step, 30)))


def timed(function: Callable[[], object], times: int = 200) -> np.ndarray:
    """Seconds of each call, after a few to warm up."""
    for _ in range(max(3, times // 10)):
        function()
    seconds = np.empty(times)
    for index in range(times):
        start = time.perf_counter()
        function()
        seconds[index] = time.perf_counter() - start
    return seconds


if __name__ == "__main__":
    sys.exit(main())
