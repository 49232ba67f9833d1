"""The weights that a server uses; those of a Hub repo may arrive while it runs."""

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

from mnist_cnn import hub
from mnist_cnn.model import MnistCNN, load_model

PATIENCE = 5.0  # seconds that a start waits for the Hub; then the bundled weights serve
FIRST_RETRY, LAST_RETRY = 5.0, 300.0  # seconds between tries; they double from one to the other

NOTICES = {
    "coming": "%1 has not arrived yet; until then the bundled weights are used.",
    "unreachable": "%1 could not be reached, so the bundled weights are used. It is tried again.",
    "unusable": "%1 cannot be used, so the bundled weights are: see the server's log.",
}

logger = logging.getLogger(__name__)


def english(key: str, source: str) -> str:
    """One of `NOTICES`."""
    return NOTICES[key].replace("%1", source)


class Weights:
    """The model in use. Whoever answers takes `model` once: it may be exchanged at any time.

    Attributes:
        model: the one to answer with.
        notice: what visitors should know about where it comes from; "" if it is the one asked for.
    """

    def __init__(self, model: MnistCNN | None, notice: str = "") -> None:
        self.arrived, self.notice = model, notice
        self.bundled: MnistCNN | None = None  # stands in until they have arrived

    @property
    def model(self) -> MnistCNN:
        if self.arrived is not None:
            return self.arrived
        if self.bundled is None:
            self.bundled = load_model()
        return self.bundled

    @classmethod
    def of(cls, source: str | None, say: Callable[[str, str], str] = english) -> "Weights":
        """The bundled weights (`None`, ""), those of a folder, or those of a Hub repo.

        A repo is waited for `PATIENCE` seconds. If it has not arrived by then, the bundled weights
        stand in, and it is tried again in the background until it has; then it takes their place.

        Args:
            source: as for `load_model`.
            say: makes a notice of a key of `NOTICES` and the source.

        Raises:
            ValueError: there is no such folder or repo, or it holds no weights of ours.
        """
        if not source or Path(source).is_dir():
            return cls(load_model(source or None))
        hub.split_repo_id(source)  # else it is refused at once
        weights, first = cls(None, say("coming", source)), Future()
        fetching = threading.Thread(target=weights._fetch, args=(source, say, first), daemon=True)
        fetching.start()
        try:
            first.result(timeout=PATIENCE)
        except TimeoutError:
            logger.warning("%s", english("coming", source))
        _ = weights.model  # the start waits for those that stand in, no visitor does
        return weights

    def _fetch(self, source: str, say: Callable[[str, str], str], first: Future) -> None:
        """Try until the weights are there or are refused; `first` is how the first try ends."""
        delay = FIRST_RETRY
        while True:
            try:
                model = load_model(source)
                self.notice, self.arrived = "", model  # who sees the new model sees no old notice
            except OSError as error:  # no network, no answer, no disk: that may pass
                self.notice = say("unreachable", source)
                logger.warning("%s (next try in %.0f s)", error, delay)
            except ValueError as error:  # that will not
                self.notice = say("unusable", source)
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
            delay = min(2 * delay, LAST_RETRY)
