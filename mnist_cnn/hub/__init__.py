"""From the Hub to a folder, and the Hub's failures in plain words."""

from mnist_cnn.hub.errors import explained
from mnist_cnn.hub.snapshot import NEEDED, REPO_ID, WEIGHTS, fetch, split_repo_id

__all__ = ["NEEDED", "REPO_ID", "WEIGHTS", "explained", "fetch", "split_repo_id"]
