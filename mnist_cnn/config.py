"""Settings that are checked as they are made: `checked` for any, `Config` for a network.

Nothing here needs PyTorch, so that a command line can name every setting at once.
"""

import dataclasses
import functools
import json
import reprlib
from collections.abc import Callable
from typing import Annotated, Any, Literal, Self, TypeVar, dataclass_transform

from pydantic import ConfigDict, Field, ValidationError
from pydantic.dataclasses import dataclass

CONFIG_VERSION = 1
MAX_PARAMETERS = 50_000_000
MAX_MAP = 500_000  # values in one feature map of one frame: 2 MB, or 2 GB in a batch of 1,000

Kernel = Annotated[int, Field(ge=1, le=27)]  # pixels; the frame has 28
Channels = Annotated[
    tuple[Annotated[int, Field(ge=1, le=4096)], ...], Field(min_length=1, max_length=16)
]
Widths = Annotated[tuple[Annotated[int, Field(ge=1, le=16_384)], ...], Field(max_length=8)]
Dropout = Annotated[float, Field(ge=0, le=0.99)]
Divisor = Annotated[float, Field(ge=0.01, le=100)]
Nats = Annotated[float, Field(ge=0, le=100)]
Name = Annotated[str, Field(min_length=1, max_length=100)]
Names = Annotated[tuple[Name, ...], Field(min_length=2, max_length=1000)]

T = TypeVar("T")


@dataclass_transform(frozen_default=True, kw_only_default=True)
def checked(unknown: Literal["forbid", "ignore"] = "forbid") -> Callable[[type[T]], type[T]]:
    """A frozen dataclass that raises `ValueError` where a value is not what its field says.

    Nothing is converted but whole numbers to floats. A `ValueError` of the class's own
    `__post_init__` comes through as it is.

    Args:
        unknown: what happens to values that no field has the name of.
    """
    config = ConfigDict(strict=True, extra=unknown, allow_inf_nan=False)

    def decorate(cls: type[T]) -> type[T]:
        made: Any = dataclass(frozen=True, kw_only=True, config=config)(cls)
        init = made.__init__

        @functools.wraps(init)
        def __init__(self: T, *args: Any, **values: Any) -> None:  # noqa: N807
            try:
                init(self, *args, **values)
            except ValidationError as error:
                raise ValueError(sentence(error)) from None

        made.__init__ = __init__
        result: type[T] = made
        return result

    return decorate


def sentence(error: ValidationError) -> str:
    """What is wrong, in one sentence: the first field, what it needs, and what came."""
    wrong = error.errors(include_url=False)[0]
    if "error" in wrong.get("ctx", {}) and wrong["type"] == "value_error":
        return str(wrong["ctx"]["error"])
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in wrong["loc"])
    name = "".join(parts).removeprefix(".") or "what is read"
    if wrong["type"] == "missing":
        return f"{name} is missing"
    if wrong["type"] == "unexpected_keyword_argument":
        return f"{name} is not known"
    if wrong["type"] == "json_invalid":
        return f"not valid JSON: {wrong['ctx']['error']}"
    _, _, needed = wrong["msg"].partition(" should ")  # "Input should be a valid integer"
    needed = needed.replace("less than or equal to", "at most").replace(" after validation", "")
    needed = needed.replace("greater than or equal to", "at least")
    return f"{name} must {needed}, got {reprlib.repr(wrong['input'])}"


@checked()
class Config:
    """What builds a network; written whole into `config.json`.

    The network is a stack of convolutions, each followed by batch norm (if on) and ReLU, then fully
    connected layers. Anything out of range raises `ValueError` here, before memory is allocated.
    """

    channels: Channels = (32, 32, 64, 96, 128, 160)  # output channels of each convolution
    kernel_sizes: tuple[Kernel, ...] = (3, 3, 3, 3, 3, 3)  # odd, pixels
    same_padding: bool = False  # zero-pad so that a convolution keeps its size; else it shrinks
    pool_after: tuple[int, ...] = (2,)  # convolutions, counted from 1, that a 2×2 max-pool follows
    batch_norm: bool = True  # on convolutions and on the logits
    conv_dropout: Dropout = 0.0  # drops whole channels of the last convolution, in [0, 1)
    hidden: Widths = ()  # widths of the fully connected layers before the output layer
    dropout: Dropout = 0.2  # before the output layer (and between hidden layers), in [0, 1)
    class_names: Names = tuple("0123456789")  # what the outputs stand for
    mean: Annotated[float, Field(ge=0, le=1)] = 0.1307  # of the training frames, in [0, 1]
    std: Annotated[float, Field(ge=1e-3, le=10)] = 0.3081  # of the training frames, too
    temperature: Divisor = 1.0  # divides the logits before softmax; fitted on validation data
    threshold: Nats = 0.0  # least evidence of a digit, in nats; 0 refuses nothing
    version: int = CONFIG_VERSION  # of this schema and of the framing that the weights expect

    def __post_init__(self) -> None:
        _check_version(self.version)
        layers = len(self.channels)
        if len(self.kernel_sizes) != layers or any(k % 2 == 0 for k in self.kernel_sizes):
            raise ValueError(
                f"kernel_sizes must be odd, one for each of {layers} channels, "
                f"got {self.kernel_sizes}"
            )
        if len(self.pool_after) > 4 or not all(1 <= place <= layers for place in self.pool_after):
            raise ValueError(
                f"pool_after must be at most 4 numbers from 1 to {layers}, got {self.pool_after}"
            )
        if len(set(self.class_names)) < len(self.class_names):
            raise ValueError("class_names must all be different")
        if hidden := [name for name in self.class_names if not name.isprintable()]:
            raise ValueError(f"class_names must have printable characters, got {hidden[0]!r}")
        if self.sizes()[-1] < 1:
            raise ValueError(
                f"the frame shrinks to nothing: sizes {self.sizes()} after each convolution. "
                "Use fewer or smaller convolutions, fewer pools, or same_padding."
            )
        if self.parameters() > MAX_PARAMETERS:
            raise ValueError(
                f"this config asks for {self.parameters():,} parameters, "
                f"at most {MAX_PARAMETERS:,} are allowed"
            )
        largest = max(width * positions for _, width, positions in self._layers())
        if largest > MAX_MAP:
            raise ValueError(
                f"this config asks for feature maps of {largest:,} values, "
                f"at most {MAX_MAP:,} are allowed"
            )

    def sizes(self) -> list[int]:
        """Side of the feature map, in pixels, after each convolution and its pool."""
        sizes, size = [], 28
        for layer, kernel in enumerate(self.kernel_sizes, start=1):
            size -= 0 if self.same_padding else kernel - 1
            size //= 2 if layer in self.pool_after else 1
            sizes.append(size)
        return sizes

    def _layers(self) -> list[tuple[int, int, int]]:
        """(inputs per output value, output channels, output positions) of each weight matrix."""
        layers: list[tuple[int, int, int]] = []
        size, before = 28, 1
        for width, kernel, after in zip(
            self.channels, self.kernel_sizes, self.sizes(), strict=True
        ):
            size -= 0 if self.same_padding else kernel - 1
            layers.append((before * kernel**2, width, size * size))
            size, before = after, width
        before *= size * size
        for width in (*self.hidden, len(self.class_names)):
            layers.append((before, width, 1))
            before = width
        return layers

    def multiply_adds(self) -> int:
        """Multiply-adds of one frame's forward pass, convolutions and fully connected layers."""
        return sum(inputs * outputs * positions for inputs, outputs, positions in self._layers())

    def parameters(self) -> int:
        """Number of trainable parameters."""
        weights = sum(inputs * outputs for inputs, outputs, _ in self._layers())
        normed = (*self.channels, len(self.class_names)) if self.batch_norm else ()
        plain = self.hidden if self.batch_norm else [width for _, width, _ in self._layers()]
        return weights + 2 * sum(normed) + sum(plain)

    def to_json(self) -> str:
        """The text of `config.json`."""
        return json.dumps(dataclasses.asdict(self), indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read the text of `config.json`; every field must be there and no other."""
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"config.json is not valid JSON: {error}") from error
        if not isinstance(values, dict):
            raise ValueError(f"config.json must hold an object, got {type(values).__name__}")
        _check_version(values.get("version", CONFIG_VERSION))
        known = {field.name for field in dataclasses.fields(cls)}
        if values.keys() != known:
            missing, extra = sorted(known - values.keys()), sorted(values.keys() - known)
            raise ValueError(
                "config.json does not describe an mnist_cnn model: "
                f"missing {missing or 'nothing'}, not known {extra or 'nothing'}"
            )
        fields: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in values.items()
        }
        return cls(**fields)


def _check_version(version: Any) -> None:
    if version != CONFIG_VERSION:
        raise ValueError(
            f"config version {version!r:.20} is not known here (this package reads version "
            f"{CONFIG_VERSION}). Install the mnist_cnn release that wrote these weights."
        )


# A pyramid of valid convolutions after An et al. 2020 (arXiv 2008.10400), with one early pool that
# makes it about ten times cheaper; the spatial map is kept to the end. Multiples of 16 and 32 fill
# the CPU's vector units.
FLAGSHIP = Config()

# Cheap enough to train in seconds: widths of 16 and 32, because others are several times slower,
# and no batch norm, which takes a fifth of the time.
SPEED = Config(
    channels=(16, 32),
    kernel_sizes=(5, 3),
    pool_after=(1, 2),
    batch_norm=False,
    hidden=(256,),
    dropout=0.0,
)
# At most 16,000 parameters: two pools leave a map of 2×2 for a head of 64 inputs.
TINY = Config(
    channels=(16, 16, 16, 32, 16), kernel_sizes=(3, 3, 3, 3, 3), pool_after=(2, 4), dropout=0.0
)

_PLAIN = Config(
    channels=(32, 64), kernel_sizes=(5, 5), same_padding=True, pool_after=(1, 2), batch_norm=False
)

# The networks of the five public projects that this one replaces.
PRESETS = {
    "wide-5x5": dataclasses.replace(_PLAIN, hidden=(1000,), dropout=0.4),
    "deep-dropout": dataclasses.replace(_PLAIN, hidden=(1024,), dropout=0.5),
    # No details were given: the plainest LeNet pair, with LeNet-5's fully connected widths.
    "notebook": dataclasses.replace(_PLAIN, channels=(6, 16), hidden=(120, 84), dropout=0.0),
    # How much is dropped was not given: with a half, training images miss the 99 % of its claim.
    "compact": dataclasses.replace(
        _PLAIN,
        channels=(10, 20),
        same_padding=False,
        conv_dropout=0.25,
        hidden=(50,),
        dropout=0.25,
    ),
    # No details were given: two 3×3 convolutions and one hidden layer.
    "sgd": dataclasses.replace(_PLAIN, kernel_sizes=(3, 3), hidden=(128,), dropout=0.0),
}
