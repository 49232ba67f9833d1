"""Augmentation: what a hand, a pen and a scanner change about a digit that stays the same digit."""

import dataclasses
import json
import os
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

# Albumentations asks the package index for updates at import unless told not to.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

import albumentations as A
import cv2

# Training already uses every core; OpenCV's own threads would only wait on each other.
cv2.setNumThreads(0)

# Frames that share one drawn transform. Drawing is most of the cost: 8 frames at a time cost about
# an eighth, and a batch of 256 still sees 32 different transforms.
GROUP = 8


@dataclass(frozen=True)
class Augmentation:
    """Which transforms are drawn and how strong they are; `p_…` is the probability of each.

    Raises:
        ValueError: a value out of range, or one that Albumentations does not accept.
    """

    p_affine: float = 0.9
    rotate: float = 15.0  # degrees, ±
    shift: float = 0.1  # of the frame's side, ±
    scale: float = 0.15  # ± around 1
    shear: float = 10.0  # degrees, ±
    p_elastic: float = 0.3
    p_grid: float = 0.2  # grid distortion
    p_brightness: float = 0.2  # brightness and contrast
    p_stroke: float = 0.1  # thicker or thinner strokes, by morphology
    p_erase: float = 0.2  # one 4×4 hole, as in Byerly et al. 2020 (arXiv 2001.09136)
    p_rotate90: float = 0.0  # makes 6 and 9 the same: off unless asked for

    def __post_init__(self) -> None:
        limits = {"rotate": 180, "scale": 0.99, "shear": 80}
        for name, value in dataclasses.asdict(self).items():
            if not 0 <= value <= (most := limits.get(name, 1)):
                raise ValueError(f"{name} must lie in [0, {most}], got {value}")
        self.compose()  # refuses what is wrong here, not when training starts

    def compose(self) -> A.Compose:
        """The Albumentations pipeline for `(N, 28, 28)` uint8 frames."""
        with warnings.catch_warnings():
            # Albumentations only warns about an argument it does not know, and goes on without it.
            warnings.simplefilter("error", UserWarning)
            try:
                return A.Compose([*self._transforms()], seed=0)
            except (UserWarning, ValueError) as error:
                raise ValueError(f"augmentation: {error}") from error

    def _transforms(self) -> list[A.BasicTransform | A.BaseCompose]:
        def morphology(operation: str) -> A.Morphological:
            return A.Morphological(scale=(2, 2), operation=operation, p=1)

        transforms = [
            A.RandomRotate90(p=self.p_rotate90),
            A.Affine(
                rotate=(-self.rotate, self.rotate),
                translate_percent=(-self.shift, self.shift),
                scale=(1 - self.scale, 1 + self.scale),
                shear=(-self.shear, self.shear),
                p=self.p_affine,
            ),
            # sigma is in pixels: the default of 50 moves a 28-pixel frame as one piece.
            A.ElasticTransform(alpha=30, sigma=5, p=self.p_elastic),
            A.GridDistortion(num_steps=4, distort_limit=0.25, p=self.p_grid),
            A.OneOf([morphology("dilation"), morphology("erosion")], p=self.p_stroke),
            A.RandomBrightnessContrast(0.2, 0.2, p=self.p_brightness),
            A.CoarseDropout(
                num_holes_range=(1, 1),
                hole_height_range=(4, 4),
                hole_width_range=(4, 4),
                p=self.p_erase,
            ),
        ]
        return [transform for transform in transforms if transform.p > 0]


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
