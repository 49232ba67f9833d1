"""The network: `(B, 28, 28)` frames to logits, in the layers that its `Config` asks for."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mnist_cnn.config import FLAGSHIP, Config

OVERSHOOT = 0.1  # beyond [0, 1]: what bicubic resizing adds; normalised frames begin at -0.42


class Network(nn.Module):
    """A convolutional network: `(B, 28, 28)` frames to `(B, classes)` logits.

    Attributes:
        config: what built it, and what its logits mean.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, config: Config = FLAGSHIP) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("mean", torch.tensor(config.mean), persistent=False)
        self.register_buffer("std", torch.tensor(config.std), persistent=False)
        self.features = nn.Sequential(*self._convolutions())
        self.head = nn.Sequential(*self._fully_connected())
        self.to(memory_format=torch.channels_last)

    def _convolutions(self) -> list[nn.Module]:
        config, before = self.config, 1
        layers: list[nn.Module] = []
        for number, (width, kernel) in enumerate(
            zip(config.channels, config.kernel_sizes, strict=True), start=1
        ):
            padding = kernel // 2 if config.same_padding else 0
            layers.append(
                nn.Conv2d(before, width, kernel, padding=padding, bias=not config.batch_norm)
            )
            if config.batch_norm:
                layers.append(nn.BatchNorm2d(width))
            # ReLU changes no order: after the pool it does the same with a quarter of the work.
            if number in config.pool_after:
                layers.append(nn.MaxPool2d(2))
            layers.append(nn.ReLU(inplace=True))
            if number == len(config.channels) and config.conv_dropout:
                layers.append(nn.Dropout2d(config.conv_dropout))
            before = width
        return layers

    def _fully_connected(self) -> list[nn.Module]:
        config = self.config
        layers: list[nn.Module] = [nn.Flatten()]
        before = config.channels[-1] * config.sizes()[-1] ** 2
        for width in config.hidden:
            layers += [nn.Linear(before, width), nn.ReLU(inplace=True), nn.Dropout(config.dropout)]
            before = width
        if not config.hidden:
            layers.append(nn.Dropout(config.dropout))
        layers.append(nn.Linear(before, len(config.class_names), bias=not config.batch_norm))
        if config.batch_norm:
            layers.append(nn.BatchNorm1d(len(config.class_names)))
        return layers

    def forward(self, frames: Tensor) -> Tensor:
        """Logits, `(B, classes)`.

        Args:
            frames: `(B, 28, 28)` or `(B, 1, 28, 28)`, uint8 or float in [0, 1], white ink on black,
                as they are: mean and standard deviation are the network's business.

        Raises:
            ValueError: another shape, dtype or range.
        """
        return self.forward_head(self.forward_features(frames))

    def forward_features(self, frames: Tensor) -> Tensor:
        """The last feature map, `(B, channels[-1], side, side)`; same input as `forward`."""
        if frames.ndim == 3:
            frames = frames.unsqueeze(1)
        if frames.ndim != 4 or frames.shape[1:] != (1, 28, 28):
            raise ValueError(
                f"frames must be (B, 28, 28) or (B, 1, 28, 28), got {tuple(frames.shape)}. "
                "For pictures of another size call model.predict(image)."
            )
        if frames.dtype == torch.uint8:
            frames = frames / 255
        elif not frames.is_floating_point():
            raise ValueError(f"frames must be uint8 or float in [0, 1], got {frames.dtype}")
        elif not torch.compiler.is_compiling():  # a traced graph cannot look at its input
            _check_range(frames)
        normalised = (frames - self.mean) / self.std
        features: Tensor = self.features(normalised.to(self._first.weight.dtype))
        return features

    def forward_head(self, features: Tensor) -> Tensor:
        """Logits from the last feature map."""
        logits: Tensor = self.head(features)
        return logits

    @property
    def device(self) -> torch.device:
        """Where the weights are; frames go there."""
        return self._first.weight.device

    @property
    def _first(self) -> nn.Conv2d:
        layer = self.features[0]
        assert isinstance(layer, nn.Conv2d)
        return layer

    def filters(self) -> np.ndarray:
        """The first convolution's kernels, eight a row, as a picture `(H, W)` uint8.

        Grey is zero, white the largest weight of a kernel; a white line lies between two.
        """
        kernels = self._first.weight.detach()[:, 0].float()
        tiles = kernels / kernels.abs().amax((1, 2), keepdim=True).clamp(min=1e-9)
        tiles = F.pad((tiles + 1) * 127.5, (0, 1, 0, 1, 0, -len(tiles) % 8), value=255)
        side = tiles.shape[1]
        sheet = tiles.reshape(-1, 8, side, side).swapaxes(1, 2).reshape(-1, 8 * side)
        return sheet.round().byte().cpu().numpy()


def _check_range(frames: Tensor) -> None:
    """Refuse floats that cannot be ink in [0, 1]; resizing may overshoot that a little."""
    if not frames.numel():
        return
    low, high = (value.item() for value in frames.detach().aminmax())
    if not (low >= -OVERSHOOT and high <= 1 + OVERSHOOT):
        raise ValueError(
            f"float frames must lie in [0, 1], got {low:.3g} to {high:.3g}: divide bytes by 255, "
            "and do not normalise, which the network does itself"
        )
