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
from mnist_cnn.reading.lattice import Candidate, ReadDigit, Reading, candidates, read, read_ink
from mnist_cnn.reading.pictures import evaluate_pictures
from mnist_cnn.reading.pieces import INKED, Page, find_pieces
from mnist_cnn.reading.prediction import Prediction, predict, predict_ink, read_frames
from mnist_cnn.reading.reasons import SENTENCES, Reason

__all__ = [
    "DOUBTFUL_MNIST_LABELS",
    "INKED",
    "SENTENCES",
    "Candidate",
    "Page",
    "Prediction",
    "ReadDigit",
    "Reading",
    "Reason",
    "candidates",
    "errors_outside_doubtful",
    "evaluate",
    "evaluate_pictures",
    "explain",
    "find_pieces",
    "fit_temperature",
    "fit_threshold",
    "predict",
    "predict_ink",
    "raw_logits",
    "read",
    "read_frames",
    "read_ink",
    "wilson",
]
