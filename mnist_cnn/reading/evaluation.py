"""Accuracy and calibration of a model on labelled frames."""

import math
import time

import torch
from torch import Tensor
from torch.nn import functional as F

from mnist_cnn.network import Network
from mnist_cnn.report import Evaluation

# Test frames of MNIST whose label five people did not uphold by majority: 15 of the 100 candidates
# of Northcutt et al. 2021 (arXiv 2103.14749, data `mnist_mturk.json`). Counted from 0.
DOUBTFUL_MNIST_LABELS = (
    947, 1621, 1901, 2130, 2462, 2597, 2654, 3520, 3558, 5937, 6651, 6783, 8527, 9679, 9729,
)  # fmt: skip


def evaluate(model: Network, frames: Tensor, labels: Tensor, batch_size: int = 1000) -> Evaluation:
    """Evaluate on `(N, 28, 28)` uint8 frames and `(N,)` int64 labels.

    Nothing is refused here: the answer is the likeliest class, however unlikely.
    """
    start = time.perf_counter()
    logits = raw_logits(model, frames, batch_size) / model.config.temperature
    confidence, answer = logits.softmax(1).max(1)
    correct = answer == labels
    per_class = {
        name: (int(correct[labels == index].sum()), n)
        for index, name in enumerate(model.config.class_names)
        if (n := int((labels == index).sum()))
    }
    return Evaluation(
        accuracy=correct.float().mean().item(),
        errors=int((~correct).sum()),
        wrong=tuple((~correct).nonzero().flatten().tolist()),
        n=len(labels),
        interval=wilson(int(correct.sum()), len(labels)),
        per_class={name: right / n for name, (right, n) in per_class.items()},
        per_class_n={name: n for name, (_, n) in per_class.items()},
        ece=calibration_error(confidence, correct),
        loss=F.cross_entropy(logits, labels).item(),
        seconds=time.perf_counter() - start,
    )


def errors_outside_doubtful(result: Evaluation) -> int:
    """Errors on MNIST's test set, apart from the frames whose label is itself in doubt."""
    return len(set(result.wrong) - set(DOUBTFUL_MNIST_LABELS))


@torch.inference_mode()
def raw_logits(model: Network, frames: Tensor, batch_size: int = 1000) -> Tensor:
    """Logits in eval mode, `(N, classes)` on the CPU; the model's mode is kept."""
    training, device = model.training, next(model.parameters()).device
    model.eval()
    logits = torch.cat(
        [model(batch.to(device)).float().cpu() for batch in torch.split(frames, batch_size)]
    )
    model.train(training)
    return logits


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """What to divide logits by for the smallest cross-entropy (Guo et al. 2017)."""
    temperatures = torch.logspace(-1, 0.7, 400)  # 0.1 to 5
    losses = torch.stack([F.cross_entropy(logits / t, labels) for t in temperatures])
    return temperatures[losses.argmin()].item()


def evidence(logits: Tensor) -> Tensor:
    """How far each row of `(N, classes)` logits is from undecided, in nats; `(N,)`, at least 0.

    The divergence of equal shares from the answer: what outlier exposure trains non-digits to have
    none of (Hendrycks et al. 2019, arXiv 1812.04606). Unlike the energy score it does not change
    when all logits grow alike, which training is free to let them do.
    """
    return (-logits.log_softmax(1).mean(1) - math.log(logits.shape[1])).clamp(min=0)


def fit_threshold(logits: Tensor, refused: float) -> float:
    """The evidence that all but the share `refused` of these digits reach."""
    return evidence(logits).quantile(refused).item()


def wilson(successes: int, n: int) -> tuple[float, float]:
    """The 95 % interval of a proportion (Wilson 1927)."""
    z = 1.96  # 95 % of a normal distribution lie no farther from its mean, in deviations
    rate, z2 = successes / n, z**2
    centre = rate + z2 / (2 * n)
    spread = z * math.sqrt(rate * (1 - rate) / n + z2 / (4 * n * n))
    low, high = (centre - spread) / (1 + z2 / n), (centre + spread) / (1 + z2 / n)
    return max(low, 0.0), min(high, 1.0)  # which rounding may pass


def calibration_error(confidence: Tensor, correct: Tensor, bins: int = 15) -> float:
    """Mean gap between confidence and accuracy over equal-width bins, weighted by their size."""
    bin_of = (confidence * bins).long().clamp(max=bins - 1)
    gap = torch.zeros(bins).index_add(0, bin_of, confidence - correct.float())
    return (gap.abs().sum() / len(confidence)).item()
