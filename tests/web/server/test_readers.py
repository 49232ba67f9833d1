"""Who reads pictures for programs: in batches, in turn, and with a bound on who waits."""

import asyncio
import os
import sys
import threading
from dataclasses import replace

import hostile
import pytest
from PIL import Image
from starlette.exceptions import HTTPException

from mnist_cnn.web import settings
from mnist_cnn.web.server.api import TASKS, predict, read
from mnist_cnn.web.server.live import Weights
from mnist_cnn.web.server.readers import Readers, Task

SMALL = hostile.png_claiming(280, 280)
LARGE = hostile.encoded(Image.new("L", (3000, 2000)), "BMP")


class Gate:
    """A task that notes its batches, and waits until it is opened."""

    def __init__(self, together: int) -> None:
        self.opened, self.batches = threading.Event(), []
        self.task = Task(self.answer, together)

    def answer(self, model: object, pictures: list) -> list:
        self.batches.append(list(pictures))
        self.opened.wait()
        return list(pictures)


def test_who_waits_shares_a_batch(monkeypatch):
    """The first is begun at once; those that come meanwhile are read together, in their order."""
    monkeypatch.setattr(settings, "LIMITS", replace(settings.LIMITS, readers=1))
    gate, alone = Gate(together=4), Gate(together=1)
    alone.opened.set()
    asked = [(gate, b"a"), *((gate, bytes([letter])) for letter in b"bcdefg")]
    asked += [(alone, b"x"), (alone, b"y"), (gate, b"h")]

    async def main() -> list:
        readers = Readers(Weights(None))
        tasks = [asyncio.create_task(readers.run(g.task, picture)) for g, picture in asked]
        await asyncio.sleep(0.05)
        assert readers.waiting == len(asked)
        gate.opened.set()
        answers = await asyncio.gather(*tasks)
        assert readers.waiting == readers.busy == 0
        return answers

    assert asyncio.run(main()) == [picture for _, picture in asked]
    assert gate.batches == [[b"a"], [b"b", b"c", b"d", b"e"], [b"f", b"g"], [b"h"]]
    assert alone.batches == [[b"x"], [b"y"]]


def test_pages_are_read_one_by_one():
    assert TASKS["predict"].together == settings.LIMITS.batch > 1
    assert TASKS["read"].together == 1


def test_a_batch_is_one_run_of_the_network(model, frames, monkeypatch):
    png = hostile.encoded(Image.fromarray(255 - frames[40]).resize((140, 140)), "PNG")
    runs = []
    monkeypatch.setattr(model, "forward", lambda batch: runs.append(len(batch)) or forward(batch))
    forward = type(model).forward.__get__(model)
    answers = predict(model, [png, None, png])
    assert runs == [2]
    assert [answer.get("digit") for answer in answers] == [4, None, 4]
    assert answers[1]["error"].startswith("cannot read None as a picture")


@pytest.mark.parametrize("function", [predict, read])
def test_bad_pictures_have_answers_of_their_own(model, tmp_path, frames, function):
    png = hostile.encoded(Image.fromarray(255 - frames[40]).resize((140, 140)), "PNG")
    gone = str(tmp_path / "gone.png")
    answers = function(model, [png, png[:200], png, gone])
    read = [answer.get("digit", answer.get("text")) for answer in answers]
    assert [str(digit) for digit in read] == ["4", "None", "4", "None"]
    assert "damaged" in answers[1]["error"]
    assert answers[3] == {"error": "gone.png: no such file"}


def test_a_failure_reaches_all_of_its_batch_and_ends_nothing(model):
    def fail(_: object, pictures: list) -> list:
        raise MemoryError

    async def main() -> dict:
        readers = Readers(Weights(model))
        failed = await asyncio.gather(
            *(readers.run(Task(fail, 3), b"") for _ in range(3)), return_exceptions=True
        )
        assert [type(error) for error in failed] == [MemoryError] * 3
        return await readers.run(TASKS["predict"], b"")

    assert "empty" in asyncio.run(main())["error"]


def test_whoever_went_away_is_not_missed(monkeypatch):
    monkeypatch.setattr(settings, "LIMITS", replace(settings.LIMITS, readers=1))
    gate = Gate(together=2)

    async def main() -> list:
        readers = Readers(Weights(None))
        tasks = [asyncio.create_task(readers.run(gate.task, p)) for p in (b"a", b"b", b"c")]
        await asyncio.sleep(0.05)
        tasks[1].cancel()
        gate.opened.set()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert readers.waiting == readers.busy == 0
        return [answers[0], type(answers[1]), answers[2]]

    assert asyncio.run(main()) == [b"a", asyncio.CancelledError, b"c"]
    assert gate.batches == [[b"a"], [b"c"]]


def test_too_many_waiting_are_refused_and_the_others_answered(monkeypatch):
    monkeypatch.setattr(settings, "LIMITS", replace(settings.LIMITS, queue=5))
    gate = Gate(together=1)

    async def main() -> list:
        readers = Readers(Weights(None))
        tasks = [asyncio.create_task(readers.run(gate.task, b"")) for _ in range(5)]
        await asyncio.sleep(0)
        for _ in range(3):
            with pytest.raises(HTTPException) as refused:
                await readers.run(gate.task, b"")
            assert refused.value.status_code == 503
        gate.opened.set()
        return await asyncio.gather(*tasks)

    assert asyncio.run(main()) == [b""] * 5


def test_drawings_do_not_wait_behind_large_photos():
    gate = threading.Event()

    def answer(_: object, pictures: list[bytes]) -> list[str]:
        if any(len(picture) > 1000 for picture in pictures):
            gate.wait()
        return [threading.current_thread().name] * len(pictures)

    async def main() -> list[str]:
        readers, task = Readers(Weights(None)), Task(answer, 16)
        photos = [asyncio.create_task(readers.run(task, LARGE)) for _ in range(3)]
        await asyncio.sleep(0)
        drawing = await readers.run(task, SMALL)
        gate.set()
        return [drawing.rpartition("_")[0], *{name for name in await asyncio.gather(*photos)}]

    assert asyncio.run(main()) == ["reader", "large-reader_0"]


def test_too_many_large_pictures_are_refused(monkeypatch):
    monkeypatch.setattr(settings, "LIMITS", replace(settings.LIMITS, large_pictures=2))
    gate = Gate(together=1)

    async def main() -> None:
        readers = Readers(Weights(None))
        photos = [asyncio.create_task(readers.run(gate.task, LARGE)) for _ in range(3)]
        done, _ = await asyncio.wait(photos, return_when=asyncio.FIRST_COMPLETED)
        assert [each.exception().status_code for each in done] == [503]
        gate.opened.set()
        answers = await asyncio.gather(*photos, return_exceptions=True)
        assert sum(answer == LARGE for answer in answers) == 2

    asyncio.run(main())


@pytest.mark.skipif(sys.platform != "linux", reason="threads have a priority of their own on Linux")
def test_large_pictures_step_back():
    def niceness(_: object, pictures: list[bytes]) -> list[int]:
        return [os.getpriority(os.PRIO_PROCESS, threading.get_native_id())] * len(pictures)

    async def main() -> list[int]:
        readers = Readers(Weights(None))
        return [await readers.run(Task(niceness), picture) for picture in (SMALL, LARGE)]

    usual = os.getpriority(os.PRIO_PROCESS, 0)
    assert asyncio.run(main()) == [usual, max(usual, settings.LIMITS.niceness)]
