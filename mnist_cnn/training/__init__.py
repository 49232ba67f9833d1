"""How networks are trained: recipes, the loop, and its command line."""

from mnist_cnn.training.command import main
from mnist_cnn.training.recipes import RECIPES, Recipe, Run

__all__ = ["RECIPES", "Recipe", "Run", "main"]
