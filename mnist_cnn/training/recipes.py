"""How networks are trained, as data: `RECIPES` holds the runs that have a name."""

import dataclasses
from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from mnist_cnn import data
from mnist_cnn.config import FLAGSHIP, PRESETS, SPEED, TINY, Config, checked
from mnist_cnn.data import Augmentation

ADDED = ("drawn_digits", "reinked_digits", "nondigits", "candidates")  # made by the program

Share = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]


@checked()
class Recipe:
    """How to train, apart from the network and the augmentation."""

    dataset: str = "mnist"  # a name, folder:DIR, or synthetic (drawn by the program, no files)
    skip_unreadable: bool = False  # leave out files of folder:DIR that are no picture with ink
    init_from: str = ""  # weights to start from: bundled, a folder, or USER/NAME[@REVISION]
    drawn_digits: NonNegativeInt = 0  # pen-stroke digits, drawn by the program, added to the data
    reinked_digits: NonNegativeInt = 0  # digits drawn again from their skeletons, added too
    nondigits: NonNegativeInt = 0  # letters, signs, shapes, scribbles and pieces, added too
    candidates: NonNegativeInt = 0  # whole and broken digits, cut out of drawn lines, added too
    # how much of what is added an epoch sees, another part each time
    added_share: Annotated[float, Field(gt=0, le=1)] = 1.0
    nondigit_weight: NonNegative = 0.5  # of their loss, beside the digits'
    refused: Share = 0.005  # share of the validation digits that may be refused as no digit
    val_size: NonNegativeInt = 5000  # training frames held out to watch the run; 0: train on all
    epochs: PositiveInt = 20  # passes over the training frames
    batch_size: PositiveInt = 256  # frames in a step, over all processes together
    loss: Literal["cross-entropy", "squared"] = "cross-entropy"  # squared: of the probabilities
    optimizer: Literal["adamw", "adam", "sgd"] = "adamw"  # sgd: with Nesterov momentum of 0.9
    lr: Positive = 3e-3  # highest learning rate
    beta1: Share = 0.9  # decay of Adam's mean gradient
    beta2: Share = 0.99  # decay of Adam's mean squared gradient
    weight_decay: NonNegative = 0.02  # on convolution and fully connected weights only
    schedule: Literal["onecycle", "constant"] = "onecycle"  # onecycle: Smith and Topin 2018
    warmup: Share = 0.15  # share of the steps before the highest learning rate
    cycle_momentum: bool = False  # onecycle also lowers momentum while the learning rate is high
    label_smoothing: Share = 0.05  # share of the wanted answer that goes to all classes
    grad_clip: NonNegative = 1.0  # largest gradient norm; 0 is off
    ema: Share = 0.999  # decay of the averaged weights, which are the result; 0 is off
    patience: NonNegativeInt = 0  # epochs without a better validation accuracy, then stop; 0 is off

    def __post_init__(self) -> None:
        """Refuse what contradicts itself."""
        data.check(self.dataset)
        if self.patience and not self.val_size:
            raise ValueError(
                "patience needs a validation split: set val_size as well, or patience 0"
            )
        if self.loss == "squared" and self.label_smoothing:
            raise ValueError("label_smoothing is part of cross-entropy: pass --label-smoothing 0")
        if self.cycle_momentum and self.schedule != "onecycle":
            raise ValueError("cycle_momentum goes with --schedule onecycle")
        if self.skip_unreadable and not data.is_folder(self.dataset):
            raise ValueError("skip_unreadable goes with --dataset folder:DIR")

    @property
    def added(self) -> int:
        """How many frames the program makes and adds to the training frames."""
        return sum(getattr(self, name) for name in ADDED)

    @property
    def added_seen(self) -> int:
        """How many of them an epoch sees."""
        return round(self.added_share * self.added)


@checked()
class Run:
    """Everything that decides the result of a run; kept in its report and its checkpoint."""

    name: str  # of the recipe
    seed: Annotated[int, Field(ge=0, lt=2**63)]  # decides everything
    recipe: Recipe
    config: Config
    augmentation: Augmentation


NO_AUGMENTATION = Augmentation(
    p_affine=0, p_elastic=0, p_grid=0, p_brightness=0, p_stroke=0, p_erase=0
)
_PLAIN = Recipe(
    optimizer="adam",
    beta2=0.999,
    schedule="constant",
    weight_decay=0,
    label_smoothing=0,
    grad_clip=0,
    ema=0,
)

# `wide-5x5` to `sgd` are the five public projects that this one replaces. Where they give no
# detail, the plainest reading is taken: PyTorch's defaults, 5,000 training frames held out,
# and for SGD Nesterov momentum 0.9.
_PARTS: dict[str, tuple[Recipe, Config, Augmentation]] = {
    # 2,000 training digits are kept back: temperature and threshold are fitted on them.
    "flagship": (
        Recipe(
            epochs=46, drawn_digits=40_000, reinked_digits=20_000, nondigits=30_000,
            candidates=30_000, added_share=0.25, val_size=2000,
        ),
        FLAGSHIP,
        Augmentation(),
    ),
    # 99 % in one epoch, in the fewest seconds of a CPU. Adam forgets fast: there are 234 steps.
    "speed": (
        Recipe(
            val_size=0, epochs=1, lr=0.01, beta1=0.7, beta2=0.9, weight_decay=0, warmup=0.3,
            grad_clip=0, ema=0,
        ),
        SPEED,
        NO_AUGMENTATION,
    ),
    "tiny": (
        Recipe(epochs=60, lr=0.01, weight_decay=0.005, label_smoothing=0.02),
        TINY,
        Augmentation(
            rotate=12, shift=0.07, scale=0.12, shear=8, p_elastic=0.2, p_grid=0.1, p_brightness=0,
            p_stroke=0.05, p_erase=0,
        ),
    ),
    "wide-5x5": (
        dataclasses.replace(_PLAIN, lr=3e-4, epochs=20, batch_size=64),
        PRESETS["wide-5x5"],
        NO_AUGMENTATION,
    ),
    # Mixed precision is train.py's default. OneCycleLR takes the place of the optimiser's own
    # learning rate of 1e-3. Quarter turns (--p-rotate90) are off: they make 6 and 9 the same.
    "deep-dropout": (
        dataclasses.replace(
            _PLAIN, optimizer="adamw", lr=0.01, weight_decay=0.01, schedule="onecycle",
            warmup=0.3, cycle_momentum=True, epochs=30, batch_size=64, grad_clip=1.0,
        ),
        PRESETS["deep-dropout"],
        Augmentation(p_affine=1, rotate=15, shift=0, scale=0, shear=0, p_stroke=0, p_erase=0),
    ),
    "notebook": (
        dataclasses.replace(_PLAIN, lr=1e-3, epochs=5, batch_size=64),
        PRESETS["notebook"],
        NO_AUGMENTATION,
    ),
    "compact": (
        dataclasses.replace(_PLAIN, lr=1e-3, epochs=10, batch_size=100),
        PRESETS["compact"],
        NO_AUGMENTATION,
    ),
    "sgd": (
        dataclasses.replace(_PLAIN, optimizer="sgd", lr=0.01, epochs=10, batch_size=64),
        PRESETS["sgd"],
        NO_AUGMENTATION,
    ),
}  # fmt: skip
RECIPES = {
    name: Run(name=name, seed=0, recipe=recipe, config=config, augmentation=augmentation)
    for name, (recipe, config, augmentation) in _PARTS.items()
}
