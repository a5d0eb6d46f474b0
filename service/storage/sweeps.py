"""What the safety sweeps ask: live orders that the clock or the last quotes have passed (R2, R3.1).

One statement per shard, user type and kind, served by partial indexes: it returns only what is
crossed, by order id, so that it costs the same however many orders rest. A quote (bid, ask) stands
for each symbol that may be dealt; prices and triggers are in points, triggers normalised. What
merely waits is not asked for: symbols that are left out, and accounts of the groups that are named
as waiting.
"""

from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

from service.domain.instrument import UserType
from service.domain.shard import ALL_ACCOUNTS, AccountShard
from service.storage.connection import Connection

PAGE = 10_000
_LONG = "('BUY', 'BUY_LIMIT', 'BUY_STOP', 'BUY_STOP_LIMIT')"
_SHORT = "('SELL', 'SELL_LIMIT', 'SELL_STOP', 'SELL_STOP_LIMIT')"


class LastQuotes(NamedTuple):
    """Last quotes of what may be dealt as columns, in points; and the groups that may not deal."""

    symbols: Sequence[str]
    bids: Sequence[int]
    asks: Sequence[int]
    waiting_groups: Sequence[str] = ()


def _page(searches: str, ours: str) -> str:
    # Accounts are asked for each order that is found: a join would be planned for a third of all
    # orders, which is what a comparison with an unknown price is taken for, and read all accounts.
    return (
        f"SELECT order_id FROM ({searches}) AS found WHERE order_id > $1 "
        "AND found.account_id % $2 = $3 AND "
        f"(SELECT {ours} FROM accounts a WHERE a.account_id = found.account_id) "
        f"ORDER BY order_id LIMIT {PAGE}"
    )


def _crossed(status: str, conditions: Sequence[str]) -> str:
    searches = " UNION ALL ".join(
        "SELECT o.order_id, o.account_id "
        "FROM unnest($5::text[], $6::bigint[], $7::bigint[]) AS q (symbol, bid, ask) "
        f"JOIN orders o ON o.symbol = q.symbol AND o.status = '{status}' AND {condition}"
        for condition in conditions
    )
    return _page(searches, "a.user_type = $4 AND a.group_name <> ALL($8::text[])")


_RESTS, _ACTIVATED = "o.activated_time IS NULL", "o.activated_time IS NOT NULL"
CROSSED_PENDING = _crossed(
    "PENDING",
    (
        f"{_RESTS} AND o.order_type = 'BUY_LIMIT' AND o.trigger_price >= q.ask",
        f"{_RESTS} AND o.order_type IN ('BUY_STOP', 'BUY_STOP_LIMIT', 'BUY') "
        "AND o.trigger_price <= q.ask",
        f"{_RESTS} AND o.order_type IN ('SELL_STOP', 'SELL_STOP_LIMIT') "
        "AND o.trigger_price >= q.bid",
        f"{_RESTS} AND o.order_type IN ('SELL_LIMIT', 'SELL') AND o.trigger_price <= q.bid",
        f"{_ACTIVATED} AND o.order_type = 'BUY_STOP_LIMIT' AND o.trigger_price >= q.ask",
        f"{_ACTIVATED} AND o.order_type = 'SELL_STOP_LIMIT' AND o.trigger_price <= q.bid",
    ),
)
CROSSED_POSITIONS = _crossed(
    "OPEN",
    (
        f"o.order_type IN {_LONG} AND o.stop_loss_trigger >= q.bid",
        f"o.order_type IN {_LONG} AND o.take_profit_trigger <= q.bid",
        f"o.order_type IN {_SHORT} AND o.stop_loss_trigger <= q.ask",
        f"o.order_type IN {_SHORT} AND o.take_profit_trigger >= q.ask",
    ),
)
EXPIRED = _page(
    "SELECT order_id, account_id FROM orders WHERE status = 'PENDING' AND expires_at <= $5",
    "a.user_type = $4",
)


def find_crossed(
    connection: Connection,
    statement: str,
    quotes: LastQuotes,
    user_type: UserType,
    shard: AccountShard = ALL_ACCOUNTS,
) -> AsyncIterator[list[int]]:
    """Yield the ids of crossed orders by `CROSSED_PENDING` or `CROSSED_POSITIONS`, in pages."""
    return _pages(connection, statement, shard, user_type, *quotes)


def find_expired(
    connection: Connection,
    until: int,
    user_type: UserType,
    shard: AccountShard = ALL_ACCOUNTS,
) -> AsyncIterator[list[int]]:
    """Yield the ids of pending orders that expired at `until` (ns UTC) or before, in pages."""
    return _pages(connection, EXPIRED, shard, user_type, until)


async def _pages(
    connection: Connection, statement: str, shard: AccountShard, *arguments: object
) -> AsyncIterator[list[int]]:
    # What is found and stays, for want of a rate, must not hide what comes behind it.
    last = -1
    while True:
        rows = await connection.fetch(statement, last, shard.of, shard.number, *arguments)
        if rows:
            last = rows[-1]["order_id"]
            yield [row["order_id"] for row in rows]
        if len(rows) < PAGE:
            return
