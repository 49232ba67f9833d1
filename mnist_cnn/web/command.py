"""The app's command: `python app.py` or `mnist-cnn app`."""

import dataclasses
import logging
import os
import sys
from collections.abc import Sequence
from typing import Annotated

import tyro
from tyro.conf import arg

NAME = "app.py"  # in front of what the app says on the terminal


@dataclasses.dataclass(frozen=True)
class Flags:
    """Draw a digit in the browser and have it read. Programs use the same server."""

    model: Annotated[str | None, arg(metavar="MODEL")] = None
    """folder, or Hub repo USER/NAME[@REVISION]; None: $MNIST_CNN_MODEL, else bundled weights"""
    corrections: Annotated[str | None, arg(metavar="DIR|USER/DATASET")] = None
    """let people say what a digit was, and keep that to train on"""
    host: str = "127.0.0.1"  # this machine alone, until someone asks for more
    """address to listen on; $GRADIO_SERVER_NAME is its default"""
    port: int = 7860  # where Spaces look
    """port to listen on; $GRADIO_SERVER_PORT is its default"""


def main(words: Sequence[str] | None = None) -> int:
    """Serve as the command line says until SIGTERM or Ctrl-C; the exit status."""
    try:
        _serve(_parsed(words))
    except (ValueError, OSError) as error:
        print(f"{NAME}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:  # while libraries are imported, or handed on by uvicorn at the end
        print(f"{NAME}: stopped", file=sys.stderr)
    return 0


def _parsed(words: Sequence[str] | None) -> Flags:
    """
    Raises:
        ValueError: there is no such port.
    """
    usual = Flags(
        model=os.environ.get("MNIST_CNN_MODEL") or None,
        host=os.environ.get("GRADIO_SERVER_NAME", Flags.host),
        port=_port(os.environ.get("GRADIO_SERVER_PORT", str(Flags.port))),
    )
    flags = tyro.cli(Flags, default=usual, args=words, config=(tyro.conf.FlagConversionOff,))
    _port(str(flags.port))
    return flags


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) >= 2**16:
        raise ValueError(f"a port is a number from 0 to 65535, not {text!r}")
    return int(text)


def _serve(flags: Flags) -> None:
    # Seconds; --help and mistakes are answered before.
    from mnist_cnn.web.page import OPTIONS, build
    from mnist_cnn.web.server import Corrections, Readers, Weights, make_app, run

    # One line names the weights and their commit; the libraries' own lines stay out.
    logging.basicConfig(format=f"{NAME}: %(message)s")
    logging.getLogger("mnist_cnn").setLevel(logging.INFO)
    # Its warnings hold addresses of files, which are as good as a token for some minutes.
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    weights = Weights.of(flags.model)
    names = weights.model.config.class_names
    corrections = Corrections(flags.corrections, names) if flags.corrections else None
    readers = Readers(weights)
    page = build(readers, corrections)
    run(make_app(page, readers, **OPTIONS), flags.host, flags.port)
