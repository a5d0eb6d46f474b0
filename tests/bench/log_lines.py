"""(g) What a log statement costs whoever logs, written or not.

Measured: `logger.debug` with two arguments under the service's own set-up, in CPU time of the
calling thread, a call at a time. The tick path has no such statement but for what is wrong: the
cost of DEBUG that is off is what one would add to a tick. The four set-ups take turns; lines are
rendered, redacted and written to the null device by a thread of their own, which is not counted.

`off` has no area at DEBUG. `off beside an area that is on` is the default: orders at DEBUG, and a
statement of another area, of which loguru makes a record before its area can be asked.

Target: DEBUG that is off costs at most 1,000 ns.
"""

import os
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from loguru import logger

from telemetry.log_line import json_text
from telemetry.logs import Area, Logs
from tests.bench.report import Report, turns

ROUNDS = 31
MAX_OFF_NS = 1_000
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
    """Measure all set-ups."""
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


def _time(set_up: SetUp) -> float:
    say, calls = set_up.say, range(set_up.calls)
    started = time.thread_time_ns()
    for number in calls:
        say("order {} of account {}", number, 7)
    return (time.thread_time_ns() - started) / set_up.calls
