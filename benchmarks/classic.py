"""The baseline of training speed: the digit example that every framework's tutorial has.

Two 3×3 convolutions of 32 and 64, a fully connected layer of 128, dropout, Adadelta at learning
rate 1 with a StepLR of 0.7, batches of 64, 14 epochs, one picture at a time through torchvision's
transforms: about 120 s an epoch on two cores.
"""

import json
import time
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import StepLR
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import MNIST
from tqdm import tqdm

EPOCHS = 14


def network() -> nn.Module:
    """1.2 M parameters; returns log-probabilities."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 3),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Dropout(0.25),
        nn.Flatten(),
        nn.Linear(9216, 128),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(128, 10),
        nn.LogSoftmax(1),
    )


def train(root: Path, folder: Path, epochs: int = EPOCHS, seed: int = 1) -> list[dict[str, float]]:
    """Train it, or go on with it; seconds and test accuracy of each epoch.

    Args:
        root: where torchvision finds MNIST unpacked.
        folder: keeps the state after each epoch.
    """
    torch.manual_seed(seed)
    prepare = transforms.Compose(
        [transforms.ToTensor(), transforms.Normalize((0.1307,), (0.3081,))]
    )
    batches = DataLoader(
        MNIST(root, train=True, download=True, transform=prepare), 64, shuffle=True
    )
    tests = DataLoader(MNIST(root, train=False, transform=prepare), 1000)
    model = network()
    optimizer = torch.optim.Adadelta(model.parameters(), lr=1.0)
    schedule = StepLR(optimizer, step_size=1, gamma=0.7)
    parts = {"model": model, "optimizer": optimizer, "schedule": schedule}
    history: list[dict[str, float]] = []
    state, log = folder / "state.pt", folder / "history.json"
    if log.exists():
        history = json.loads(log.read_text())
        for name, part in torch.load(state, weights_only=True).items():
            parts[name].load_state_dict(part)
    folder.mkdir(parents=True, exist_ok=True)
    while len(history) < epochs:
        start = time.perf_counter()
        model.train()
        for pictures, labels in tqdm(batches, desc=f"epoch {len(history) + 1}", disable=None):
            optimizer.zero_grad()
            F.nll_loss(model(pictures), labels).backward()
            optimizer.step()
        schedule.step()
        seconds = time.perf_counter() - start
        history.append({"seconds": seconds, "accuracy": _accuracy(model, tests)})
        torch.save({name: part.state_dict() for name, part in parts.items()}, state)
        log.write_text(json.dumps(history))
    return history


@torch.inference_mode()
def _accuracy(model: nn.Module, tests: DataLoader) -> float:
    model.eval()
    right = sum(int((model(frames).argmax(1) == labels).sum()) for frames, labels in tests)
    return right / len(tests.dataset)
