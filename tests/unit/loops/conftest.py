from collections.abc import AsyncIterator, Iterator

import pytest
from loguru import logger

from service.instruments import Instruments
from tests.unit.loops.clock import ManualClock
from tests.unit.loops.supervised import Loops


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def loops(clock: ManualClock) -> AsyncIterator[Loops]:
    loops = Loops(clock, Instruments())
    async with loops.supervisor.group() as loops.group:
        yield loops


@pytest.fixture
def log() -> Iterator[list[str]]:
    """What is logged as `LEVEL message`, with its traceback."""
    lines: list[str] = []
    sink = logger.add(
        lambda line: lines.append(str(line)), format="{level} {message}", backtrace=False
    )
    yield lines
    logger.remove(sink)
