"""Looks into a book's database, and what must hold in it whatever happened."""

import asyncio
from collections.abc import Collection
from typing import Any

import asyncpg

from service.domain.desk import Desk
from service.domain.engine import Engine
from service.storage.loader import load_engine
from service.verify.fault import Rule
from service.verify.verification import verify
from tests.adversity.shard import GUARD, Shard, memory_of


async def check_book(dsn: str, shard: Shard | None = None, *, but: Collection[Rule] = ()) -> None:
    """Assert what must hold whatever happened; with a drained shard, that memory is the truth.

    `but` are the rules that the test itself has broken, by its own hand in the database.
    """
    faults = [fault for fault in (await verify(dsn)).faults if fault.rule not in but]
    assert not faults, faults
    if shard is None:
        return
    connection = await asyncpg.connect(dsn)
    try:
        engine = Engine(Desk(shard.desk.shard), GUARD)
        await load_engine(connection, engine)
        stored = memory_of(engine.desk)
        accounts, orders = shard.memory()
        assert accounts == stored[0]
        assert orders == stored[1]
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
