"""How networks are trained: recipes, and the state of a run."""

from mnist_cnn.training.recipes import ADDED, RECIPES, Recipe, Run
from mnist_cnn.training.state import NOT_A_DIGIT, Batches, Engine, Training

__all__ = [
    "ADDED",
    "NOT_A_DIGIT",
    "RECIPES",
    "Batches",
    "Engine",
    "Recipe",
    "Run",
    "Training",
]
