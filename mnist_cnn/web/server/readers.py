"""The threads that read pictures for programs, whichever way these were sent."""

import asyncio
import os
import sys
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

from starlette.exceptions import HTTPException

from mnist_cnn.ink import header_size
from mnist_cnn.model import MnistCNN
from mnist_cnn.web import settings
from mnist_cnn.web.server.live import Weights

Answer = dict[str, Any]
Picture = bytes | str | None  # a file's content or path; None is answered with an error


@dataclass(frozen=True)
class Task:
    """What is done with pictures."""

    function: Callable[[MnistCNN, list[Picture]], list[Answer]]
    together: int = 1  # at most so many pictures at once, of those that wait


class Readers:
    """A few threads, and a bounded number of pictures that wait for them.

    Large pictures have a thread of their own, so that drawings do not wait behind photos.
    """

    def __init__(self, weights: Weights) -> None:
        self.weights = weights
        self.threads = ThreadPoolExecutor(settings.LIMITS.readers, "reader")
        self.large = ThreadPoolExecutor(1, "large-reader", initializer=_step_back)
        self.unread: deque[tuple[Task, Picture, asyncio.Future]] = deque()
        self.busy = 0  # threads
        self.waiting = self.waiting_large = 0  # pictures, with those that are read now

    async def run(self, task: Task, picture: Picture) -> Answer:
        """What the task says of the picture.

        Raises:
            HTTPException: 503 if too many wait already.
        """
        self.check_room()
        answer = asyncio.get_running_loop().create_future()
        answer.add_done_callback(self._left)
        self.unread.append((task, picture, answer))
        self.waiting += 1
        self._begin()
        found = await answer
        return await self._run_large(task, picture) if found is None else found

    def _left(self, _: asyncio.Future) -> None:
        self.waiting -= 1

    def check_room(self) -> None:
        """Refuse who would wait behind too many."""
        if self.waiting >= settings.LIMITS.queue:
            raise HTTPException(503, "Too many pictures are waiting. Try again in a few seconds.")

    def _begin(self) -> None:
        """Give the free threads what waits, in its order."""
        while self.busy < settings.LIMITS.readers and (batch := self._next_batch()):
            tasks, pictures, answers = zip(*batch, strict=True)
            self.busy += 1
            running = asyncio.get_running_loop().run_in_executor(
                self.threads, _run_small, tasks[0], self.weights.model, pictures
            )
            running.add_done_callback(partial(self._finish, answers))

    def _next_batch(self) -> list[tuple[Task, Picture, asyncio.Future]]:
        batch: list[tuple[Task, Picture, asyncio.Future]] = []
        while self.unread and (not batch or self._fits(batch)):
            waiting = self.unread.popleft()
            if not waiting[2].done():  # else whoever waited has gone
                batch.append(waiting)
        return batch

    def _fits(self, batch: list) -> bool:
        task = batch[0][0]
        return self.unread[0][0] is task and len(batch) < task.together

    def _finish(self, answers: tuple[asyncio.Future, ...], done: asyncio.Future) -> None:
        self.busy -= 1
        for index, answer in enumerate(answers):
            if answer.done():
                continue
            if error := done.exception():
                answer.set_exception(error)
            else:
                answer.set_result(done.result()[index])
        self._begin()

    async def _run_large(self, task: Task, picture: Picture) -> Answer:
        if self.waiting_large >= settings.LIMITS.large_pictures:
            raise HTTPException(503, "Too many large pictures are waiting. Try again in a minute.")
        self.waiting_large += 1
        try:
            found = await asyncio.get_running_loop().run_in_executor(
                self.large, task.function, self.weights.model, [picture]
            )
        finally:
            self.waiting_large -= 1
        return found[0]


def _run_small(task: Task, model: MnistCNN, pictures: tuple[Picture, ...]) -> list[Answer | None]:
    """The answers, without those of large pictures. Headers may take a while, too."""
    small = [not _is_large(picture) for picture in pictures]
    chosen = [picture for picture, is_small in zip(pictures, small, strict=True) if is_small]
    answers = iter(task.function(model, chosen) if chosen else ())
    return [next(answers) if is_small else None for is_small in small]


def _is_large(picture: Picture) -> bool:
    if picture is None:
        return False
    try:
        width, height = header_size(picture)
    except Exception:  # whoever reads it says what is wrong with it
        return False
    return width * height > settings.LIMITS.large_picture


def _step_back() -> None:
    """Let the other threads go first, where threads have a priority of their own (Linux)."""
    if sys.platform == "linux":
        usual = os.getpriority(os.PRIO_PROCESS, 0)  # which only root may go below
        niceness = max(usual, settings.LIMITS.niceness)
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), niceness)
