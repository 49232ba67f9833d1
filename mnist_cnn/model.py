"""`MnistCNN`: the network with what people do with it: load, save, predict, read, explain."""

import logging
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from huggingface_hub import PyTorchModelHubMixin
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from mnist_cnn import hub
from mnist_cnn.config import FLAGSHIP, Config
from mnist_cnn.files import replacing
from mnist_cnn.network import Network
from mnist_cnn.reading import Prediction, Reading, explain, predict, read
from mnist_cnn.report import Report

BUNDLED = Path(__file__).parent / "weights"
MAX_HEADER = 100_000  # bytes; ours have about 60 for each tensor

Header = dict[str, tuple[tuple[int, ...], str]]  # of each tensor: shape, and dtype in safetensors

logger = logging.getLogger(__name__)


class MnistCNN(
    Network,
    PyTorchModelHubMixin,
    library_name="mnist_cnn",
    license="mit",
    pipeline_tag="image-classification",
    tags=["mnist", "handwritten-digits"],
):
    """A convolutional network that reads one 28×28 frame.

    Attributes:
        config: what built it.
        report: the `report.json` that came with the weights; None if there was none.
        source: where the weights came from, in words; "" for weights that were never stored.
    """

    def __init__(self, config: Config = FLAGSHIP) -> None:
        super().__init__(config)
        self.report: Report | None = None
        self.source = ""

    def predict(self, images: Any) -> Prediction | list[Prediction]:
        """Read one picture as one digit, or each of several.

        A picture is

        - the path of a file, or its bytes (PNG, JPEG, WebP, BMP, GIF);
        - a PIL image of any mode;
        - a numpy array `(H, W)`, `(H, W, 1)`, `(H, W, 3)` or `(H, W, 4)` of bool, uint8, uint16 or
          float in [0, 1];
        - a torch tensor `(H, W)` or, channels first, `(1 | 3 | 4, H, W)` of uint8 or
          float in [0, 1].

        Colours are RGB; size, polarity and colours do not matter. Several are a list or a tuple of
        pictures, an array or tensor of four axes, or one `(B, 28, 28)`.

        Returns:
            A `Prediction`; for several pictures a list of them, in their order. Where there is no
            digit to read, its `digit` and `label` are None, and `reason` says why.

        Raises:
            ValueError: a picture cannot be read; nothing is answered then.
        """
        return predict(self, images)

    def explain(self, frame: np.ndarray, digit: int | None = None) -> np.ndarray:
        """Where in a frame the evidence for a digit lies.

        Args:
            frame: `(28, 28)` uint8, such as `Prediction.frame`.
            digit: index of the class to explain; by default the likeliest.

        Returns:
            A heatmap, `(28, 28)` float32 in [0, 1]; all 0 if there is none.

        Raises:
            ValueError: it is no such frame, or there is no such class.
        """
        return explain(self, frame, digit)

    def read(self, image: Any) -> Reading:
        """Read all digits of one picture, line by line.

        Args:
            image: one picture, as `predict` takes it.

        Returns:
            A `Reading`: its `text`, and each digit with its box. Where there is nothing to read,
            `reason` says why.

        Raises:
            ValueError: the picture cannot be read.
        """
        return read(self, image)

    @classmethod
    def from_pretrained(  # type: ignore[override]  # no model_kwargs: config.json holds them all
        cls,
        source: str | Path,
        *,
        revision: str | None = None,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
        force_download: bool = False,
    ) -> Self:
        """Load weights from a folder or a Hub repo. The model comes back in eval mode.

        Stricter than the mixin it overrides: `config.json` must be there and fit, every tensor must
        be there with its shape and dtype and no other, and only safetensors are ever opened.

        Args:
            source: a folder, a Hub repo id `USER/NAME` or `USER/NAME@REVISION`, or "bundled".
            revision: branch, tag or commit of the Hub repo; overrides the one in `source`.
            token, cache_dir, local_files_only, force_download: as in
                `huggingface_hub.snapshot_download`.

        Raises:
            ValueError: no such folder or repo, or its files are not a model of this package.
            ConnectionError: the Hub could not be reached and nothing is cached.
        """
        if source == "bundled":
            return cls._load(BUNDLED, "bundled with mnist_cnn")
        folder, where = hub.fetch(
            source,
            revision=revision,
            token=token,
            cache_dir=cache_dir,
            local_files_only=local_files_only,
            force_download=force_download,
        )
        return cls._load(folder, where)

    @classmethod
    def _load(cls, folder: Path, where: str) -> Self:
        """From a folder that `hub.fetch` has looked at."""
        model = cls(_read_config(folder / "config.json", where))
        model._load_weights(folder / "model.safetensors", where)
        if (folder / "report.json").exists():
            model.report = Report.read(folder / "report.json", where)
        model.source = where
        logger.info("weights: %s", where)
        return model

    def _load_weights(self, file: Path, where: str) -> None:
        found = _header(file, where)  # no tensor is read before it fits
        self._check_classes(found, where)
        self._check_tensors(found, where)
        tensors = load_file(file)
        bad = [key for key, value in tensors.items() if not value.isfinite().all()]
        if bad:
            raise ValueError(f"model.safetensors of {where} holds NaN or infinity in {bad[0]}")
        self.load_state_dict(tensors, strict=True)
        with torch.inference_mode():
            logits = self.eval()(torch.zeros(1, 28, 28))
        if not logits.isfinite().all():  # finite weights, but too large, or a negative variance
            raise ValueError(f"the network of {where} answers a blank frame with NaN or infinity")

    def _check_tensors(self, found: Header, where: str) -> None:
        expected = {
            key: (tuple(value.shape), "I64" if value.dtype == torch.int64 else "F32")
            for key, value in self.state_dict().items()
        }
        problems = [
            *(f"missing {key}" for key in expected.keys() - found.keys()),
            *(f"not expected {key}" for key in found.keys() - expected.keys()),
            *(
                f"{key} is {found[key]}, expected {expected[key]}"
                for key in expected.keys() & found.keys()
                if found[key] != expected[key]
            ),
        ]
        if problems:
            raise ValueError(
                f"model.safetensors of {where} does not fit its config.json: "
                + "; ".join(sorted(problems)[:6])
                + (f"; and {len(problems) - 6} more" if len(problems) > 6 else "")
            )

    def _check_classes(self, found: Header, where: str) -> None:
        last = [key for key, _ in self.head.named_parameters() if "weight" in key][-1]
        shape, _ = found.get(f"head.{last}", ((), ""))
        names = len(self.config.class_names)
        if shape and shape[0] != names:
            raise ValueError(
                f"the weights of {where} tell {shape[0]} classes apart, but its config.json names "
                f"{names}: class_names must be those that the network was trained with"
            )

    def save_pretrained(self, save_directory: str | Path, **mixin: Any) -> None:
        """Write `config.json`, `model.safetensors` and, if there is one, `report.json`.

        What is written takes the old files' places at the end: a full disk leaves them whole.

        Args:
            save_directory: made if it is not there.
            mixin: what the mixin's `push_to_hub` passes along; it changes nothing. That uploads
                these files, whatever is in the repo, and leaves its card alone;
                `mnist-cnn push RUN USER/NAME` brings a card and refuses worse weights.
        """
        if mixin.get("push_to_hub"):
            raise ValueError("save_pretrained only writes a folder: call push_to_hub to publish")
        with replacing(Path(save_directory)) as new:
            tensors = {
                # of a model in half, too: what is loaded is float32
                key: (value.float() if value.is_floating_point() else value).contiguous()
                for key, value in self.state_dict().items()
            }
            try:
                save_file(tensors, new / "model.safetensors", metadata={"format": "pt"})
            except SafetensorError as error:  # a full disk, say
                raise OSError(f"cannot write model.safetensors to {new.parent}: {error}") from error
            (new / "config.json").write_text(self.config.to_json(), encoding="utf-8")
            if self.report:
                self.report.write(new / "report.json")
            for file in new.iterdir():
                file.chmod(0o644)  # safetensors writes for the owner's eyes only


def _header(file: Path, where: str) -> Header:
    """What a file of tensors says that it holds; refused if it would take gigabytes to parse."""
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
    if length > MAX_HEADER:
        raise ValueError(
            f"cannot read {file.name} of {where}: its header claims {length:,} bytes, "
            f"at most {MAX_HEADER:,} are allowed"
        )
    try:
        with safe_open(file, framework="pt") as tensors:
            found = {key: tensors.get_slice(key) for key in tensors.keys()}  # noqa: SIM118
            return {k: (tuple(v.get_shape()), v.get_dtype()) for k, v in found.items()}
    except (SafetensorError, OSError) as error:
        raise ValueError(f"cannot read {file.name} of {where}: {error}") from error


def _read_config(file: Path, where: str) -> Config:
    try:
        return Config.from_json(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"cannot read {file.name} of {where}: {error}") from error
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def load_model(
    source: str | Path | None = None,
    revision: str | None = None,
    device: str | torch.device | None = None,
) -> MnistCNN:
    """Load weights: the bundled ones, those in a folder, or those of a Hub repo.

    Args:
        source: a folder, or `USER/NAME[@REVISION]` on the Hub; "bundled" or None: the bundled ones.
        revision: branch, tag or commit of the Hub repo; overrides the one in `source`.
        device: where it will compute, such as "cuda"; by default the CPU.

    Raises:
        ValueError: as `MnistCNN.from_pretrained`, or there is no such device here.
        ConnectionError: as `MnistCNN.from_pretrained`.
    """
    model = MnistCNN.from_pretrained("bundled" if source is None else source, revision=revision)
    if device is None:
        return model
    try:
        return model.to(device)
    except (RuntimeError, AssertionError) as error:  # AssertionError: PyTorch without CUDA
        reason = str(error).partition("\n")[0]
        raise ValueError(f"cannot compute on device {str(device)!r}: {reason}") from error
