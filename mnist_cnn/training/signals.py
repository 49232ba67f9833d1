"""What Ctrl-C and SIGTERM do to a run: no step is cut, and the program says how to go on."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(BaseException):
    """A signal came: no error, so only the command catches it.

    Attributes:
        code: the exit status of a program that the signal ended, as shells report it.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.code = 128 + number


class Interruption:
    """Notes a signal, so that a step is never cut; a second one stops at once."""

    signal: int | None = None  # which of them came

    def note(self, number: int, _: FrameType | None) -> None:
        if self.signal:
            raise Stopped(number)
        self.signal = number


@contextmanager
def handled(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """While it lasts, both signals go to a handler."""
    before = {number: signal.signal(number, handler) for number in SIGNALS}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def stop(number: int, _: FrameType | None = None) -> None:
    """The handler outside of the steps."""
    raise Stopped(number)


def leave_to_the_parent(_: int) -> None:
    """For worker processes, which get the terminal's Ctrl-C as well."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
