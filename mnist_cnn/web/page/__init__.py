"""The page: its tabs, its answers, its two languages."""

from mnist_cnn.web.page.tabs import OPTIONS, build
from mnist_cnn.web.page.texts import phrase

__all__ = [
    "OPTIONS",
    "build",
    "phrase",
]
