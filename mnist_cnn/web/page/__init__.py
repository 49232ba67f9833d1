"""The page: its tabs, its answers, its two languages."""

from mnist_cnn.web.page.tabs import OPTIONS, build

__all__ = [
    "OPTIONS",
    "build",
]
