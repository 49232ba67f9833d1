"""The trainer's flags: every field of recipe, network and augmentation is one."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin

import tyro
from tyro.conf import OmitArgPrefixes, Suppress, UseAppendAction, arg
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

from mnist_cnn import data
from mnist_cnn.config import Config
from mnist_cnn.data import Augmentation
from mnist_cnn.training.recipes import ADDED, RECIPES, Recipe, Run

if TYPE_CHECKING:
    RecipeName = str
else:
    RecipeName = tyro.extras.literal_type_from_choices(RECIPES)


@dataclass(frozen=True)
class Start:
    """What gives all other flags their defaults: a recipe, or a run that was stopped."""

    name: Annotated[RecipeName, arg(name="recipe")] = "flagship"  # --help shows its defaults
    # go on with the stopped run in this folder
    resume: Annotated[Path | None, arg(metavar="RUN", help_behavior_hint="")] = None


@dataclass(frozen=True)
class NetworkFlags(Config):
    """What is no flag: the data, or its validation digits after training, decide it."""

    class_names: Suppress[tuple[str, ...]] = Config.class_names
    mean: Suppress[float] = Config.mean
    std: Suppress[float] = Config.std
    temperature: Suppress[float] = Config.temperature
    threshold: Suppress[float] = Config.threshold
    version: Suppress[int] = Config.version

    def __post_init__(self) -> None:
        """Checked as a `Config`, by `Flags.run`."""


FROM_THE_DATA = tuple(NetworkFlags.__annotations__)


@dataclass(frozen=True)
class Flags(Start):
    """Train a network."""

    # run folder
    out: Annotated[
        Path | None, arg(metavar="DIR", help_behavior_hint="(default: runs/RECIPE-seedN)")
    ] = None
    data_dir: Annotated[Path, arg(metavar="DIR")] = Path("data")  # where data lies, or will lie
    seed: int = 0  # decides everything
    device: str = "auto"  # auto, cpu, cuda, cuda:1, mps
    amp: Literal["auto", "bf16", "fp16", "off"] = "auto"  # mixed precision
    # processes that augment
    workers: Annotated[
        int | None, arg(metavar="N", help_behavior_hint="(default: 1, or 0 if nothing does)")
    ] = None
    # who watches: tensorboard, wandb, …
    track: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="NAME")] = ()
    # publish the run when it is done
    push_to_hub: Annotated[str, arg(metavar="USER/NAME", help_behavior_hint="")] = ""
    recipe: Recipe = RECIPES["flagship"].recipe  # how to train
    network: NetworkFlags = NetworkFlags()  # what is trained
    augmentation: Augmentation = RECIPES["flagship"].augmentation  # p_…: how often each is drawn

    def run(self) -> Run:
        network = {field.name: getattr(self.network, field.name) for field in fields(Config)}
        return Run(
            name=self.name,
            seed=self.seed,
            recipe=self.recipe,
            config=Config(**network),
            augmentation=self.augmentation,
        )


def flags_of(run: Run, **others: Any) -> Flags:
    """The flags whose `run` this is."""
    network = {field.name: getattr(run.config, field.name) for field in fields(Config)}
    return Flags(
        name=run.name,
        seed=run.seed,
        recipe=run.recipe,
        network=NetworkFlags(**network),
        augmentation=run.augmentation,
        **others,
    )


def parse(words: Sequence[str] | None = None) -> Flags:
    """The command line as flags.

    Raises:
        SystemExit: after `--help`, or what is wrong with it.
        ValueError: what `--resume` names cannot go on, or not with these flags.
    """
    start, _ = tyro.cli(Start, args=words, add_help=False, return_unknown_args=True)
    if start.resume:
        from mnist_cnn.training import checkpoint

        begun = checkpoint.read(start.resume)
        usual = flags_of(begun.run, resume=start.resume, out=start.resume, amp=begun.amp)
    else:
        usual = flags_of(RECIPES[start.name])
    flags = tyro.cli(
        Flags,
        prog="train.py",
        args=words,
        default=usual,
        registry=_registry(),
        config=(OmitArgPrefixes,),
    )
    if flags.workers is not None and flags.workers < 0:
        raise ValueError(f"--workers must not be negative, got {flags.workers}")
    if start.resume:
        _refuse_change(flags, usual)
    return flags


def _registry() -> ConstructorRegistry:
    """How tyro takes tuples of numbers: `16,32`."""
    registry = ConstructorRegistry()

    @registry.primitive_rule
    def commas(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec | None:
        items = [get_args(item)[0] if get_args(item) else item for item in get_args(info.type)]
        if get_origin(info.type) is not tuple or int not in items:
            return None
        return PrimitiveConstructorSpec(
            nargs=1,
            metavar="N,N,…",
            instance_from_str=lambda words: _numbers(words[0]),
            is_instance=lambda value: isinstance(value, tuple),
            str_from_instance=lambda value: [text_of(value)],
        )

    return registry


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(",")) if text else ()
    except ValueError as error:
        raise ValueError(f"{text!r} is no list such as 16,32") from error


def text_of(value: Any) -> str:
    """A value as it is written behind its flag."""
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _changed(values: Any, usual: Any) -> dict[str, tuple[Any, Any]]:
    """Which flags of one group differ: what they are, and what is usual."""
    pairs = {
        field.name: (getattr(values, field.name), getattr(usual, field.name))
        for field in fields(usual)
        if field.name not in FROM_THE_DATA
    }
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _refuse_change(flags: Flags, begun: Flags) -> None:
    """A stopped run goes on as it began."""
    changed = {
        **_changed(flags.recipe, begun.recipe),
        **_changed(flags.network, begun.network),
        **_changed(flags.augmentation, begun.augmentation),
        "recipe": (flags.name, begun.name),
        **{name: (getattr(flags, name), getattr(begun, name)) for name in ("seed", "amp", "out")},
    }
    differing = [
        f"{_flag(name)} is {text_of(there)} there, {text_of(here)} here"
        for name, (here, there) in changed.items()
        if here != there
    ]
    if differing:
        raise ValueError(
            f"--resume goes on as {begun.out} began; leave out what differs: {'; '.join(differing)}"
        )


def decide(flags: Flags) -> Run:
    """The run that flags ask for, with what its data set and its first weights decide."""
    run, usual = flags.run(), RECIPES[flags.name]
    asked = {
        **_changed(run.recipe, usual.recipe),
        **_changed(run.augmentation, usual.augmentation),
    }
    if run.recipe.init_from:
        if given := _changed(run.config, usual.config):
            raise ValueError(
                f"{', '.join(map(_flag, given))} cannot go with --init-from, "
                "which brings its network"
            )
        from mnist_cnn.training.state import weights_of

        run = replace(run, config=weights_of(run.recipe.init_from).config)
    names = data.class_names(run.recipe.dataset)
    if names != data.DIGITS:
        if drawn := [_flag(name) for name in ADDED if name in asked and asked[name][0]]:
            raise ValueError(
                f"{', '.join(drawn)} cannot go with --dataset {run.recipe.dataset}: only digits "
                "are drawn, and its classes are others"
            )
        none_added: dict[str, Any] = dict.fromkeys(ADDED, 0)
        run = replace(run, recipe=replace(run.recipe, **none_added, added_share=1.0))
    _refuse_idle(run, {name: value for name, (value, _) in asked.items()})
    if names != run.config.class_names:  # what was fitted for other classes tells nothing here
        config = replace(run.config, class_names=names, temperature=1.0, threshold=0.0)
        run = replace(run, config=config)
    return run


def _refuse_idle(run: Run, asked: dict[str, Any]) -> None:
    """Refuse flags that another setting switches off, unless they ask for what is usual."""
    recipe = run.recipe
    usual = {field.name: field.default for kind in (Recipe, Augmentation) for field in fields(kind)}
    off = (
        (("beta1", "beta2"), recipe.optimizer == "sgd", "--optimizer sgd"),
        (("warmup",), recipe.schedule == "constant", "--schedule constant"),
        (("added_share",), not recipe.added, "no added frames"),
        (("nondigit_weight",), not recipe.nondigits + recipe.candidates, "no added non-digits"),
        (("refused",), not recipe.nondigits, "--nondigits 0"),
        (("rotate", "shift", "scale", "shear"), not run.augmentation.p_affine, "--p-affine 0"),
    )
    for names, is_off, because in off:
        given = [_flag(name) for name in names if asked.get(name, usual[name]) != usual[name]]
        if is_off and given:
            raise ValueError(
                f"{', '.join(given)} does nothing with {because}: leave one of them out"
            )


def repeat(run: Run, amp: str, program: str) -> str:
    """The command line that repeats a run: its recipe, and the flags that differ from it.

    Precision is always named: what `--amp auto` takes depends on the machine.
    """
    words, usual = [program, f"--recipe {run.name}", f"--seed {run.seed}"], RECIPES[run.name]
    changed = _changed(run.recipe, usual.recipe) | _changed(run.augmentation, usual.augmentation)
    if not run.recipe.init_from:  # else the network is that of the weights
        changed |= _changed(run.config, usual.config)
    for name, (value, _) in changed.items():
        if isinstance(value, bool):
            words.append(_flag(name) if value else f"--no-{_flag(name)[2:]}")
        else:
            words.append(f"{_flag(name)} {shlex.quote(text_of(value))}")
    return " ".join([*words, f"--amp {amp}"])


def go_on(flags: Flags, folder: Path, program: str) -> str:
    """The command line that goes on with a stopped run, on the same data and device."""
    words = [program, "--resume", shlex.quote(str(folder))]
    for name in ("data_dir", "device", "workers", "track", "push_to_hub"):
        value = getattr(flags, name)
        if value != getattr(Flags, name):
            for each in value if isinstance(value, tuple) else [value]:
                words += [_flag(name), shlex.quote(str(each))]
    return " ".join(words)
