"""What a run leaves: folder, card, plots, provenance."""

from mnist_cnn.run import card, folder, plots
from mnist_cnn.run.card import HUB_DATASETS
from mnist_cnn.run.provenance import git_commit, machine, versions

__all__ = [
    "HUB_DATASETS",
    "card",
    "folder",
    "git_commit",
    "machine",
    "plots",
    "versions",
]
