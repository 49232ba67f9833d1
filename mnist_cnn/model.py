"""`MnistCNN`: the network with what people do with it: load, save, predict, read, explain."""

import logging
import tempfile
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from huggingface_hub import PyTorchModelHubMixin
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from mnist_cnn import hub
from mnist_cnn.config import FLAGSHIP, Config
from mnist_cnn.network import Network
from mnist_cnn.reading import Prediction, Reading, explain, predict, read
from mnist_cnn.report import Report

BUNDLED = Path(__file__).parent / "weights"
MAX_HEADER = 100_000  # bytes; ours have about 60 for each tensor

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
        """Read one picture, or each of a list of them; see `mnist_cnn.predict.predict`."""
        return predict(self, images)

    def explain(self, frame: np.ndarray, digit: int | None = None) -> np.ndarray:
        """Where in a frame the evidence for a digit lies; see `mnist_cnn.explain.explain`."""
        return explain(self, frame, digit)

    def read(self, image: Any) -> Reading:
        """Read all digits of one picture; see `mnist_cnn.read.read`."""
        return read(self, image)

    @classmethod
    def from_pretrained(
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
            source: a folder, or a Hub repo id `USER/NAME` or `USER/NAME@REVISION`.
            revision: branch, tag or commit of the Hub repo; overrides the one in `source`.
            token, cache_dir, local_files_only, force_download: as in
                `huggingface_hub.snapshot_download`.

        Raises:
            ValueError: no such folder or repo, or its files are not a model of this package.
            ConnectionError: the Hub could not be reached and nothing is cached.
        """
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
        return model.eval()

    def _load_weights(self, file: Path, where: str) -> None:
        expected = {
            key: (tuple(value.shape), _SAFETENSORS_DTYPES[value.dtype])
            for key, value in self.state_dict().items()
        }
        _check_header(file, where)
        try:
            with safe_open(file, framework="pt") as tensors:
                # Names, shapes and dtypes come from the header: no tensor is read before the check.
                found = {key: tensors.get_slice(key) for key in tensors.keys()}  # noqa: SIM118
                found = {k: (tuple(v.get_shape()), v.get_dtype()) for k, v in found.items()}
        except (SafetensorError, OSError) as error:
            raise ValueError(f"cannot read {file.name} of {where}: {error}") from error
        self._check_classes(found, where)
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
        tensors = load_file(file)
        bad = [key for key, value in tensors.items() if not value.isfinite().all()]
        if bad:
            raise ValueError(f"model.safetensors of {where} holds NaN or infinity in {bad[0]}")
        self.load_state_dict(tensors, strict=True)

    def _check_classes(self, found: dict[str, tuple[tuple[int, ...], str]], where: str) -> None:
        last = [key for key, _ in self.head.named_parameters() if "weight" in key][-1]
        shape, _ = found.get(f"head.{last}", ((), ""))
        names = len(self.config.class_names)
        if shape and shape[0] != names:
            raise ValueError(
                f"the weights of {where} tell {shape[0]} classes apart, but its config.json names "
                f"{names}: class_names must be those that the network was trained with"
            )

    def save_pretrained(self, folder: str | Path) -> None:
        """Write `config.json`, `model.safetensors` and, if there is one, `report.json`.

        Files are written under a temporary name first, so a full disk leaves the old ones whole.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".saving-") as temporary:
            new = Path(temporary)
            tensors = {key: value.contiguous() for key, value in self.state_dict().items()}
            try:
                save_file(tensors, new / "model.safetensors", metadata={"format": "pt"})
            except SafetensorError as error:  # a full disk, say
                raise OSError(f"cannot write model.safetensors into {folder}: {error}") from error
            (new / "config.json").write_text(self.config.to_json(), encoding="utf-8")
            if self.report:
                self.report.write(new / "report.json")
            for file in new.iterdir():
                file.chmod(0o644)  # safetensors writes for the owner's eyes only
                file.replace(folder / file.name)

    def push_to_hub(self, repo_id: str, **how: Any) -> str:
        """Publish in one commit with a card; returns the commit's address, "" if nothing changed.

        `how` and what is raised are those of `mnist_cnn.publish.push`.
        """
        from mnist_cnn import publish

        with tempfile.TemporaryDirectory() as folder:
            self.save_pretrained(folder)
            return publish.push(folder, repo_id, **how).url or ""


_SAFETENSORS_DTYPES = {torch.float32: "F32", torch.int64: "I64"}


def _check_header(file: Path, where: str) -> None:
    """Refuse a header that would take gigabytes to parse; it starts with its own length."""
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
    if length > MAX_HEADER:
        raise ValueError(
            f"cannot read {file.name} of {where}: its header claims {length:,} bytes, "
            f"at most {MAX_HEADER:,} are allowed"
        )


def _read_config(file: Path, where: str) -> Config:
    try:
        return Config.from_json(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"cannot read {file.name} of {where}: {error}") from error
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def load_model(source: str | Path | None = None, revision: str | None = None) -> MnistCNN:
    """The bundled weights (`None`), those in a folder, or those of a Hub repo `USER/NAME[@REV]`.

    Raises:
        ValueError, ConnectionError: as `MnistCNN.from_pretrained`.
    """
    if source is not None:
        return MnistCNN.from_pretrained(source, revision=revision)
    return MnistCNN._load(BUNDLED, "bundled with mnist_cnn")
