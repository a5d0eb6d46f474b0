"""(i) What telemetry costs on the path from a feed's message on the socket to the decision.

Measured: the CPU time of a process that reads quotes of 30 symbols off a real WebSocket (aiohttp on
uvloop, as in production; an upstream in a process of its own sends as fast as it can), decodes them
and judges them over 10,000 resting orders, until the last quote of a turn is decided. Its modes:

- `off`: the same code compiled without its telemetry (tests/bench/untold.py): no counter, no clock
  reading but the guards', no trace;
- `metrics`: the service's own `Trading` and `Instruments` as they are without a collector, and the
  sampler of event-loop lag and garbage collections at work;
- `metrics and traces`: these, and traces to a collector (OTLP over gRPC, in another process): 1 %
  of the ticks that decide something, and every slow one, for which each tick is timed.

The turns of a round have the same quotes, in an order drawn anew; figures are medians of rounds,
ratios of pairs of one round. `off` runs twice a round: its ratio to itself is the noise.

Loads: one quote a message, of which none, or one in a hundred, triggers an order; and, for whoever
has such an upstream, ten quotes a message, where the same telemetry meets a smaller price of
receiving. Not in the ratios: a scrape (part `metrics`), what the commit counts later, and the
export of a span, which is told alone, in CPU time of all threads.

Target: all telemetry costs at most 5 % (1.05 times the CPU time of `off`) with a quote a message.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import uvloop
from tqdm import tqdm

from service.instruments import Instruments
from telemetry.otlp import OtlpProtocol
from telemetry.runtime import Runtime
from telemetry.spans import Tracing
from telemetry.tracing import QUEUE_LIMIT, Exports
from tests.bench.collectors import collectors
from tests.bench.feed_desk import FeedDesk, Shell, feed_upstream
from tests.bench.feed_turns import Turn
from tests.bench.quiet_logs import quiet_logs
from tests.bench.report import Report, shuffled_turns
from tests.bench.untold import without_telemetry

QUOTES_A_TURN = 2_000
WARM_UPS = 2
MAX_RATIO = 1.05
TRACE_RATIO = 0.01
SPANS = QUEUE_LIMIT // 2
SPAN_ROUNDS = 5
SPAN_POLL_S = 0.05


class Load(NamedTuple):
    """What comes, in how many rounds, and whether the target is for it."""

    name: str
    turn: Turn
    rounds: int
    is_judged: bool


LOADS = (
    Load("1 in 100 triggers", Turn(QUOTES_A_TURN, triggering=0.01), 120, True),
    Load("quiet", Turn(QUOTES_A_TURN), 120, True),
    Load("quiet, 10 a message", Turn(QUOTES_A_TURN, together=10), 60, False),
)
OFF, OFF_AGAIN, METRICS, TRACES = "off", "off again", "metrics", "metrics and traces"


def run(report: Report) -> None:
    """Measure all loads in all modes."""
    with quiet_logs():
        uvloop.run(measure(report, LOADS))


async def measure(report: Report, loads: tuple[Load, ...]) -> None:
    """Measure loads in all modes, and what it costs to export a span."""
    async with (
        feed_upstream() as upstream,
        collectors() as endpoints,
        _exports(endpoints.healthy) as exports,
    ):
        desk = FeedDesk(upstream)
        traced = Instruments(tracing=Tracing(exports, TRACE_RATIO))
        shells = {
            OFF: desk.shell(Instruments(), without_telemetry()),
            OFF_AGAIN: desk.shell(Instruments(), without_telemetry()),
            METRICS: desk.shell(Instruments()),
            TRACES: desk.shell(traced),
        }
        for load in loads:
            rounds = WARM_UPS + load.rounds
            turns = shuffled_turns(tuple(shells), rounds)
            for number, mode in tqdm(turns, load.name, rounds * len(shells), leave=False):
                cpu_s = await _take(desk, shells[mode], mode, load.turn._replace(seed=number))
                if number >= WARM_UPS:
                    report.add(_series(load, mode), cpu_s / load.turn.quotes * 1e6)
            _conclude(report, load)
        for _ in range(SPAN_ROUNDS):
            report.add("an exported span, µs", await _export_spans(exports))
        report.figure("an exported span", report.rounds["an exported span, µs"], "µs")
        assert not exports.dropped + exports.failed, "a span that is lost costs less"


async def _take(desk: FeedDesk, shell: Shell, mode: str, turn: Turn) -> float:
    if mode in (OFF, OFF_AGAIN):
        return (await desk.take(shell, turn)).cpu_s
    sampling = asyncio.create_task(Runtime(shell.instruments.metrics).run())
    try:
        return (await desk.take(shell, turn)).cpu_s
    finally:
        sampling.cancel()
        await asyncio.wait((sampling,))


@asynccontextmanager
async def _exports(endpoint: str) -> AsyncIterator[Exports]:
    exports = Exports(endpoint, OtlpProtocol.GRPC, name="bench", version="0", instance="bench")
    try:
        yield exports
    finally:
        await exports.close()


async def _export_spans(exports: Exports) -> float:
    """Return the CPU time of a tick's span from its making until a collector has it, µs."""
    tracing = Tracing(exports, 1.0)
    started = time.process_time()
    for number in range(SPANS):
        span = tracing.begin("tick")
        span.note("decisions", number)
        span.end()
    while exports.waiting:  # noqa: ASYNC110 - the exporter's thread has no event
        await asyncio.sleep(SPAN_POLL_S)
    return (time.process_time() - started) / SPANS * 1e6


def _series(load: Load, mode: str) -> str:
    return f"{load.name}: {mode}, µs/quote"


def _conclude(report: Report, load: Load) -> None:
    at_most = MAX_RATIO if load.is_judged else None
    off = _series(load, OFF)
    report.figure(f"{load.name}: off", report.rounds[off], "µs/quote")
    for mode in (METRICS, TRACES):
        series = _series(load, mode)
        report.ratio(f"{load.name}: {mode} : off", series, off, at_most=at_most)
        added = zip(report.rounds[series], report.rounds[off], strict=True)
        nanoseconds = [(told - untold) * 1e3 for told, untold in added]
        report.figure("  adds", nanoseconds, "ns/quote", is_paired=True)
    report.ratio(f"{load.name}: off again : off", _series(load, OFF_AGAIN), off)
