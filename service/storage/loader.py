"""From the database into memory: an engine's state, rebuilt from what was committed."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

from service.domain.account import Account
from service.domain.desk import Desk
from service.domain.engine import Engine
from service.domain.instrument import UserType
from service.domain.order import OrderState
from service.domain.quote import Quote
from service.domain.shard import AccountShard
from service.storage.connection import Connection
from service.storage.rows import (
    GROUP_COLUMNS,
    GROUP_SYMBOL_COLUMNS,
    ORDER_SELECT,
    SYMBOL_COLUMNS,
    group_from,
    group_symbol_from,
    order_from,
    symbol_from,
)
from service.storage.statements import fetch_pages
from service.storage.transactions import one_moment

_ACCOUNTS = (
    "SELECT account_id, user_type, group_name, leverage, balance, sequence, in_margin_call "
    "FROM accounts"
)
_LIVE = f"SELECT {ORDER_SELECT} FROM orders WHERE status IN ('PENDING', 'OPEN')"
SETTINGS_VERSION = "SELECT settings_version FROM shard_leases WHERE shard = 0"
_ROLLED_UNTIL = "SELECT rolled_until FROM shard_leases WHERE shard = $1"
_FETCH_ROWS = 5_000
# What is frozen does not count as old, so that the default would look at all that is young far too
# often: a burst of a thousand decisions allocates ten thousand objects that live on in the queue.
GC_THRESHOLDS = (50_000, 20, 50)
_SAVE_QUOTES = """
INSERT INTO quotes SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[])
ON CONFLICT (symbol) DO UPDATE SET bid = excluded.bid, ask = excluded.ask, time = excluded.time
WHERE quotes.time < excluded.time
"""


async def load_settings(connection: Connection, desk: Desk) -> None:
    """Take all symbols, groups and terms into a desk; they are of the version it says, or newer."""
    desk.settings_version = await connection.fetchval(SETTINGS_VERSION) or 0
    for row in await connection.fetch(f"SELECT {SYMBOL_COLUMNS} FROM symbols ORDER BY symbol"):
        desk.set_symbol(symbol_from(tuple(row)))
    for row in await connection.fetch(f"SELECT {GROUP_COLUMNS} FROM groups"):
        desk.set_group(group_from(tuple(row)))
    for row in await connection.fetch(f"SELECT {GROUP_SYMBOL_COLUMNS} FROM group_symbols"):
        desk.set_terms(group_symbol_from(tuple(row)))


async def load_engine(connection: Connection, engine: Engine) -> None:
    """Take settings and the accounts and live orders of the desk's shard, all of one moment.

    The garbage collector rests meanwhile and does not look at what was loaded again: a million
    orders would otherwise cost a pause of a second now and then.
    """
    desk = engine.desk
    leverages: dict[Decimal, Decimal] = {}  # many accounts share few
    with _garbage_collector_resting():
        async with one_moment(connection):
            await load_settings(connection, desk)
            accounts = f"{_ACCOUNTS} WHERE {_owned(desk.shard)}"
            async for rows in fetch_pages(connection, accounts, _FETCH_ROWS):
                for row in rows:
                    account = _account(desk, tuple(row))
                    account.leverage = leverages.setdefault(account.leverage, account.leverage)
                    desk.accounts[account.account_id] = account
            live = f"{_LIVE} AND {_owned(desk.shard)}"
            async for rows in fetch_pages(connection, live, _FETCH_ROWS):
                engine.load(order_from(tuple(row)) for row in rows)
            last_order = await connection.fetchval("SELECT max(order_id) FROM orders")
            rolled_until = await connection.fetchval(_ROLLED_UNTIL, desk.shard.number)
        desk.next_order_id = desk.shard.first_id(last_order or 0)
        desk.rolled_until = rolled_until or 0


async def load_account(
    connection: Connection, desk: Desk, account_id: int
) -> tuple[Account, list[OrderState]]:
    """Return an account and its live orders as committed."""
    async with one_moment(connection):
        row = await connection.fetchrow(f"{_ACCOUNTS} WHERE account_id = $1", account_id)
        rows = await connection.fetch(f"{_LIVE} AND account_id = $1 ORDER BY order_id", account_id)
    assert row is not None, f"account {account_id} is in memory but not stored"
    return _account(desk, tuple(row)), [order_from(tuple(row)) for row in rows]


async def load_quotes(connection: Connection, desk: Desk) -> None:
    """Take the last quotes seen before a restart, to price positions until new ones come."""
    for row in await connection.fetch("SELECT symbol, bid, ask, time FROM quotes"):
        quote = Quote(*row)
        market = desk.markets.get(quote.symbol)
        if market is not None:
            market.take(quote)


async def save_quotes(connection: Connection, desk: Desk) -> None:
    """Store the last quotes."""
    quoted = [market for market in desk.markets.values() if market.is_quoted]
    await connection.execute(
        _SAVE_QUOTES,
        [market.symbol.name for market in quoted],
        [market.bid for market in quoted],
        [market.ask for market in quoted],
        [market.time for market in quoted],
    )


def _owned(shard: AccountShard) -> str:
    # A condition that is always true would have the planner expect next to nothing.
    return "true" if shard.of == 1 else f"account_id % {shard.of} = {shard.number}"


def _account(desk: Desk, row: tuple[Any, ...]) -> Account:
    account_id, user_type, group, leverage, balance, sequence, in_margin_call = row
    return Account(
        account_id,
        UserType(user_type),
        desk.groups[group],
        leverage,
        balance,
        sequence,
        in_margin_call=in_margin_call,
    )


@contextmanager
def _garbage_collector_resting() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)
        gc.enable()
