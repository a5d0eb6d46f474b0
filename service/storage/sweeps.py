"""What the safety sweeps ask: live orders that the last quotes have crossed (R2, R3.1).

One statement per user type and kind, served by the partial trigger indexes: it returns only what is
crossed, oldest first, so that it costs the same however many orders rest. A closed quote (bid, ask)
stands for each symbol; prices and triggers are in points, triggers normalised.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from service.domain.instrument import UserType

if TYPE_CHECKING:
    import asyncpg
    from asyncpg.pool import PoolConnectionProxy

    Connection = asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]

MAX_FOUND = 10_000
_LONG = "('BUY', 'BUY_LIMIT', 'BUY_STOP')"
_SHORT = "('SELL', 'SELL_LIMIT', 'SELL_STOP')"


class LastQuotes(NamedTuple):
    """Last quotes as columns, in points."""

    symbols: Sequence[str]
    bids: Sequence[int]
    asks: Sequence[int]


def _crossed(status: str, conditions: Sequence[str]) -> str:
    searches = " UNION ALL ".join(
        "SELECT o.order_id, o.account_id "
        "FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS q (symbol, bid, ask) "
        f"JOIN orders o ON o.symbol = q.symbol AND o.status = '{status}' AND {condition}"
        for condition in conditions
    )
    return (
        # Asked for each order that is found: a join would be planned for a third of all orders,
        # which is what a comparison with an unknown price is taken for, and read all accounts.
        f"SELECT order_id FROM ({searches}) AS crossed WHERE $4 = "
        "(SELECT user_type FROM accounts a WHERE a.account_id = crossed.account_id) "
        f"ORDER BY order_id LIMIT {MAX_FOUND}"
    )


CROSSED_PENDING = _crossed(
    "PENDING",
    (
        "o.order_type = 'BUY_LIMIT' AND o.trigger_price >= q.ask",
        "o.order_type IN ('BUY_STOP', 'BUY') AND o.trigger_price <= q.ask",
        "o.order_type = 'SELL_STOP' AND o.trigger_price >= q.bid",
        "o.order_type IN ('SELL_LIMIT', 'SELL') AND o.trigger_price <= q.bid",
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


async def find_crossed(
    connection: "Connection", statement: str, quotes: LastQuotes, user_type: UserType
) -> list[int]:
    """Return the ids of crossed orders by `CROSSED_PENDING` or `CROSSED_POSITIONS`."""
    rows = await connection.fetch(statement, *quotes, user_type)
    return [row["order_id"] for row in rows]
