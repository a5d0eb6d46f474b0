"""What an engine remembers of requests: as long as anybody waits, and no longer."""

import asyncio
import time
from typing import cast

import pytest

from service.domain.instrument import TradingState
from service.instruments import Instruments
from service.loops.answering import Answering
from service.loops.answers import ANSWER_TIMEOUT_S, Unavailable
from service.loops.requests import (
    Answer,
    Author,
    ChangeSettings,
    ListExposure,
    Request,
    SetGroupState,
    encode_request,
)
from service.storage.stream_writer import StreamWriter
from service.storage.streams import Entry, Streams

HOUR_S = 3600.0
CHANGE = ChangeSettings(SetGroupState("gold", TradingState.HALTED), Author("admin"))


class Engine:
    """Refuses all that it is asked, and is the bus's streams and their writer as well."""

    def __init__(self) -> None:
        self.instruments = Instruments()
        self.asked: list[Request] = []
        self.sent = 0
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.answering = Answering(
            0, self, lambda: True, cast("Streams", self), cast("StreamWriter", self)
        )
        self.answering._led_since = time.time_ns() - int(HOUR_S * 1e9)

    async def led(self) -> None:
        await asyncio.Event().wait()

    async def answer(self, request: Request) -> Answer:
        self.asked.append(request)
        await self.may_answer.wait()
        raise Unavailable("the database is away: try again")

    def put(self, key: str, *commands: object) -> None:
        self.sent += 1

    async def take(self, number: int, request: Request, ahead_s: float = 0.0) -> None:
        """Take a request of a gateway whose clock is ahead by so much."""
        deadline = time.time_ns() + int((ANSWER_TIMEOUT_S + ahead_s) * 1e9)
        fields = {"i": number, "g": "gateway", "d": deadline, "a": 1}
        flat = [str(each).encode() for pair in fields.items() for each in pair]
        self.answering._take(Entry(b"1-0", [*flat, b"m", encode_request(request)]))
        await asyncio.sleep(0.01)


@pytest.fixture
async def engine() -> Engine:
    return Engine()


async def test_what_is_asked_once_is_not_done_when_it_is_read_again(engine: Engine) -> None:
    for _ in range(2):
        await engine.take(1, CHANGE)
    assert engine.asked == [CHANGE], "who asked was told that nothing was done"
    assert engine.sent == 2
    for _ in range(2):
        await engine.take(2, ListExposure())
    assert engine.asked[1:] == [ListExposure()] * 2, "asked again, it may be told"


async def test_a_gateway_whose_clock_is_ahead_has_nothing_remembered_for_longer(
    engine: Engine,
) -> None:
    await engine.take(1, CHANGE, ahead_s=HOUR_S)
    await engine.take(2, CHANGE)
    assert len(engine.answering._asked) == 2
    engine.answering._forget(time.time_ns() + int(3 * ANSWER_TIMEOUT_S * 1e9))
    assert not engine.answering._asked


async def test_what_was_on_its_way_when_the_loop_ended_is_answered_when_it_is_asked_again(
    engine: Engine,
) -> None:
    engine.may_answer.clear()
    running = asyncio.create_task(engine.answering.run())
    for _ in range(2):
        await engine.take(1, ListExposure())
    assert engine.asked == [ListExposure()], "the second joins the first"
    running.cancel()
    await asyncio.wait((running,))
    engine.may_answer.set()
    await engine.take(1, ListExposure())
    assert (engine.asked, engine.sent) == ([ListExposure()] * 2, 1)
