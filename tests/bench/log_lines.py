"""(g) What a log statement costs whoever logs, written or not, and how many a busy service writes.

Measured: `logger.debug` with two arguments under the service's own set-up, in CPU time of the
calling thread, a call at a time. The tick path has no such statement but for what is wrong: the
cost of DEBUG that is off is what one would add to a tick. The four set-ups take turns; lines are
rendered, redacted and written to the null device by a thread of their own, which is not counted.

`off` has no area at DEBUG. `off beside an area that is on` is the default: orders at DEBUG, and a
statement of another area, of which loguru makes a record before its area can be asked.

Then a whole service (`tapewatch run`, its defaults: orders at DEBUG) with a feed of 10,000 ticks a
second, after it has settled: ticks and lines a second, the lines counted in its output.

Targets: DEBUG that is off costs at most 1,000 ns; at most 5 lines a second.
"""

import asyncio
import os
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from loguru import logger

from telemetry.log_line import json_text
from telemetry.logs import Area, Logs
from tests.bench.report import Report, turns
from tests.bench.whole_service import whole_service

ROUNDS = 31
MAX_OFF_NS = 1_000
TICKS_PER_S = 10_000
MAX_LINES_PER_S = 5.0
SETTLING_S = 3.0
COUNTED_S = 10.0
INFO = Area("service", "INFO")
DEBUG = Area("orders", "DEBUG")


class SetUp(NamedTuple):
    """Areas, what is said, and how often: no more lines than the output's queue takes."""

    name: str
    areas: Mapping[str, Area]
    say: Callable[..., None]
    calls: int


SET_UPS = (
    SetUp("off", {}, logger.debug, 50_000),
    SetUp("off beside an area that is on", {"elsewhere": DEBUG}, logger.debug, 5_000),
    SetUp("written as JSON", {__name__: DEBUG}, logger.debug, 5_000),
    SetUp("a repeated error, counted", {}, logger.error, 5_000),
)


def run(report: Report) -> None:
    """Measure all set-ups, then count the lines of a service."""
    _measure_calls(report)
    asyncio.run(_count_lines(report))


def _measure_calls(report: Report) -> None:
    dropped = 0
    with open(os.devnull, "w", encoding="utf-8") as out:
        for _, set_up in turns(SET_UPS, ROUNDS):
            with Logs(out, set_up.areas, INFO, json_text) as logs:
                report.add(set_up.name, _time(set_up))
                dropped += logs.dropped
    assert not dropped, "a line that is dropped costs less"
    for set_up in SET_UPS:
        at_most = MAX_OFF_NS if set_up.name == "off" else None
        report.figure(set_up.name, report.rounds[set_up.name], "ns/call", at_most=at_most)


async def _count_lines(report: Report) -> None:
    async with whole_service(FEED_RATE=TICKS_PER_S, LOG_FORMAT="json") as service:
        await service.ready()
        await asyncio.sleep(SETTLING_S)
        lines = service.log.count("\n")
        ticks, started = service.figure("tapewatch_quotes_total"), time.monotonic()
        await asyncio.sleep(COUNTED_S)
        ticks = service.figure("tapewatch_quotes_total") - ticks
        seconds = time.monotonic() - started
        lines = service.log.count("\n") - lines
    report.add("ticks/s", ticks / seconds)
    report.add("lines/s", lines / seconds)
    report.figure("a whole service: ticks", report.rounds["ticks/s"], "/s")
    report.figure("a whole service: lines", report.rounds["lines/s"], "/s", at_most=MAX_LINES_PER_S)


def _time(set_up: SetUp) -> float:
    say, calls = set_up.say, range(set_up.calls)
    started = time.thread_time_ns()
    for number in calls:
        say("order {} of account {}", number, 7)
    return (time.thread_time_ns() - started) / set_up.calls
