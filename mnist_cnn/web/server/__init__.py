"""The server: who may ask, what is answered, which weights answer."""

from mnist_cnn.web.server import api
from mnist_cnn.web.server.corrections import Corrections
from mnist_cnn.web.server.live import Weights
from mnist_cnn.web.server.readers import Readers, Task
from mnist_cnn.web.server.serve import make_app, run
from mnist_cnn.web.server.uploads import plain_name

__all__ = [
    "Corrections",
    "Readers",
    "Task",
    "Weights",
    "api",
    "make_app",
    "plain_name",
    "run",
]
