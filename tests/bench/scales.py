"""(n) From one socket and ten orders to a thousand sockets and a million orders.

Measured: a message of prices that triggers nothing, as in part `claims`: from where the market
publishes it until the last socket is written to, and what it cost: CPU time of this process and of
the servers, statements, round trips to Redis. Books of 10 to 1,000,000 orders, two in five of them
positions, 1 to 1,000 sockets, 3 or all 30 symbols to a message. Then a portfolio cycle of 100 to
10,000 accounts with five positions each.

Contenders take turns, another one first each round. The smallest case is where batches and
concurrency have the least to gain. Not measured, and not extrapolated, is who would need more than
some 30 s for a message: each socket of the loops before the report looks at every pending order of
each symbol (0.3 ms, nine log lines), after it still at every one (0.01 ms). The figures say so.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import uvloop

from tests.bench.brokerage import ORDERS_PER_ACCOUNT
from tests.bench.claims_book import mixed_orders
from tests.bench.claims_contenders import Name, Servers, contenders
from tests.bench.claims_portfolios import PORTFOLIO, Portfolios, measure_portfolios
from tests.bench.claims_sockets import Messages, measure_messages
from tests.bench.machine import allow_sockets
from tests.bench.report import Report
from tests.bench.server import bench_postgres

COSTS = (
    ("CPU, ms", "CPU", "ms"),
    ("CPU of servers, ms", "CPU of servers", "ms"),
    ("statements", "statements", ""),
    ("Redis round trips", "Redis round trips", ""),
)
NOT_MEASURED = "not measured: above 30 s"


class Book(NamedTuple):
    """Orders at rest, and the messages that are measured with them."""

    orders: int
    messages: tuple[Messages, ...]

    @property
    def accounts(self) -> int:
        """For so many orders there are accounts: one for each socket at least."""
        sockets = max(each.sockets for each in self.messages)
        return max(self.orders, sockets * ORDERS_PER_ACCOUNT)

    @property
    def names(self) -> set[Name]:
        return {name for each in self.messages for name in each.names}


_LATER = (Name.AFTER, Name.PRODUCT)
_ALONE = (Name.PRODUCT,)


class Sizes(NamedTuple):
    """The books, and the accounts of portfolio cycles."""

    books: tuple[Book, ...] = (
        Book(10, (Messages(1, 3, 15),)),
        Book(
            1_000,
            (
                Messages(1, 3, 15),
                Messages(10, 3, 7),
                Messages(10, 30, 3),
                Messages(100, 3, 3),
                Messages(1_000, 3, 2, _LATER),
                Messages(1_000, 30, 7, _ALONE),
            ),
        ),
        Book(10_000, (Messages(1, 3, 7), Messages(100, 30, 2, _LATER))),
        Book(100_000, (Messages(1, 3, 3), Messages(1_000, 30, 7, _ALONE))),
        Book(1_000_000, (Messages(1, 3, 2), Messages(1_000, 30, 7, _ALONE))),
    )
    portfolios: tuple[Portfolios, ...] = (
        Portfolios(accounts=100, accounts_before=20),
        Portfolios(accounts=1_000, accounts_before=20),
        Portfolios(accounts=10_000, accounts_before=20),
    )


def run(report: Report) -> None:
    """Measure all scales."""
    allow_sockets()
    uvloop.run(_run(report))


async def _run(report: Report) -> None:
    with TemporaryDirectory(prefix="bench-") as name:
        async with bench_postgres() as postgres, Servers.on(postgres, Path(name)) as servers:
            await measure_scales(servers, report, Sizes())


async def measure_scales(servers: Servers, report: Report, sizes: Sizes) -> None:
    """Measure these scales, and draw the figures."""
    for book in sizes.books:
        orders = partial(mixed_orders, count=book.orders)
        async with contenders(servers, book.accounts, orders, book.names) as all_three:
            first = 0
            for messages in book.messages:
                row, numbered = _row(book, messages), messages._replace(first=first)
                await measure_messages(servers, all_three, report, row, numbered)
                first += messages.rounds + 1
                _conclude(report, row, messages.names)
    for portfolios in sizes.portfolios:
        found = Report()
        await measure_portfolios(servers, found, portfolios)
        row = f"{PORTFOLIO}, {portfolios.accounts:,} accounts"
        for series, values in found.rounds.items():
            report.rounds[series.replace(PORTFOLIO, row, 1)] = values
        _conclude(report, row, tuple(Name))
    _draw(report, sizes)


def _row(book: Book, messages: Messages) -> str:
    sockets = f"{messages.sockets:,} socket{'s' * (messages.sockets > 1)}"
    return f"{sockets}, {messages.symbols} symbols, {book.orders:,} orders"


def _conclude(report: Report, row: str, names: Sequence[Name]) -> None:
    left_out = " and ".join(name for name in Name if name not in names)
    said = f" ({left_out} {NOT_MEASURED})" if left_out else ""
    for name in names:
        series = f"{row}: {name}"
        report.figure(f"{series}{said}", report.rounds[f"{series}: ms"], "ms")
        for counted, what, unit in COSTS:
            report.figure(f"{series}: {what}", report.rounds[f"{series}: {counted}"], unit)
    for number, slower in enumerate(names):
        for faster in names[number + 1 :]:
            report.ratio(
                f"{row}: {slower} : {faster}", f"{row}: {slower}: ms", f"{row}: {faster}: ms"
            )


def _draw(report: Report, sizes: Sizes) -> None:
    first, last = sizes.books[0].messages[0], sizes.books[-1].messages[-1]
    shared = max(sizes.books, key=lambda book: len(book.messages))
    _curve(
        report,
        "Cost of a message against orders",
        "orders at rest",
        {book.orders: _row(book, first) for book in sizes.books},
    )
    _curve(
        report,
        f"Cost of a message against orders, {last.sockets:,} sockets",
        "orders at rest",
        {book.orders: _row(book, last) for book in sizes.books},
    )
    _curve(
        report,
        "Cost of a message against sockets",
        "sockets",
        {
            each.sockets: _row(shared, each)
            for each in shared.messages
            if each.symbols == first.symbols
        },
    )
    _curve(
        report,
        "Cost of a portfolio cycle against accounts",
        "accounts",
        {each.accounts: f"{PORTFOLIO}, {each.accounts:,} accounts" for each in sizes.portfolios},
    )


def _curve(report: Report, title: str, label: str, rows: dict[float, str]) -> None:
    """Draw the time of each contender in whichever of these rows it was measured."""
    series: dict[str, dict[float, Sequence[float]]] = {}
    for x, row in rows.items():
        for name in Name:
            if values := report.rounds.get(f"{row}: {name}: ms"):
                series.setdefault(name, {})[x] = values
    if series:
        report.curve(title, label, "time, ms", series)
