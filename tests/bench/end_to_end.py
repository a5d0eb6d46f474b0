"""(p) One service under load, end to end: how many ticks a second, and how late what they do is.

Measured: `tapewatch serve` on a PostgreSQL with fsync and a Valkey, with 100,000 resting orders of
20,000 accounts in 30 symbols and 20 groups, and `tapewatch load` on it, all on this machine: 500
sockets, 100 commands a second (four in ten place an order, two change one, four end one), and ticks
at rates that climb, one a message, of which some trigger 1 to 20 orders at once. `tick to commit`
is the service's own, from a tick's arrival; its neighbour, the age of quotes on arrival, is how
long a tick waited before. `tick to fill pushed` is the whole way as a client sees it: from when a
tick was due to the arrival, at a socket, of what it did to an order, commit and Redis between.

Latencies are from when a tick or a command was due, so that whoever is late hides nothing. Of each
rate five seconds make a sample. The generator runs on the same cores: its share is told.

Against: bare limits of the same run (`tests/bench/bare_limits.py`), each by itself.

Targets: at 10,000 ticks a second a tick-to-commit p99 of at most 10 ms and pushes within 100 ms. A
rate counts as reached where both hold, ticks wait at most 10 ms to be taken, and nothing is held
back.
"""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import uvloop
from tqdm import tqdm

from service.load.figures import ANSWERED, EVENTS_PUSHED, FILLS_PUSHED, QUOTES_PUSHED, TICK_LAG
from service.load.figures import Figures as LoadFigures
from service.load.stages import QUOTE_AGE, TICK_TO_COMMIT
from service.storage.embedded import EmbeddedPostgres, EmbeddedValkey
from tests.bench.bare_limits import commits_ms, messages_per_s, pipelines_ms
from tests.bench.loaded_service import POSTGRES, VALKEY, Found, Scale, load, loaded_service
from tests.bench.machine import allow_sockets
from tests.bench.plots import Quantile
from tests.bench.report import Report
from tests.bench.server import BUILD, bench_postgres
from tests.support import fresh_database

TARGET_RATE = 10_000
MAX_COMMIT_MS, MAX_PUSH_MS, MAX_AGE_MS = 10.0, 100.0, 10.0
MIN_SENT = 0.99
PUSHES = (QUOTES_PUSHED, FILLS_PUSHED, EVENTS_PUSHED)


_Lines = dict[str, dict[float, list[float]]]


def run(report: Report) -> None:
    """Measure the bare limits, then rate after rate until the service is behind."""
    allow_sockets()
    uvloop.run(measure(report, Scale()))


async def measure(report: Report, scale: Scale) -> None:
    """Measure at a scale, and draw the figures."""
    found: dict[int, Found] = {}
    async with bench_postgres() as postgres:
        BUILD.mkdir(exist_ok=True)
        with TemporaryDirectory(prefix="bench-", dir=BUILD) as name:
            folder = Path(name).resolve()
            async with EmbeddedValkey(folder / "valkey") as valkey:
                await _measure_bare(report, postgres, valkey.url, scale.bare_rounds)
                async with (
                    fresh_database(postgres) as dsn,
                    loaded_service(dsn, valkey.url, folder, scale) as service,
                ):
                    for rate in tqdm(scale.rates, "rates", leave=False):
                        found[rate] = await load(service, scale, rate)
                        if rate >= TARGET_RATE and not _keeps_up(found[rate].total, rate):
                            break
    conclude(report, found)


async def _measure_bare(
    report: Report, postgres: EmbeddedPostgres, redis_url: str, rounds: int
) -> None:
    for value in await commits_ms(postgres, rounds):
        report.add("bare commit of 10 orders, ms", value)
    for value in await pipelines_ms(redis_url, rounds):
        report.add("bare Redis pipeline of 10 orders, ms", value)
    report.add("bare socket, messages/s of CPU time", await messages_per_s())


def _keeps_up(figures: LoadFigures, rate: int) -> bool:
    """Tell whether the ticks were sent and taken, and waited for nothing to be."""
    age = figures.service[QUOTE_AGE].p99_ms
    sent = figures.ticks / figures.seconds
    return age is not None and age <= MAX_AGE_MS and sent >= MIN_SENT * rate


def _is_reached(figures: LoadFigures, rate: int) -> bool:
    """Tell whether a rate was borne within the targets."""
    commit = figures.service[TICK_TO_COMMIT].p99_ms
    pushes = [figures.latencies[name].p99_ms for name in PUSHES]
    return (
        _keeps_up(figures, rate)
        and commit is not None
        and commit <= MAX_COMMIT_MS
        and all(push is None or push <= MAX_PUSH_MS for push in pushes)
    )


def conclude(report: Report, found: Mapping[int, Found]) -> None:
    """Draw figures and curves of what was found at each rate."""
    rounds = report.rounds
    reached = [rate for rate, each in found.items() if _is_reached(each.total, rate)]
    report.figure(
        "highest rate within the targets",
        [max(reached, default=0)],
        "ticks/s",
        at_least=TARGET_RATE,
    )
    for rate, each in found.items():
        _conclude_rate(report, rate, each)
    for name in ("bare commit of 10 orders", "bare Redis pipeline of 10 orders"):
        values = sorted(rounds[f"{name}, ms"])
        report.figure(name, values, "ms")
        report.figure(f"{name}, p99", [values[len(values) * 99 // 100]], "ms")
    report.figure(
        "bare socket, received and decoded",
        rounds["bare socket, messages/s of CPU time"],
        "messages/s of CPU time",
    )
    _draw(report, found)


def _conclude_rate(report: Report, rate: int, found: Found) -> None:
    total = found.total
    is_target = rate == TARGET_RATE
    at = f"{rate:,} ticks/s"
    for stage, limit in ((TICK_TO_COMMIT, MAX_COMMIT_MS), (QUOTE_AGE, MAX_AGE_MS)):
        p99 = total.service[stage].p99_ms
        if p99 is not None:
            report.figure(f"{at}: {stage}, p99", [p99], "ms", at_most=limit if is_target else None)
    for name in (*PUSHES, ANSWERED, TICK_LAG):
        latency = total.latencies[name]
        if latency.p99_ms is not None:
            judged = MAX_PUSH_MS if is_target and name in PUSHES else None
            report.figure(f"{at}: {name}, p99", [latency.p99_ms], "ms", at_most=judged)
    report.figure(f"{at}: taken by the service", [total.quotes_taken / total.seconds], "ticks/s")
    report.figure(f"{at}: commands", [total.commands / total.seconds], "/s")
    report.figure(f"{at}: commands refused", [total.refused], "")
    cores = {
        "service": total.service_cpu,
        "PostgreSQL": found.servers[POSTGRES],
        "Valkey": found.servers[VALKEY],
        "generator": total.generator_cpu,
    }
    for name, value in cores.items():
        report.figure(f"{at}: cores taken by {name}", [value], "cores")


def _draw(report: Report, found: Mapping[int, Found]) -> None:
    lines: _Lines = {}
    cores: _Lines = {}
    for rate, each in found.items():
        for interval in each.intervals:
            for name in (*PUSHES, ANSWERED):
                _point(lines, name, rate, interval.latencies[name].p99_ms)
            _point(lines, TICK_TO_COMMIT, rate, interval.service[TICK_TO_COMMIT].p99_ms)
            _point(cores, "service", rate, interval.service_cpu)
            _point(cores, "generator", rate, interval.generator_cpu)
        _point(cores, "PostgreSQL", rate, each.servers[POSTGRES])
        _point(cores, "Valkey", rate, each.servers[VALKEY])
    report.curve("Latency against the rate of ticks", "ticks/s", "99th percentile, ms", lines)
    report.curve("Cores against the rate of ticks", "ticks/s", "cores", cores, is_linear_y=True)
    rate = max((each for each in found if each <= TARGET_RATE), default=max(found))
    quantiles = {
        name: [
            Quantile(percent / 100, value)
            for percent, value in found[rate].total.latencies[name].distribution
            if percent < 100 and value > 0
        ]
        for name in (*PUSHES, ANSWERED)
    }
    report.quantiles(
        f"Latencies at {rate:,} ticks a second",
        "latency, ms",
        {name: values for name, values in quantiles.items() if values},
    )


def _point(lines: _Lines, name: str, rate: float, value: float | None) -> None:
    if value:
        lines.setdefault(name, {}).setdefault(rate, []).append(value)
