"""Augmentation: what a hand, a pen and a scanner change about a digit that stays the same digit."""

import os
import warnings
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from mnist_cnn.config import checked

if TYPE_CHECKING:
    import albumentations as A


Probability = Annotated[float, Field(ge=0, le=1)]


@checked()
class Augmentation:
    """Which transforms are drawn and how strong they are; `p_…` is the probability of each.

    Raises:
        ValueError: a value out of range.
    """

    p_affine: Probability = 0.9
    rotate: Annotated[float, Field(ge=0, le=180)] = 15.0  # degrees, ±
    shift: Annotated[float, Field(ge=0, le=1)] = 0.1  # of the frame's side, ±
    scale: Annotated[float, Field(ge=0, le=0.99)] = 0.15  # ± around 1
    shear: Annotated[float, Field(ge=0, le=80)] = 10.0  # degrees, ±
    p_elastic: Probability = 0.3
    p_grid: Probability = 0.2  # grid distortion
    p_brightness: Probability = 0.2  # brightness and contrast
    p_stroke: Probability = 0.1  # thicker or thinner strokes, by morphology
    p_erase: Probability = 0.2  # one 4×4 hole, as in Byerly et al. 2020 (arXiv 2001.09136)
    p_rotate90: Probability = 0.0  # makes 6 and 9 the same: off unless asked for

    def compose(self) -> "A.Compose":
        """The Albumentations pipeline for `(N, 28, 28)` uint8 frames."""
        # It asks the package index for updates at import unless told not to.
        os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
        import albumentations as A

        with warnings.catch_warnings():
            # Albumentations only warns about an argument it does not know, and goes on without it.
            warnings.simplefilter("error", UserWarning)
            try:
                return A.Compose([*self._transforms()], seed=0)
            except (UserWarning, ValueError) as error:
                raise ValueError(f"augmentation: {error}") from error

    def _transforms(self) -> "list[A.BasicTransform | A.BaseCompose]":
        import albumentations as A

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
