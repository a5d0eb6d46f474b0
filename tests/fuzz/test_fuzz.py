"""A service that is sent nonsense for some seconds fails at none; `make fuzz` goes on longer."""

import asyncio
from collections.abc import Iterator

import pytest

from service.roles import ServiceRole
from tests.fuzz import frames
from tests.fuzz.__main__ import measured
from tests.fuzz.calls import Calls
from tests.fuzz.conversations import Conversations
from tests.fuzz.frames import SentFrame, converse, text
from tests.fuzz.subject import Subject, subject
from tests.otlp import hanging_collector
from tests.support import eventually

CALLS, FRAMES, SEED = 700, 500, 1

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(scope="module", params=[ServiceRole.ALL, ServiceRole.GATEWAY])
def on(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Subject]:
    """A service; what went wrong in it while it was attacked fails the last test."""
    with asyncio.Runner() as runner:
        context = subject(tmp_path_factory.mktemp("fuzz"), request.param)
        yield runner.run(context.__aenter__())
        runner.run(context.__aexit__(None, None, None))


def test_every_call_is_answered_as_documented(on: Subject) -> None:
    calls = Calls(on, SEED)
    calls.run(CALLS, lambda _: None)
    assert calls.statuses.total() >= CALLS
    assert {200, 401, 403, 404, 422} <= calls.statuses.keys(), "it gets further than the door"


def test_every_conversation_is_answered_or_closed(on: Subject) -> None:
    talk = Conversations(on, SEED)
    talk.run(FRAMES, lambda _: None)
    assert {"answered", "closed"} <= talk.ends.keys() <= {"answered", "closed", "refused", "left"}


async def test_nothing_is_left_of_it(on: Subject) -> None:
    before = measured(on)
    for _ in range(20):
        await converse(on.port, on.token(), [SentFrame(3, b"x", reserved=7)], "")
    await eventually(lambda: measured(on).sockets == 0)
    await eventually(lambda: measured(on).files <= before.files + 2)
    assert on.failures() == []


async def test_a_service_that_hangs_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "ANSWER_TIMEOUT_S", 0.2)
    async with hanging_collector() as address:
        port = int(address.rpartition(":")[2])
        with pytest.raises(TimeoutError):
            await converse(port, "a token", [text({"type": "ping"})], "")
