"""(j) What a collector that refuses, hangs or is slow does to ticks and to the end of the service.

Measured: a real WebSocket brings 2,000 quotes a second, one in ten triggers an order, and every one
of these is traced: some 400 spans a second go to a collector over gRPC. One process for each way a
collector can be (works; nobody listens; takes all and never answers; answers after 1 s), all at the
same time, of which one at a time has ticks, in an order drawn anew each round. The time of a tick
is from its sending by the upstream, in another process, to its decision: what a thread that exports
takes from the event loop shows in it; beside it that of its processing alone. Ratios are of pairs
of a round; `works` stands there twice, and the ratio of the two is the noise.

Then how long telemetry takes to close with a full queue, and how many spans were lost: all are
counted, or the run fails. At last how long a whole service (`tapewatch run`, every trace sampled,
500 quotes a second) takes from SIGTERM to its exit, its database and cache included.

Targets: the 99th percentiles at most 1.05 times those with a collector that works, missed if the
whole interval of the ratio is above; telemetry closes within 2 s, the service within 5 s.
"""

import asyncio
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack

import msgspec
import uvloop
from tqdm import tqdm

from tests.bench.collector_ticks import CLOSE, Ending, Latency
from tests.bench.collectors import Endpoints, collectors
from tests.bench.feed_desk import feed_upstream
from tests.bench.feed_turns import Turn
from tests.bench.processes import answer, process, tell
from tests.bench.report import Report, shuffled_turns
from tests.bench.whole_service import whole_service

# Enough ticks that a batch of their spans leaves within the turn.
TURN = Turn(quotes=1_500, triggering=0.1, per_s=2_000)
ROUNDS = 20
WARM_UPS = 1
MAX_RATIO = 1.05
MAX_CLOSE_S = 2.0
MAX_STOP_S = 5.0
TRADING_S = 4.0  # of a whole service before it is stopped
FEED_RATE = 500
WORKS, WORKS_TOO = "works", "works, too"


def run(report: Report) -> None:
    """Measure ticks and closing, then whole services."""
    uvloop.run(_run(report))


async def _run(report: Report) -> None:
    async with collectors() as endpoints:
        await measure_ticks(report, _by_way(endpoints), TURN, ROUNDS)
        await measure_stops(report, _by_way(endpoints))


def _by_way(endpoints: Endpoints) -> dict[str, str]:
    return {
        WORKS: endpoints.healthy,
        "refuses": endpoints.refused,
        "hangs": endpoints.hanging,
        "slow": endpoints.slow,
    }


async def measure_ticks(
    report: Report, endpoints: Mapping[str, str], turn: Turn, rounds: int
) -> None:
    """Measure the ticks of turns, then the end of telemetry."""
    ways = {**endpoints, WORKS_TOO: endpoints[WORKS]}
    async with AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(feed_upstream())
        receivers = {}
        for way, endpoint in ways.items():
            module = process("tests.bench.collector_ticks", upstream, endpoint)
            receivers[way] = await stack.enter_async_context(module)
            await answer(receivers[way])
        turns = shuffled_turns(tuple(receivers), WARM_UPS + rounds)
        total = (WARM_UPS + rounds) * len(receivers)
        for number, way in tqdm(turns, "ticks", total, leave=False):
            tell(receivers[way], turn._replace(seed=number).query)
            latency = msgspec.json.decode(await answer(receivers[way]), type=Latency)
            if number >= WARM_UPS:
                for name, value in msgspec.structs.asdict(latency).items():
                    report.add(f"{way}: {name}, µs", value)
        for way, receiver in receivers.items():
            tell(receiver, CLOSE)
            ending = msgspec.json.decode(await answer(receiver), type=Ending)
            for name, value in msgspec.structs.asdict(ending).items():
                report.add(f"{way}: {name}", value)
    _conclude(report, ways)


async def measure_stops(report: Report, endpoints: Mapping[str, str]) -> None:
    """Let whole services trade for a while, and stop one after the other."""
    async with AsyncExitStack() as stack:
        services = {}
        for way, endpoint in tqdm(endpoints.items(), "services", leave=False):
            starting = whole_service(endpoint, TRACE_RATIO=1, FEED_RATE=FEED_RATE)
            services[way] = await stack.enter_async_context(starting)
        for service in services.values():
            await service.ready()
        await asyncio.sleep(TRADING_S)
        for way, service in services.items():
            started = time.monotonic()
            assert await service.stop() == 0, service.log
            seconds = time.monotonic() - started
            report.add(f"{way}: the service ends, s", seconds)
            report.figure(f"{way}: the service ends", [seconds], "s", at_most=MAX_STOP_S)


def _conclude(report: Report, ways: Mapping[str, str]) -> None:
    rounds = report.rounds
    report.figure("works: a tick's median", rounds[f"{WORKS}: decided_median, µs"], "µs")
    report.figure("works: a tick's p99", rounds[f"{WORKS}: decided_p99, µs"], "µs")
    report.figure("works: p99 of processing", rounds[f"{WORKS}: judged_p99, µs"], "µs")
    for way in ways:
        if way == WORKS:
            continue
        for name, series in (("a tick's p99", "decided_p99"), ("of processing", "judged_p99")):
            report.ratio(
                f"{way}: {name} : works",
                f"{way}: {series}, µs",
                f"{WORKS}: {series}, µs",
                within_noise=True,
                at_most=None if way == WORKS_TOO else MAX_RATIO,
            )
    for way in ways:
        (close_s,) = rounds[f"{way}: close_s"]
        report.figure(f"{way}: telemetry closes", [close_s], "s", at_most=MAX_CLOSE_S)
        lost = [*rounds[f"{way}: failed"], *rounds[f"{way}: dropped"]]
        share = sum(lost) / rounds[f"{way}: made"][0]
        report.figure("  spans lost, all counted", [share * 100], "%")
