"""Faults of the feed, and of the market itself."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.drills.book import POOR_ACCOUNTS
from tests.drills.stores import meanwhile
from tests.drills.universe import Universe

ABSURD_SHARE = 0.3
DROP_S = 8.0
CRASH = -0.012
POOR_LOTS = "0.40"


@asynccontextmanager
async def feed_silent(on: Universe) -> AsyncIterator[None]:
    """Let the upstream have heartbeats only."""
    on.upstream.silent |= set(on.upstream.traded)
    try:
        yield
    finally:
        on.upstream.silent.clear()


@asynccontextmanager
async def symbol_silent(on: Universe) -> AsyncIterator[None]:
    on.upstream.silent.add("AUDUSD")
    try:
        yield
    finally:
        on.upstream.silent.clear()


@asynccontextmanager
async def feed_absurd(on: Universe) -> AsyncIterator[None]:
    on.upstream.absurd = ABSURD_SHARE
    try:
        yield
    finally:
        on.upstream.absurd = 0.0


@asynccontextmanager
async def feed_dropping(on: Universe) -> AsyncIterator[None]:
    async def drop() -> None:
        on.upstream.drop()
        await asyncio.sleep(DROP_S)

    async with meanwhile(drop):
        yield


@asynccontextmanager
async def market_crashed(on: Universe) -> AsyncIterator[None]:
    """Let gold fall on accounts that have bought all they may."""
    await on.traders.place_all(
        {"account_id": each, "symbol": "XAUUSD", "kind": "BUY", "lots": POOR_LOTS}
        for each in POOR_ACCOUNTS
    )
    on.upstream.move(CRASH, "XAUUSD")
    yield
