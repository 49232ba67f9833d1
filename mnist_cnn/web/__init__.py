"""The web app: what it allows (settings), its server, its page, and its command line."""

from mnist_cnn.web.command import main

__all__ = ["main"]
