"""The weights that a server uses; those of a Hub repo may arrive while it runs."""

import logging
import threading
import time
from concurrent.futures import Future
from pathlib import Path

from mnist_cnn import hub
from mnist_cnn.model import MnistCNN, load_model
from mnist_cnn.web import settings

logger = logging.getLogger(__name__)


class Weights:
    """The model in use. Whoever answers takes `model` once: it may be exchanged at any time.

    Attributes:
        model: the one to answer with.
        source: the repo that was asked for; "" if there is nothing to wait for.
        notice: why others stand in: "coming", "unreachable" or "unusable"; "" if they do not.
    """

    def __init__(self, model: MnistCNN | None, source: str = "") -> None:
        self.arrived, self.source = model, source
        self.notice = "coming" if source else ""
        self.bundled: MnistCNN | None = None  # stands in until they have arrived

    @property
    def model(self) -> MnistCNN:
        if self.arrived is not None:
            return self.arrived
        if self.bundled is None:
            self.bundled = load_model()
        return self.bundled

    @classmethod
    def of(cls, source: str | None) -> "Weights":
        """The bundled weights (`None`, ""), those of a folder, or those of a Hub repo.

        If a repo has not arrived after `settings.TIMES.hub` seconds, the bundled weights stand in,
        and it is tried again in the background until it has; then it takes their place.

        Args:
            source: as for `load_model`.

        Raises:
            ValueError: there is no such folder or repo, or it holds no weights of ours.
        """
        if not source or Path(source).is_dir():
            return cls(load_model(source or None))
        hub.split_repo_id(source)  # else it is refused at once
        weights = cls(None, source)
        first: Future[None] = Future()
        fetching = threading.Thread(target=weights._fetch, args=(first,), daemon=True)
        fetching.start()
        try:
            first.result(timeout=settings.TIMES.hub)
        except TimeoutError:
            logger.warning("%s has not arrived yet: the bundled weights stand in", source)
        _ = weights.model  # the start waits for those that stand in, no visitor does
        return weights

    def _fetch(self, first: Future[None]) -> None:
        """Try until the weights are there or are refused; `first` is how the first try ends."""
        delay = settings.TIMES.first_retry
        while True:
            try:
                model = load_model(self.source)
                self.notice, self.arrived = "", model  # who sees the new model sees no old notice
            except OSError as error:  # no network, no answer, no disk: that may pass
                self.notice = "unreachable"
                logger.warning("%s (next try in %.0f s)", error, delay)
            except ValueError as error:  # that will not
                self.notice = "unusable"
                if first.done():
                    logger.error("%s", error)
                else:
                    first.set_exception(error)
                return
            if not first.done():
                first.set_result(None)
            if not self.notice:
                return
            time.sleep(delay)
            delay = min(2 * delay, settings.TIMES.last_retry)
