"""Faults of the writer: it is late, or waits for a lock while stops trail the market.

Every quote of a market that rises moves the trailing stop of every position in it: that many
decisions wait. Above its limit the queue takes no more, quotes are followed and not judged, and
what they cross is missed.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.drills.stores import locking
from tests.drills.universe import Universe

TRAILED, RISE = "GBPUSD", 0.0001
CROSSED, CROSSING = "AUDUSD", 0.01
HOLDERS = range(5, 40)
FEW, MANY = 250, 2_000
COMMIT_S = 0.12
LONG_S, SHORT_S = 600.0, 0.2
FEW_RISES = 20
QUEUE_FULL = 100_000
WAITING = "tapewatch_writer_queue_decisions"
MISSED_ACCOUNT = 40


async def _hold(on: Universe, positions: int) -> None:
    await on.traders.place_all(
        {
            "account_id": HOLDERS[number % len(HOLDERS)],
            "symbol": TRAILED,
            "kind": "BUY",
            "lots": "0.01",
            "trailing_distance_points": 500,
        }
        for number in range(positions)
    )


@asynccontextmanager
async def commits_late(on: Universe) -> AsyncIterator[None]:
    """Let every commit take longer than promised."""
    await on.execute(
        "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN PERFORM pg_sleep({COMMIT_S}); RETURN NULL; END $$"
    )
    await on.execute(
        "CREATE TRIGGER dawdle AFTER INSERT ON outbox FOR EACH STATEMENT EXECUTE FUNCTION dawdle()"
    )
    try:
        yield
    finally:
        await on.execute("DROP TRIGGER dawdle ON outbox")


@asynccontextmanager
async def writer_held(on: Universe) -> AsyncIterator[None]:
    """Lock a table that every commit writes to, and let the market rise."""
    await _hold(on, FEW)
    async with locking(on, "deals", LONG_S):
        for _ in range(FEW_RISES):
            on.upstream.move(RISE, TRAILED)
            await asyncio.sleep(SHORT_S)
        yield


@asynccontextmanager
async def queue_filled(on: Universe) -> AsyncIterator[None]:
    """Fill the queue, let a quote cross an order unjudged, and let the writer go on."""
    at = on.upstream.mids[CROSSED] * (1 + CROSSING / 2)
    await on.traders.place(MISSED_ACCOUNT, CROSSED, "BUY_STOP", "0.01", price=at)
    await _hold(on, MANY)
    async with locking(on, "deals", LONG_S):
        while (await on.measured(WAITING) or 0.0) < QUEUE_FULL:
            on.upstream.move(RISE, TRAILED)
            await asyncio.sleep(SHORT_S)
        on.upstream.move(CROSSING, CROSSED)
        await asyncio.sleep(3.0)
        on.upstream.silent.add(CROSSED)  # no quote may find the order before the sweep does
    try:
        yield
    finally:
        on.upstream.silent.clear()
