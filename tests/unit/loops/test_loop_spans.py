"""A run of a loop is a trace of its own, linked to the failed run before it."""

import asyncio

from service.instruments import Instruments
from service.loops.supervisor import Supervisor
from telemetry.limits import Limit
from telemetry.pulse import Pulse
from telemetry.spans import Span, Tracing
from tests.unit.loops.clock import ManualClock
from tests.unit.loops.supervised import BAD, INTERVAL_S, LOOP, NoJitter, Script
from tests.unit.telemetry.test_spans import Box


async def runs(clock: ManualClock, box: Box, script: Script) -> list[Span]:
    tracing = Tracing(box, 1.0)
    supervisor = Supervisor(Instruments(tracing=tracing), NoJitter(), clock.clock)
    with tracing.span("start"):
        async with supervisor.group() as group:
            group.repeat(LOOP, script, interval_s=INTERVAL_S)
            await clock.advance(3 * INTERVAL_S)
    return [span for span in box.spans if span.name == f"loop {LOOP}"]


async def test_a_run_is_nobodys_child_and_has_a_trace_of_its_own(clock: ManualClock) -> None:
    spans = await runs(clock, Box(), Script(clock))
    assert len(spans) == 3
    assert [span.parent_ids for span in spans] == [None] * 3
    assert len({span.ids.trace_id for span in spans}) == 3
    assert [span.limit for span in spans] == [Limit.LOOP] * 3


async def test_a_run_after_a_failed_one_is_linked_to_it(clock: ManualClock) -> None:
    spans = await runs(clock, Box(), Script(clock, BAD))
    failed, retried = spans[:2]
    assert failed.error == "ValueError"
    assert list(retried.links) == [failed.ids]
    assert retried.attributes["loop.consecutive_errors"] == 1
    assert all(not span.links for span in (failed, *spans[2:]))


async def test_a_loop_that_stands_has_no_span_for_all_its_life(clock: ManualClock) -> None:
    box = Box()
    supervisor = Supervisor(Instruments(tracing=Tracing(box, 1.0)), NoJitter(), clock.clock)
    async with supervisor.group() as group:
        group.keep("stands", asyncio.Event().wait, Pulse())
        await clock.advance(5)
    assert box.spans == []
