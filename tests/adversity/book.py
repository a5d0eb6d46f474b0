"""Looks into a book's database, and what must hold in it whatever happened."""

import asyncio
from typing import Any

import asyncpg

from service.domain.desk import Desk
from service.domain.engine import Engine
from service.storage.loader import load_engine
from tests.adversity.shard import GUARD, Shard, memory_of

UNBALANCED = """
SELECT count(*) FROM accounts a WHERE balance <>
    (SELECT coalesce(sum(amount), 0) FROM ledger l WHERE l.account_id = a.account_id)
"""
GAPS = """
SELECT count(*) FROM accounts a WHERE (sequence, sequence) <>
    (SELECT coalesce(max(o.sequence), 0), count(*) FROM outbox o WHERE o.account_id = a.account_id)
"""
FILLED_TWICE = """
SELECT count(*) - count(DISTINCT (order_id, event)) FROM deals
WHERE event IN ('OPEN', 'CLOSE', 'CANCEL') AND corrected_by IS NULL
"""


async def check_book(dsn: str, shard: Shard | None = None) -> None:
    """Assert what must hold whatever happened; with a drained shard, that memory is the truth."""
    connection = await asyncpg.connect(dsn)
    try:
        for statement in (UNBALANCED, GAPS, FILLED_TWICE):
            assert await connection.fetchval(statement) == 0, statement
        if shard is None:
            return
        engine = Engine(Desk(), GUARD)
        await load_engine(connection, engine)
        stored = memory_of(engine.desk)
        accounts, orders = shard.memory()
        assert accounts == stored[0]
        assert orders == stored[1]
        margins = await connection.fetch("SELECT account_id, margin FROM accounts")
        for account_id, margin in margins:
            assert shard.desk.accounts[account_id].margin == margin
        triggers = await connection.fetch(
            "SELECT order_id, trigger_price, stop_loss_trigger, take_profit_trigger FROM orders "
            "WHERE status IN ('PENDING', 'OPEN')"
        )
        for order_id, *stored_triggers in triggers:
            order = shard.desk.orders[order_id]
            assert stored_triggers == [
                order.trigger,
                order.stop_loss_trigger,
                order.take_profit_trigger,
            ]
    finally:
        await connection.close()


async def execute(dsn: str, *statements: str) -> None:
    """Run statements behind the service's back."""
    connection = await asyncpg.connect(dsn)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def fetch(dsn: str, statement: str, *arguments: object) -> list[tuple[Any, ...]]:
    connection = await asyncpg.connect(dsn)
    try:
        return [tuple(row) for row in await connection.fetch(statement, *arguments)]
    finally:
        await connection.close()


async def locked_out(dsn: str, count: int = 1) -> None:
    """Wait until `count` statements wait for a lock."""
    waiting = (
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE wait_event_type = 'Lock' AND datname = current_database()"
    )
    async with asyncio.timeout(30):
        while (await fetch(dsn, waiting))[0][0] < count:  # noqa: ASYNC110 - a server has no event
            await asyncio.sleep(0.02)
