"""What `tapewatch status` prints, and what it says when it cannot ask."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest
from aiohttp import web

from service.api.ops import build_ops
from service.api.readiness import CheckResult, Readiness, ReadinessReport, State
from service.api.serving import runner_of
from service.instruments import Instruments
from service.loops.loop_status import LoopKind, LoopState, LoopStatus
from service.loops.supervisor import Supervisor
from service.status import CannotAsk, ServiceStatus, ask_status, status_lines
from tests.support import free_port
from tests.unit.api.world import HOST
from tests.unit.api.world import World as APIWorld

NOW = datetime(2026, 1, 5, 8, 0, 30, tzinfo=UTC)
CHECKS = {
    "database": CheckResult(True, True, "answers"),
    "redis": CheckResult(False, False, "does not answer"),
}
DEGRADED = ReadinessReport(State.DEGRADED, CHECKS)


def loop(**changes: Any) -> LoopStatus:
    fields: dict[str, Any] = {
        "name": "pending_sweep",
        "kind": LoopKind.REPEATING,
        "state": LoopState.IDLE,
        "interval_s": 5.0,
        "last_run_at": "2026-01-05T08:00:27.000Z",
        "last_success_at": "2026-01-05T08:00:27.000Z",
        "last_duration_s": 0.0042,
        "runs": 7,
        "errors": 0,
        "consecutive_errors": 0,
        "last_error": None,
        "restarts": 0,
        "recovered_s": None,
        "next_run_at": "2026-01-05T08:00:32.000Z",
    }
    return LoopStatus(**(fields | changes))


ILL = loop(
    name="portfolio",
    state=LoopState.BACKING_OFF,
    interval_s=180.0,
    last_success_at="2026-01-05T06:00:00.000Z",
    runs=130,
    errors=9,
    consecutive_errors=3,
    last_error="Unreachable: away",
)
STANDING = loop(
    name="feed",
    kind=LoopKind.STANDING,
    state=LoopState.RUNNING,
    interval_s=0.0,
    last_duration_s=None,
    errors=1,
    restarts=1,
    recovered_s=150.0,
    last_error="Died: it ended by itself",
)


def test_readiness_comes_first_and_then_an_aligned_table() -> None:
    lines = status_lines(ServiceStatus(DEGRADED, [loop(), ILL, STANDING]), NOW)
    assert lines[0] == "DEGRADED (database: answers; redis FAILS: does not answer)"
    assert lines[1] == ""
    assert re.split(r"  +", lines[2].strip()) == [
        *("LOOP", "STATE", "EVERY", "LAST RUN", "LAST SUCCESS", "TOOK", "RUNS", "ERRORS"),
        *("IN A ROW", "RESTARTS", "LAST ERROR"),
    ]
    well, ill, standing = lines[3:]
    assert re.split(r"  +", well.strip()) == [
        *("pending_sweep", "idle", "5 s", "3 s ago", "3 s ago", "4 ms", "7", "0", "0", "0")
    ]
    assert ill.startswith("!  portfolio")
    assert "3 min" in ill
    assert "2 h ago" in ill
    assert ill.endswith("Unreachable: away")
    assert standing.endswith("(over, it took 2 min) Died: it ended by itself")
    column = lines[2].index("STATE")
    assert [line[column:].split()[0] for line in lines[3:]] == ["idle", "backing_off", "running"]


@pytest.mark.parametrize(
    ("state", "loops", "is_well"),
    [
        (State.READY, [loop(), STANDING], True),
        (State.DEGRADED, [loop()], True),
        (State.STANDBY, [loop()], True),
        (State.NOT_READY, [loop()], False),
        (State.SHUTTING_DOWN, [loop()], False),
        (State.READY, [loop(), ILL], False),
        (State.READY, [loop(state=LoopState.STUCK)], False),
        (State.READY, [loop(state=LoopState.STOPPED)], False),
        (State.READY, [loop(state=LoopState.RUNNING, consecutive_errors=1)], False),
    ],
)
def test_it_is_well_if_it_is_ready_and_no_loop_is_ill(
    state: State, loops: list[LoopStatus], is_well: bool
) -> None:
    assert ServiceStatus(ReadinessReport(state, {}), loops).is_well is is_well


class World:
    """A process whose loops are told of, that trades or stands by."""

    def __init__(self) -> None:
        self.is_leading = True
        self.instruments = Instruments()
        self.supervisor = Supervisor(self.instruments, Random())


@asynccontextmanager
async def ops_port(world: World) -> AsyncIterator[int]:
    readiness = Readiness(lambda: world.is_leading)
    runner = runner_of(build_ops(world.instruments, readiness, world.supervisor))
    await runner.setup()
    await web.TCPSite(runner, HOST, 0).start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@pytest.fixture
def world() -> World:
    return World()


async def test_it_asks_the_ops_port(world: World) -> None:
    async with ops_port(world) as port, world.supervisor.group() as group:
        group.repeat("sweep", _nothing, interval_s=60)
        status = await ask_status((HOST, port))
        assert (status.is_well, status.readiness.status) == (True, State.READY)
        assert [each.name for each in status.loops] == ["sweep"]
        world.is_leading = False
        status = await ask_status((HOST, port))
        assert (status.is_well, status.readiness.status) == (True, State.STANDBY)


async def _nothing() -> None:
    pass


async def test_what_cannot_be_asked_says_what_to_do() -> None:
    with pytest.raises(CannotAsk, match="set TAPEWATCH_OPS_HOST and TAPEWATCH_OPS_PORT"):
        await ask_status((HOST, free_port()))
    async with APIWorld() as world:
        with pytest.raises(CannotAsk, match=r"answers 404: .* no Tapewatch of this version"):
            await ask_status((HOST, world.port))


async def test_what_is_no_tapewatch_is_not_taken_for_one() -> None:
    async def greet(_: web.Request) -> web.Response:
        return web.Response(text="hello")

    app = web.Application()
    app.router.add_get("/readyz", greet)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, HOST, 0).start()
    address = (HOST, runner.addresses[0][1])
    try:
        with pytest.raises(CannotAsk, match="is no Tapewatch"):
            await ask_status(address)
    finally:
        await runner.cleanup()
