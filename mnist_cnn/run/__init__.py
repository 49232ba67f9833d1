"""What a run leaves: folder, card, plots, provenance."""

from typing import TYPE_CHECKING

from mnist_cnn.lazy import lazily

if TYPE_CHECKING:
    from mnist_cnn.run import card, folder
    from mnist_cnn.run.card import HUB_DATASETS
    from mnist_cnn.run.provenance import git_commit, machine, versions

__all__ = ["HUB_DATASETS", "card", "folder", "git_commit", "machine", "versions"]

__getattr__, __dir__ = lazily(
    __name__,
    {"card": ["HUB_DATASETS"], "provenance": ["git_commit", "machine", "versions"]},
)
