import dataclasses
import json

import albumentations as A
import numpy as np
import pytest
from torch.utils.data import DataLoader

from mnist_cnn.data.augmentation import Augmentation
from mnist_cnn.data.augmenter import Augmenter
from mnist_cnn.data.drawn import strokes
from mnist_cnn.training.recipes import ADDED, NO_AUGMENTATION, RECIPES
from mnist_cnn.training.state import Batches


@pytest.fixture(scope="module")
def augmenter():
    return Augmenter(Augmentation())


def test_the_key_decides(augmenter, frames):
    once = augmenter(frames, (0, 3, 5))
    assert once.shape == frames.shape
    assert once.dtype == np.uint8
    assert (once == augmenter(frames, (0, 3, 5))).all()
    assert (once == Augmenter(Augmentation())(frames, (0, 3, 5))).all()
    for other in [(1, 3, 5), (0, 4, 5), (0, 3, 6)]:
        changed = (once != augmenter(frames, other)).any((1, 2)).mean()
        assert changed > 0.9, other


def test_frames_are_changed_and_still_there(augmenter, frames):
    result = augmenter(frames, (0, 0, 0))
    assert (result != frames).any((1, 2)).mean() > 0.7
    assert (result.max((1, 2)) > 100).all()


def test_groups_do_not_share_one_transform(augmenter):
    same = np.repeat(strokes.draw_frames(1, seed=0)[0], 64, axis=0)
    groups = augmenter(same, (0, 0, 0)).reshape(8, 8, -1)
    assert len(np.unique(groups[:, 0], axis=0)) >= 7


def test_the_optional_quarter_turn_is_off():
    kinds = {type(transform) for transform in Augmentation().compose().transforms}
    assert A.RandomRotate90 not in kinds
    assert kinds >= {A.Affine, A.ElasticTransform, A.GridDistortion, A.RandomBrightnessContrast}
    assert kinds >= {A.OneOf, A.CoarseDropout}
    turned = Augmentation(p_rotate90=0.5).compose().transforms
    assert A.RandomRotate90 in {type(transform) for transform in turned}


def test_none_at_all_leaves_frames_alone(frames):
    assert (Augmenter(NO_AUGMENTATION)(frames, (0,)) == frames).all()


def test_unknown_arguments_are_errors(monkeypatch):
    with pytest.raises(ValueError, match="blur is not known"):
        Augmentation(blur=1)
    # Albumentations itself only warns.
    monkeypatch.setattr(Augmentation, "_transforms", lambda self: [A.Affine(cval=0, p=1)])
    with pytest.raises(ValueError, match="cval"):
        Augmentation().compose()


def test_values_that_make_no_sense_are_errors():
    for values, needed in (
        ({"p_affine": 2}, "p_affine must be at most 1, got 2"),
        ({"rotate": float("nan")}, "rotate must be a finite number"),
        ({"scale": 2}, "scale must be at most 0.99, got 2"),
        ({"shift": float("inf")}, "shift must be a finite number"),
        ({"shear": -1}, "shear must be at least 0, got -1"),
    ):
        with pytest.raises(ValueError, match=needed):
            Augmentation(**values)


def test_the_saved_pipeline_is_the_same_pipeline(augmenter, frames, tmp_path):
    augmenter.save(tmp_path / "augmentation.json")
    loaded = A.from_dict(json.loads((tmp_path / "augmentation.json").read_text()))
    ours = Augmentation().compose()
    for pipeline in (loaded, ours):
        pipeline.set_random_seed(9)
    assert (loaded(images=frames[:8])["images"] == ours(images=frames[:8])["images"]).all()


def test_workers_and_epochs_draw_anew_and_runs_repeat(frames):
    """Two worker processes give the batches of none; no two batches share their transforms."""
    import torch

    run, none = RECIPES["flagship"], dict.fromkeys(ADDED, 0)
    recipe = dataclasses.replace(run.recipe, batch_size=20, **none)
    run = dataclasses.replace(run, recipe=recipe)
    same = torch.from_numpy(np.repeat(frames[:1], 100, axis=0))
    batches = Batches(run, same, torch.zeros(100))
    keys = list(batches.keys(2))
    alone, shared = (
        np.stack([batch for batch, _ in DataLoader(batches, None, sampler=keys, num_workers=n)])
        for n in (0, 2)
    )
    assert (alone == shared).all()
    assert len(np.unique(alone[:, 0].reshape(10, -1), axis=0)) >= 9


def test_an_epoch_sees_every_digit_and_another_share_of_what_is_added():
    """Of 40 frames the last 30 are added ones, and an epoch takes a third of those: 20 frames."""
    import torch

    run, added = RECIPES["flagship"], dict.fromkeys(ADDED, 0) | {"nondigits": 30}
    recipe = dataclasses.replace(run.recipe, batch_size=20, added_share=1 / 3, **added)
    run = dataclasses.replace(run, recipe=recipe, augmentation=NO_AUGMENTATION)
    numbered = torch.arange(40, dtype=torch.uint8)[:, None, None].expand(40, 28, 28)
    batches = Batches(run, numbered, torch.zeros(40))
    assert batches.steps == 1
    seen = [set(batches[epoch, 0][0][:, 0, 0].tolist()) for epoch in range(4)]
    assert all(len(epoch) == 20 and epoch >= set(range(10)) for epoch in seen)
    assert len(set.union(*seen)) > 30
