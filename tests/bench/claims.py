"""(k) The performance report's claims: the loops before it, after it, and this service.

Three contenders on one PostgreSQL (fsync on), each with a database and a Valkey of its own and the
same book: `tests.bench.before`, `tests.bench.report_after` and the service. They take turns,
another one first each round, in one process on one event loop (uvloop). Each has to trigger exactly
the orders that are meant to, for the reason that is meant.

- Pending burst: one price triggers 1,000 orders of 200 accounts, from the price until all is
  committed and told in Redis.
- SL/TP: one price closes 1,000 of 10,000 positions in a symbol, in the same way. Every second of
  the others has a stop loss and a take profit.
- Message: three symbols move by a few points and trigger nothing, with 1,000 and 10,000 orders at
  rest, two in five of them positions; from where the market publishes it until the last of 100
  WebSockets is written to. The service shows prices and portfolios for each message, though it need
  not more than ten times a second. Once more with one socket and 10 orders, where batching and
  concurrency have little to gain.
- Portfolio cycle: 10,000 accounts of five positions in 20 groups. Before the report only a
  hundredth of them is valued, in the keyspace of all; its figures are times 100. Nobody deals
  between the service's cycles; its first one, which reads what all accounts hold, is told beside.

CPU time is that of this process, and beside it that of PostgreSQL and Valkey (in hundredths of a
second, with what PostgreSQL does in the background). Counted are sessions on the database,
statements (without BEGIN, COMMIT and savepoints), round trips to Redis and log lines; per tick and
per 1,000 ticks from the messages, a tick being one symbol of one message.

Beside each ratio stands what the report claims: 30-50 % faster is 1.3-1.5 times. Targets are those
of this project.
"""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import uvloop

from tests.bench.claims_bursts import CLOSING, PENDING, Bursts, measure_bursts
from tests.bench.claims_contenders import Name, Servers
from tests.bench.claims_portfolios import (
    FIRST_PORTFOLIO,
    PORTFOLIO,
    Portfolios,
    measure_portfolios,
)
from tests.bench.claims_sockets import Sockets, measure_sockets, row_of
from tests.bench.report import Report
from tests.bench.server import bench_postgres

CPU = ("CPU", "CPU of servers")
COUNTED = ("sessions", "statements", "Redis round trips", "log lines")
FEWER_THAN_BEFORE, FEWER_THAN_AFTER = 95, 80


class Sizes(NamedTuple):
    """How much of everything."""

    bursts: Bursts = Bursts()
    sockets: Sockets = Sockets()
    alone: Sockets = Sockets(sockets=1, orders=(10,), rounds=15)
    portfolios: Portfolios = Portfolios()


class Speed(NamedTuple):
    """How much faster the report claims to make a row, and the service is to be; also in CPU?"""

    row: str
    claimed: str
    over_before: float | None = None
    over_after: float | None = None
    in_cpu: bool = False


class Saving(NamedTuple):
    """How much less often the report claims to ask a store, and the service is to; `per` what."""

    row: str
    what: str
    per: str
    units: float
    claimed: str


def run(report: Report) -> None:
    """Measure all rows."""
    uvloop.run(_run(report))


async def _run(report: Report) -> None:
    with TemporaryDirectory(prefix="bench-") as name:
        async with bench_postgres() as postgres, Servers.on(postgres, Path(name)) as servers:
            await measure(servers, report, Sizes())


async def measure(servers: Servers, report: Report, sizes: Sizes) -> None:
    """Measure all rows at these sizes, and conclude."""
    await measure_bursts(servers, report, sizes.bursts)
    await measure_sockets(servers, report, sizes.sockets)
    await measure_sockets(servers, report, sizes.alone)
    await measure_portfolios(servers, report, sizes.portfolios)
    conclude(report, sizes)


def conclude(report: Report, sizes: Sizes) -> None:
    """Draw the figures from the rounds."""
    messages = [row_of(sizes.sockets.sockets, orders) for orders in sizes.sockets.orders]
    alone = row_of(sizes.alone.sockets, sizes.alone.orders[0])
    for speed in (
        Speed(PENDING, "1.4-1.6", 25, 10),
        Speed(CLOSING, "1.25-1.4", 25, 10),
        *(Speed(row, "1.3-1.5", 20, 10) for row in messages),
        Speed(alone, "1.3-1.5"),
        Speed(PORTFOLIO, "1.2-1.35", 20, 5, in_cpu=True),
    ):
        _conclude_speed(report, speed)
    _conclude_first_cycle(report)
    report.curve(
        f"A message of prices for {sizes.sockets.sockets} sockets",
        "resting orders",
        "a message, ms",
        {
            str(name): {
                orders: report.rounds[f"{row}: {name}: ms"]
                for orders, row in zip(sizes.sockets.orders, messages, strict=True)
            }
            for name in Name
        },
    )
    per_tick = 1 / sizes.sockets.symbols
    for saving in (
        Saving(messages[-1], "statements", "1,000 ticks", 1_000 * per_tick, "15-25"),
        Saving(messages[-1], "Redis round trips", "tick", per_tick, "30-45"),
        Saving(PORTFOLIO, "Redis round trips", "portfolio cycle", 1, "30-45"),
    ):
        _conclude_saving(report, saving)


def _conclude_speed(report: Report, speed: Speed) -> None:
    row = speed.row
    for name in Name:
        series = f"{row}: {name}"
        report.figure(series, report.rounds[f"{series}: ms"], "ms")
        for what in CPU:
            report.figure(f"{series}: {what}", report.rounds[f"{series}: {what}, ms"], "ms")
        for what in COUNTED:
            report.figure(f"{series}: {what}", report.rounds[f"{series}: {what}"], "")
    for what, unit in (("", "ms"), (", CPU", "CPU, ms")) if speed.in_cpu else (("", "ms"),):
        before, after, product = (f"{row}: {name}: {unit}" for name in Name)
        claim = f"the report claims {speed.claimed}"
        report.ratio(f"{row}: before : report after{what} ({claim})", before, after)
        report.ratio(f"{row}: before : product{what}", before, product, at_least=speed.over_before)
        over_after = f"{row}: report after : product{what}"
        report.ratio(over_after, after, product, at_least=speed.over_after)


def _conclude_first_cycle(report: Report) -> None:
    first = f"{FIRST_PORTFOLIO}: {Name.PRODUCT}"
    report.figure(first, report.rounds[f"{first}: ms"], "ms")
    for name in (Name.BEFORE, Name.AFTER):
        report.ratio(f"{PORTFOLIO}: {name} : {first}", f"{PORTFOLIO}: {name}: ms", f"{first}: ms")


def _conclude_saving(report: Report, saving: Saving) -> None:
    row, what, per, units, claimed = saving
    asked = {
        name: [count * units for count in report.rounds[f"{row}: {name}: {what}"]] for name in Name
    }
    for name, counts in asked.items():
        report.figure(f"{what} per {per}: {name}", counts, "")
    for fewer, more, suffix, at_least in (
        (Name.AFTER, Name.BEFORE, f" (the report claims {claimed} %)", None),
        (Name.PRODUCT, Name.BEFORE, "", FEWER_THAN_BEFORE),
        (Name.PRODUCT, Name.AFTER, "", FEWER_THAN_AFTER),
    ):
        pairs = zip(asked[fewer], asked[more], strict=True)
        report.figure(
            f"{what} per {per}: {fewer} below {more}{suffix}",
            [100 * (1 - count / base) for count, base in pairs],
            "%",
            at_least=at_least,
        )
