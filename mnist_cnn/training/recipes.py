"""How networks are trained, as data: `RECIPES` names a recipe, a network and an augmentation."""

import dataclasses
from dataclasses import dataclass

from mnist_cnn import data
from mnist_cnn.config import FLAGSHIP, PRESETS, SPEED, TINY, Config
from mnist_cnn.data import Augmentation

OPTIMIZERS = ("adamw", "adam", "sgd")
SCHEDULES = ("onecycle", "constant")
LOSSES = ("cross-entropy", "squared")
ADDED = ("drawn_digits", "reinked_digits", "nondigits", "candidates")  # made by the program


@dataclass(frozen=True)
class Recipe:
    """How to train, apart from the network and the augmentation."""

    dataset: str = "mnist"  # a name, folder:DIR, or synthetic (drawn by the program, no files)
    skip_unreadable: bool = False  # leave out files of folder:DIR that are no picture with ink
    init_from: str = ""  # weights to start from: bundled, a folder, or USER/NAME[@REVISION]
    drawn_digits: int = 0  # pen-stroke digits, drawn by the program, added to the training frames
    reinked_digits: int = 0  # training digits drawn again from their skeletons, added too
    nondigits: int = 0  # letters, signs, shapes, scribbles and pieces, added too
    candidates: int = 0  # whole and broken digits, cut out of drawn lines, added too
    added_share: float = 1.0  # how much of what is added an epoch sees, another part each time
    nondigit_weight: float = 0.5  # of their loss, beside the digits'
    refused: float = 0.005  # share of the validation digits that may be refused as no digit
    val_size: int = 5000  # training frames held out to watch the run; 0 trains on all of them
    epochs: int = 20  # passes over the training frames
    batch_size: int = 256  # frames in a step, over all processes together
    loss: str = "cross-entropy"  # one of cross-entropy, squared (of the probabilities)
    optimizer: str = "adamw"  # one of adamw, adam, sgd (Nesterov momentum 0.9)
    lr: float = 3e-3  # highest learning rate
    beta1: float = 0.9  # decay of Adam's mean gradient
    beta2: float = 0.99  # decay of Adam's mean squared gradient
    weight_decay: float = 0.02  # on convolution and fully connected weights only
    schedule: str = "onecycle"  # one of onecycle (Smith and Topin 2018), constant
    warmup: float = 0.15  # share of the steps before the highest learning rate
    cycle_momentum: bool = False  # onecycle also lowers momentum while the learning rate is high
    label_smoothing: float = 0.05  # in [0, 1)
    grad_clip: float = 1.0  # largest gradient norm; 0 is off
    ema: float = 0.999  # decay of the averaged weights, which are the result; 0 is off
    patience: int = 0  # stop after so many epochs without a better validation accuracy; 0 is off

    def __post_init__(self) -> None:
        data.check(self.dataset)
        choices = {"optimizer": OPTIMIZERS, "schedule": SCHEDULES, "loss": LOSSES}
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ValueError(
                    f"unknown {name} {getattr(self, name)!r}; choose one of {', '.join(allowed)}"
                )
        for name in ("epochs", "batch_size", "lr"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must be more than 0, got {getattr(self, name)}")
        others = ("nondigit_weight", "val_size", "weight_decay", "grad_clip", "patience")
        for name in (*ADDED, *others):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        for name in ("label_smoothing", "ema", "beta1", "beta2", "warmup", "refused"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must lie in [0, 1), got {getattr(self, name)}")
        if not 0 < self.added_share <= 1:
            raise ValueError(f"added_share must lie in (0, 1], got {self.added_share}")
        self._check_together()

    @property
    def added(self) -> int:
        """How many frames the program makes and adds to the training frames."""
        return sum(getattr(self, name) for name in ADDED)

    @property
    def added_seen(self) -> int:
        """How many of them an epoch sees."""
        return round(self.added_share * self.added)

    def _check_together(self) -> None:
        """Flags that contradict each other."""
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


@dataclass(frozen=True)
class Run:
    """Everything that decides the result of a run; kept in its report and its checkpoint."""

    name: str
    seed: int
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
RECIPES: dict[str, tuple[Recipe, Config, Augmentation]] = {
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
