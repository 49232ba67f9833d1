"""`Report`: how weights were made and how well they do; `report.json`, checked once as it is read.

What lies beside weights may come from a stranger: whoever holds a `Report` need not look again.
"""

import dataclasses
import json
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, NonNegativeInt, PositiveInt, TypeAdapter, ValidationError

from mnist_cnn.config import checked, sentence

Share = Annotated[float, Field(ge=0, le=1)]


@checked(unknown="ignore")
class Evaluation:
    """How a model did on `n` frames. Rates and confidences lie in [0, 1]."""

    accuracy: Share
    errors: NonNegativeInt
    n: PositiveInt
    wrong: tuple[NonNegativeInt, ...] = ()  # which frames the errors are; old reports do not say
    interval: tuple[Share, Share]  # Wilson 95 % interval of the accuracy
    per_class: dict[str, Share]  # accuracy on the frames of each class
    per_class_n: dict[str, PositiveInt] = dataclasses.field(default_factory=dict)  # its frames
    ece: Share  # expected calibration error, 15 bins (Guo et al. 2017, arXiv 1706.04599)
    loss: float  # mean cross-entropy, in nats
    seconds: float
    errors_outside_doubtful: NonNegativeInt | None = None  # of MNIST's test set only

    def __post_init__(self) -> None:
        if self.errors > self.n:
            raise ValueError(f"errors must be at most n, got {self.errors} of {self.n}")


@checked(unknown="ignore")
class Epoch:
    """Means over the frames of one epoch."""

    epoch: PositiveInt  # counted from 1
    frames: PositiveInt | None = None
    loss: float
    accuracy: Share
    seconds: float  # in training steps
    lr: float  # after the last step
    val_loss: float | None = None
    val_accuracy: Share | None = None


@checked(unknown="ignore")
class Seconds:
    """What a run took."""

    epochs: float  # in training steps
    total: float  # with drawing, validation and saving


@checked(unknown="ignore")
class Machine:
    """What a run was made on."""

    processor: str
    threads: PositiveInt
    device: str  # "cpu", or the GPU's name


@checked(unknown="ignore")
class Before:
    """How the weights that fine-tuning began with do on the same test set."""

    weights: str  # where they came from, in words
    test: Evaluation


@checked(unknown="ignore")
class Report:
    """Everything that is known about weights. What an older trainer did not write is None."""

    name: str  # of the recipe
    seed: NonNegativeInt
    recipe: dict[str, Any]
    config: dict[str, Any]
    augmentation: dict[str, Any]
    command: str  # that makes these weights again
    parameters: PositiveInt
    multiply_adds: PositiveInt  # of one frame
    git_commit: str | None = None  # of the code; None outside a checkout
    training_frames: PositiveInt
    seconds: Seconds
    history: tuple[Epoch, ...] = ()
    validation: Evaluation | None = None  # None where no frames were held out
    precision: str  # of the training steps: float32, bfloat16 or float16
    processes: PositiveInt | None = None
    machine: Machine
    versions: dict[str, str]  # of Python and the packages that a result may depend on
    finished: str | None = None  # year-month-day
    test: Evaluation
    before: Before | None = None  # None for weights that were not fine-tuned

    def __post_init__(self) -> None:
        if not isinstance(self.dataset, str):
            raise ValueError(f"recipe.dataset must be a name, got {self.dataset!r:.80}")

    @property
    def dataset(self) -> str:
        """The data set that the weights were trained on, as `--dataset` takes it; "" if unknown."""
        name: str = self.recipe.get("dataset", "")
        return name

    @classmethod
    def read(cls, file: Path, where: str) -> Self:
        """Read `report.json`.

        Args:
            file: the file to read.
            where: the weights that it lies beside, in words, for the error's message.

        Raises:
            ValueError: not a report, or its numbers make no sense.
        """
        try:
            content = file.read_bytes()
        except OSError as error:
            raise ValueError(f"cannot read {file.name} of {where}: {error}") from error
        return cls.from_json(content, where)

    @classmethod
    def from_json(cls, content: bytes, where: str) -> Self:
        """Read the content of `report.json`; see `read`."""
        try:
            return TypeAdapter(cls).validate_json(content)
        except ValidationError as error:
            raise ValueError(f"cannot use report.json of {where}: {sentence(error)}") from None

    def to_json(self) -> str:
        """The text of `report.json`; what is None is left out."""
        values = dataclasses.asdict(self, dict_factory=_without_none)
        return json.dumps(values, indent=2, ensure_ascii=False) + "\n"

    def write(self, file: Path) -> None:
        """Write `report.json`."""
        file.write_text(self.to_json(), encoding="utf-8")


def _without_none(fields: list[tuple[str, Any]]) -> dict[str, Any]:
    return {name: value for name, value in fields if value is not None}
