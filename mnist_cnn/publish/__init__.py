"""From a run folder to the Hub: weights, and a Space that runs the app."""

from mnist_cnn.publish import space
from mnist_cnn.publish.weights import CARD, Push, check_login, compare, operations, push

__all__ = [
    "CARD",
    "Push",
    "check_login",
    "compare",
    "operations",
    "push",
    "space",
]
