"""The database of a replay: one of its own, resumed only for the same scenario and ticks."""

import hashlib
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from service.domain.money import format_money, format_scaled
from service.domain.times import format_time
from service.storage.connection import Connection
from service.storage.database import CONNECT_TIMEOUT_S
from service.storage.statements import fetch_pages
from service.storage.views import format_volume

DATABASE = "tapewatch_replay"
DEAL_COLUMNS = (
    "sequence",
    "time",
    "client_order_id",
    "account_id",
    "symbol",
    "event",
    "reason",
    "volume",
    "price",
    "slippage_points",
    "profit",
    "commission",
    "balance_after",
)
_DEALS = """
SELECT d.time, o.client_order_id, d.account_id, o.symbol, d.event, d.reason, d.volume, d.price,
    s.digits, d.slippage, d.profit, d.commission, d.balance_after
FROM deals d JOIN orders o USING (order_id) JOIN symbols s USING (symbol)
ORDER BY d.deal_id
"""
_UNBALANCED = """
SELECT count(*) FROM accounts a
LEFT JOIN (SELECT account_id, sum(amount) AS total FROM ledger GROUP BY account_id) l
    USING (account_id)
WHERE a.balance <> coalesce(l.total, 0)
"""
_COUNTS = "SELECT event, reason, count(*) FROM deals GROUP BY event, reason ORDER BY event, reason"


class Inputs(NamedTuple):
    """Digests of what a replay reads."""

    scenario: str
    ticks: str


def digest(*paths: Path) -> str:
    """Return a digest of files and their names."""
    total = hashlib.sha256()
    for path in paths:
        total.update(path.name.encode())
        with path.open("rb") as file:
            total.update(hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()


def replay_dsn(dsn: str) -> str:
    """Return the DSN of the replay database on the same server."""
    parts = urlsplit(dsn)
    return urlunsplit(parts._replace(path=f"/{DATABASE}"))


async def is_interrupted(dsn: str, inputs: Inputs) -> bool:
    """Tell whether the replay database holds an unfinished replay of these inputs."""
    try:
        connection = await asyncpg.connect(dsn, timeout=CONNECT_TIMEOUT_S)
    except asyncpg.InvalidCatalogNameError:
        return False
    try:
        row = await connection.fetchrow("SELECT scenario, ticks FROM replays WHERE NOT is_finished")
    except asyncpg.UndefinedTableError:
        return False
    finally:
        await connection.close()
    return row is not None and Inputs(*row) == inputs


async def recreate(dsn: str) -> None:
    """Make the replay database anew, empty; `dsn` is that of another database of the server."""
    connection = await asyncpg.connect(dsn, timeout=CONNECT_TIMEOUT_S)
    try:
        await connection.execute(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
        await connection.execute(f"CREATE DATABASE {DATABASE}")
    finally:
        await connection.close()


async def begin(connection: Connection, inputs: Inputs) -> None:
    """Note what is replayed, once its book is open."""
    await connection.execute("INSERT INTO replays (scenario, ticks) VALUES ($1, $2)", *inputs)


async def finish(connection: Connection) -> None:
    """Note that the replay came to its end."""
    await connection.execute("UPDATE replays SET is_finished = true")


async def unbalanced_accounts(connection: Connection) -> int:
    """Count accounts whose balance is not the sum of their ledger."""
    return int(await connection.fetchval(_UNBALANCED))


async def count_deals(connection: Connection) -> dict[tuple[str, str], int]:
    """Count deals by event and reason."""
    return {(row[0], row[1]): row[2] for row in await connection.fetch(_COUNTS)}


async def count_swaps(connection: Connection) -> int:
    """Count the swaps that were posted."""
    return int(await connection.fetchval("SELECT count(*) FROM ledger WHERE kind = 'SWAP'"))


async def deals(connection: Connection) -> AsyncIterator[tuple[str, ...]]:
    """Yield every deal in commit order as a row of `DEAL_COLUMNS`.

    A cancellation has no fill: its volume, price and slippage are empty.
    """
    sequence = 0
    async with connection.transaction(readonly=True):
        async for rows in fetch_pages(connection, _DEALS, 5_000):
            for row in rows:
                sequence += 1
                yield _deal(sequence, *row)


def _deal(
    sequence: int,
    time: int,
    client_order_id: str | None,
    account_id: int,
    symbol: str,
    event: str,
    reason: str,
    volume: int | None,
    price: int | None,
    digits: int,
    slippage: int | None,
    profit: Decimal,
    commission: Decimal,
    balance: Decimal,
) -> tuple[str, ...]:
    return (
        str(sequence),
        format_time(time),
        client_order_id or "",
        str(account_id),
        symbol,
        event,
        reason,
        "" if volume is None else format_volume(volume),
        "" if price is None else format_scaled(price, digits),
        "" if slippage is None else str(slippage),
        format_money(profit),
        format_money(commission),
        format_money(balance),
    )
