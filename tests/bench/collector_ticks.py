"""The receiving process of the collector benchmark: ticks judged while traces go to a collector.

Run as `python -m tests.bench.collector_ticks UPSTREAM ENDPOINT`. It prints a line when it is ready,
then answers each `Turn.query` on stdin with the `Latency` of the turn's ticks as JSON, and `close`
with the `Ending` of its telemetry. Every trace is sampled: each tick that triggers an order
is a span, with the commit that would follow it, and both go to the collector.
"""

import asyncio
import statistics
import sys
import time

import msgspec
import uvloop

from service.domain.quote import Quote
from service.instruments import Instruments
from telemetry.otlp import OtlpProtocol
from telemetry.spans import Span, Tracing
from telemetry.tracing import QUEUE_LIMIT, Exports
from tests.bench.feed_desk import FeedDesk
from tests.bench.feed_turns import Turn
from tests.bench.quiet_logs import quiet_logs

CLOSE = "close"


class Latency(msgspec.Struct, frozen=True):
    """Of the ticks of a turn, µs, at the 99th percentile and the median.

    Attributes:
        decided: from the upstream's sending to the decision.
        judged: of the processing alone, from the feed's handing over to the decision.
    """

    decided_p99: float
    decided_median: float
    judged_p99: float


class Ending(msgspec.Struct, frozen=True):
    """How long telemetry took to close, s, and what had become of the spans that were made."""

    close_s: float
    made: int
    exported: int
    failed: int
    dropped: int


class _Traced:
    """Instruments whose spans are counted before they go to a collector."""

    def __init__(self, endpoint: str) -> None:
        self._exports = Exports(
            endpoint, OtlpProtocol.GRPC, name="bench", version="0", instance="bench"
        )
        self._made = 0
        self._tracing = Tracing(self, 1.0)
        self.instruments = Instruments(tracing=self._tracing)

    def take(self, span: Span) -> None:
        self._made += 1
        self._exports.take(span)

    async def close(self) -> Ending:
        """Fill the queue, then close."""
        exports = self._exports
        while exports.waiting < QUEUE_LIMIT:
            self._tracing.begin("left").end()
        started = time.monotonic()
        await exports.close()
        close_s = time.monotonic() - started
        assert self._made == exports.exported + exports.failed + exports.dropped
        return Ending(close_s, self._made, exports.exported, exports.failed, exports.dropped)


async def _run(upstream: str, endpoint: str) -> None:
    traced = _Traced(endpoint)
    desk = FeedDesk(upstream)
    shell = desk.shell(traced.instruments)
    on_quote = shell.trading.on_quote
    decided: list[int] = []
    judged: list[int] = []

    def timed(quote: Quote) -> None:
        started = time.perf_counter_ns()
        on_quote(quote)
        judged.append(time.perf_counter_ns() - started)
        decided.append(time.time_ns() - quote.time)

    commands = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(commands), sys.stdin
    )
    print("ready", flush=True)
    while line := (await commands.readline()).decode().strip():
        if line == CLOSE:
            _tell(await traced.close())
            continue
        decided.clear()
        judged.clear()
        await desk.take(shell, Turn.of_query(line), timed)
        _tell(Latency(_p99_us(decided), statistics.median(decided) / 1e3, _p99_us(judged)))


def _p99_us(nanoseconds: list[int]) -> float:
    return statistics.quantiles(nanoseconds, n=100)[-1] / 1e3


def _tell(what: msgspec.Struct) -> None:
    print(msgspec.json.encode(what).decode(), flush=True)


if __name__ == "__main__":
    with quiet_logs():
        uvloop.run(_run(*sys.argv[1:]))
