"""What a run trains on: frames of the training set, and what the program adds to them."""

import numpy as np
import torch
from torch import Tensor

from mnist_cnn.data.drawn import candidate_frames, damage, nondigit_frames, reink_frames, strokes
from mnist_cnn.training.recipes import Run

NOT_A_DIGIT = -1  # the label of a frame that no class fits
WORN = 0.3  # share of the drawn ink that is damaged; more would teach what nobody can read


def split(run: Run, frames: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Training and validation frames and labels, both cut from the training set.

    What the program draws is added behind the training frames.
    """
    recipe = run.recipe
    if recipe.val_size >= len(frames):
        raise ValueError(
            f"val_size {recipe.val_size} leaves none of {len(frames)} frames to train on; "
            "pass a smaller --val-size"
        )
    total = len(frames) - recipe.val_size + recipe.added_seen
    if recipe.batch_size > total:  # before drawing, which takes a while
        raise ValueError(
            f"batch_size {recipe.batch_size} is larger than the {total} training frames; "
            "pass a smaller --batch-size"
        )
    order = torch.from_numpy(np.random.default_rng(run.seed).permutation(len(frames)))
    held_out, kept = order[: recipe.val_size], order[recipe.val_size :]
    extra_frames, extra_labels = added(run, frames[kept].numpy(), labels[kept].numpy())
    return (
        torch.cat([frames[kept], torch.from_numpy(extra_frames)]),
        torch.cat([labels[kept], torch.from_numpy(extra_labels)]),
        frames[held_out],
        labels[held_out],
    )


def added(run: Run, frames: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The digits and non-digits that the program makes; the latter are `NOT_A_DIGIT`."""
    recipe, seed = run.recipe, run.seed
    drawn, drawn_labels = strokes.draw_frames(recipe.drawn_digits, seed, change=worn)
    rows = np.random.default_rng(seed).integers(0, len(frames), recipe.reinked_digits)
    reinked = reink_frames(frames[rows], seed, change=worn)
    others = nondigit_frames(recipe.nondigits, seed, (frames, labels), change=worn)
    cut, cut_labels = candidate_frames(recipe.candidates, seed, (frames, labels), worn)
    return (
        np.concatenate([drawn, reinked, others, cut]),
        np.concatenate([drawn_labels, labels[rows], np.full(len(others), NOT_A_DIGIT), cut_labels]),
    )


def worn(ink: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Most ink as it is, the rest with what cameras and thresholds do to it."""
    return damage(ink, rng) if rng.random() < WORN else ink
