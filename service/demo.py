"""The demo book for the simulated feed: accounts and resting orders, for an empty database."""

import time

import asyncpg

from service.scenario.folder import DEMO_FOLDER, read_scenario
from service.storage.database import CONNECT_TIMEOUT_S, apply_migrations
from service.storage.importer import Opening, is_empty, open_book


async def open_demo(dsn: str) -> None:
    """Bring the schema up to date, and open the demo book unless there is a book already."""
    await apply_migrations(dsn)
    connection = await asyncpg.connect(dsn, timeout=CONNECT_TIMEOUT_S)
    try:
        if await is_empty(connection):
            scenario = read_scenario(DEMO_FOLDER)
            now = time.time_ns()
            opening = Opening(
                scenario.symbols,
                scenario.groups,
                scenario.group_symbols,
                scenario.accounts,
                scenario.orders.placed_at(now),
            )
            await open_book(connection, opening, now)
    finally:
        await connection.close()
