"""Applies an `Augmentation` to batches of frames, the same for the same key in any process."""

import json
from pathlib import Path

import cv2
import numpy as np

from mnist_cnn.data.augmentation import Augmentation

# Training already uses every core; OpenCV's own threads would only wait on each other.
cv2.setNumThreads(0)

# Frames that share one drawn transform. Drawing is most of the cost: 8 frames at a time cost about
# an eighth, and a batch of 256 still sees 32 different transforms.
GROUP = 8


class Augmenter:
    """Applies an `Augmentation`, drawing anew for every key.

    The same key gives the same result in any process, so that runs repeat and workers never copy
    each other (Albumentations 2.0.8 gives every data-loader worker one and the same stream).
    """

    def __init__(self, augmentation: Augmentation) -> None:
        self.compose = augmentation.compose()

    def __call__(self, frames: np.ndarray, key: tuple[int, ...]) -> np.ndarray:
        """Augment `(N, 28, 28)` uint8 frames; `key` holds ints ≥ 0 such as (seed, epoch)."""
        if not self.compose.transforms:
            return frames
        self.compose.set_random_seed(int(np.random.SeedSequence(key).generate_state(1)[0]))
        groups = [
            self.compose(images=frames[start : start + GROUP])["images"]
            for start in range(0, len(frames), GROUP)
        ]
        return np.concatenate(groups)

    def save(self, file: Path) -> None:
        """Write the pipeline as JSON; `albumentations.from_dict` builds it again."""
        text = json.dumps(self.compose.to_dict(), indent=2) + "\n"
        file.write_text(text, encoding="utf-8")
