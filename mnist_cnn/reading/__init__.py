"""From ink to answers: one digit, several, why, and how often they are right."""

from mnist_cnn.reading.evaluation import (
    DOUBTFUL_MNIST_LABELS,
    errors_outside_doubtful,
    evaluate,
    fit_temperature,
    fit_threshold,
    raw_logits,
    wilson,
)
from mnist_cnn.reading.heatmap import explain
from mnist_cnn.reading.lattice import TOO_MUCH, Candidate, ReadDigit, Reading, candidates, read
from mnist_cnn.reading.pictures import evaluate_pictures
from mnist_cnn.reading.pieces import INKED, Page, find_pieces
from mnist_cnn.reading.prediction import Prediction, predict, read_frames

__all__ = [
    "DOUBTFUL_MNIST_LABELS",
    "INKED",
    "TOO_MUCH",
    "Candidate",
    "Page",
    "Prediction",
    "ReadDigit",
    "Reading",
    "candidates",
    "errors_outside_doubtful",
    "evaluate",
    "evaluate_pictures",
    "explain",
    "find_pieces",
    "fit_temperature",
    "fit_threshold",
    "predict",
    "raw_logits",
    "read",
    "read_frames",
    "wilson",
]
