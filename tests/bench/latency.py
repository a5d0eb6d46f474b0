"""(o) The rows of the claims with PostgreSQL and Redis further away: 0, 0.2 and 1 ms.

Measured: as in part `claims`, and smaller, because the loops before the report ask one thing after
another: a burst of 100 pending orders, 100 stops and targets among 1,000 positions, a message of
three symbols to 20 sockets with 1,000 orders at rest, and a portfolio cycle of 1,000 accounts (of
which the loops before the report value 20, times 50).

Between all contenders and their stores stand fault proxies in a process of their own, also at 0 ms;
they hold back what passes for half of the added time each way. What a bare round trip (`PING`,
`SELECT 1`) takes past them and through them is measured first, the latencies in turns; by how much
it is longer than at 0 ms is what was really added. The proxies' own cost is in all of the times.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple
from urllib.parse import urlsplit

import asyncpg
import uvloop
from redis.asyncio import Redis

from tests.bench.claims_bursts import CLOSING, PENDING, Bursts, measure_bursts
from tests.bench.claims_contenders import Name, Servers
from tests.bench.claims_portfolios import PORTFOLIO, Portfolios, measure_portfolios
from tests.bench.claims_sockets import Sockets, measure_sockets, row_of
from tests.bench.delays import Delays
from tests.bench.report import Report, turns
from tests.bench.server import bench_postgres

ADDED_MS = (0.0, 0.2, 1.0)  # to each round trip; without any comes first
PINGS, PING_ROUNDS = 20, 11
STORES = ("PostgreSQL", "Redis")
PAST, THROUGH = "past the proxies", "through the proxies"
BURSTS = Bursts(size=100, positions=1_000, rounds=3, warm_up=10)
SOCKETS = Sockets(sockets=20, orders=(1_000,), rounds=5)
PORTFOLIOS = Portfolios(accounts=1_000, accounts_before=20, rounds=3)


class Rows(NamedTuple):
    """Rows of the claims, and what measures them."""

    names: tuple[str, ...]
    measure: Callable[[Servers, Report], Awaitable[None]]


ROWS = (
    Rows((PENDING, CLOSING), lambda servers, report: measure_bursts(servers, report, BURSTS)),
    Rows(
        (row_of(SOCKETS.sockets, SOCKETS.orders[0]),),
        lambda servers, report: measure_sockets(servers, report, SOCKETS),
    ),
    Rows((PORTFOLIO,), lambda servers, report: measure_portfolios(servers, report, PORTFOLIOS)),
)


def run(report: Report) -> None:
    """Measure all rows at all latencies."""
    uvloop.run(_run(report))


async def _run(report: Report) -> None:
    with TemporaryDirectory(prefix="bench-") as name:
        async with bench_postgres() as postgres, Servers.on(postgres, Path(name)) as servers:
            await measure_latencies(servers, report, ADDED_MS, ROWS)


async def measure_latencies(
    servers: Servers, report: Report, latencies_ms: Sequence[float], rows: Sequence[Rows]
) -> None:
    """Measure these rows at these latencies, and draw the figures."""
    ports = [urlsplit(url).port for url in (servers.postgres.dsn, *servers.redis_urls.values())]
    async with Delays.before([port for port in ports if port is not None]) as delays:
        far = servers._replace(ports=delays.ports)
        for _, added_ms in turns(latencies_ms, PING_ROUNDS):
            await delays.add(added_ms / 1e3)
            await _ping(report, PAST, servers, added_ms)
            await _ping(report, THROUGH, far, added_ms)
        for added_ms in latencies_ms:
            await delays.add(added_ms / 1e3)
            for _, measure in rows:
                found = Report()
                await measure(far, found)
                for series, values in found.rounds.items():
                    report.rounds[f"{_at(added_ms)}: {series}"] = values
    for store in STORES:
        _conclude_pings(report, store, latencies_ms)
    for row in (name for names, _ in rows for name in names):
        _conclude(report, row, latencies_ms)


async def _ping(report: Report, way: str, servers: Servers, added_ms: float) -> None:
    """Measure bare round trips, one after the other."""
    connection = await asyncpg.connect(servers.way_to(servers.postgres.dsn))
    async with Redis.from_url(servers.way_to(servers.redis_urls[Name.PRODUCT])) as client:
        asks: tuple[Callable[[], Awaitable[object]], ...] = (
            lambda: connection.fetchval("SELECT 1"),
            client.ping,
        )
        for store, ask in zip(STORES, asks, strict=True):
            await ask()
            for _ in range(PINGS):
                started = time.perf_counter()
                await ask()
                seconds = time.perf_counter() - started
                report.add(_pings(added_ms, store, way), seconds * 1e3)
    await connection.close()


def _at(added_ms: float) -> str:
    return f"{added_ms:g} ms added"


def _pings(added_ms: float, store: str, way: str) -> str:
    return f"{_at(added_ms)}: {store}, a round trip {way}, ms"


def _conclude_pings(report: Report, store: str, latencies_ms: Sequence[float]) -> None:
    past = report.rounds[_pings(latencies_ms[0], store, PAST)]
    report.figure(f"{store}: a round trip {PAST}", past, "ms")
    nearest = report.rounds[_pings(latencies_ms[0], store, THROUGH)]
    for added_ms in latencies_ms:
        through = report.rounds[_pings(added_ms, store, THROUGH)]
        report.figure(f"{store}: a round trip {THROUGH}, {_at(added_ms)}", through, "ms")
        if through is not nearest:
            really = [value - base for value, base in zip(through, nearest, strict=True)]
            report.figure(f"{store}: really added, {_at(added_ms)}", really, "ms", is_paired=True)


def _conclude(report: Report, row: str, latencies_ms: Sequence[float]) -> None:
    for added_ms in latencies_ms:
        at = f"{_at(added_ms)}: {row}"
        for name in Name:
            report.figure(f"{at}: {name}", report.rounds[f"{at}: {name}: ms"], "ms")
        before, after, product = (f"{at}: {name}: ms" for name in Name)
        report.ratio(f"{at}: before : report after", before, after)
        report.ratio(f"{at}: before : product", before, product)
        report.ratio(f"{at}: report after : product", after, product)
    report.curve(
        f"Stores further away: {row}",
        "added to each round trip, ms",
        "time, ms",
        {
            name: {
                added_ms: report.rounds[f"{_at(added_ms)}: {row}: {name}: ms"]
                for added_ms in latencies_ms
            }
            for name in Name
        },
        is_linear_x=True,
    )
