"""The web app: `python app.py [--model MODEL] [--port N] [--host H]`.

Draw a digit or send pictures; see the answers and why. Programs use the same server. What the page
holds is in mnist_cnn/web/page/tabs.py, what visitors may do in mnist_cnn/web/settings.py.
"""

import argparse
import logging
import os
import sys

from mnist_cnn.web import settings
from mnist_cnn.web.page import OPTIONS, build, phrase
from mnist_cnn.web.server import Corrections, Readers, Weights, make_app, run


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    # One line names the weights and their commit; the libraries' own lines stay out.
    logging.basicConfig(format="app.py: %(message)s")
    logging.getLogger("mnist_cnn").setLevel(logging.INFO)
    # Its warnings hold addresses of files, which are as good as a token for some minutes.
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    try:
        weights = Weights.of(args.model, say=phrase)
        names = weights.model.config.class_names
        corrections = Corrections(args.corrections, names) if args.corrections else None
        readers = Readers(weights)
        page = build(readers, corrections)
        run(make_app(page, readers, **OPTIONS), args.host, args.port)
    except (ValueError, OSError) as error:
        print(f"app.py: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0
    return 0


def parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(description="Draw a digit in the browser and have it read.")
    result.add_argument(
        "--model",
        default=os.environ.get("MNIST_CNN_MODEL"),
        help="folder, or Hub repo USER/NAME[@REVISION] (default: $MNIST_CNN_MODEL, else bundled)",
    )
    result.add_argument(
        "--corrections",
        metavar="DIR|USER/DATASET",
        help="let people say what a digit was, and keep that to train on (default: off)",
    )
    result.add_argument(
        "--host",
        default=os.environ.get("GRADIO_SERVER_NAME", settings.HOST),
        help=f"address to listen on (default: $GRADIO_SERVER_NAME, else {settings.HOST})",
    )
    result.add_argument(
        "--port",
        type=int,
        default=int(os.environ.get("GRADIO_SERVER_PORT", settings.PORT)),
        help=f"port to listen on (default: $GRADIO_SERVER_PORT, else {settings.PORT})",
    )
    return result


if __name__ == "__main__":
    sys.exit(main())
