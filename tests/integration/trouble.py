"""A little of all that may go wrong, from outside, so that what shows it has something to show.

It is over before any alert fires: servers are away for less than they may be.
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import redis.asyncio

from service.storage.embedded import EmbeddedValkey
from tests.drills.book import RICH_ACCOUNTS
from tests.integration.watched import Watched

OUTAGE_S = 3.0
REST_S = 6.0
ASKED_AT_ONCE = 50
FLOOD_TIMEOUT_S = 60.0
PAUSE_S = 0.05


async def make_trouble(on: Watched, valkey: EmbeddedValkey) -> None:
    """Be refused, read too slowly, and be without each server for `OUTAGE_S`."""
    await on.traders.place(RICH_ACCOUNTS[5], "EURUSD", "BUY", "1000.00")
    await _read_slowly(on)
    async with _no_database(on):
        await _go_on(on)
    async with _no_redis(valkey):
        await _go_on(on)
    await asyncio.sleep(REST_S)


async def _read_slowly(on: Watched) -> None:
    """Ask for all prices again and again, and read the answers only once some have to wait."""
    asked, before = 0, await _subscriptions(on)
    async with on.traders.stream(RICH_ACCOUNTS[6]) as socket:
        async with asyncio.timeout(FLOOD_TIMEOUT_S):
            while not await _exported(on, "tapewatch_websocket_waiting_connections"):
                if await _subscriptions(on) >= before + asked:
                    for _ in range(ASKED_AT_ONCE):
                        await socket.send_json({"type": "subscribe"})
                    asked += ASKED_AT_ONCE
        while asked:
            asked -= (await socket.receive_json())["type"] == "subscribed"


async def _subscriptions(on: Watched) -> float:
    return await _exported(on, 'tapewatch_websocket_processing_seconds_count{type="subscribe"}')


async def _exported(on: Watched, series: str) -> float:
    """Return the value of a series as the service exports it now."""
    async with on.traders.session.get(f"http://{on.service.ops}/metrics") as response:
        return float((await response.text()).partition(f"\n{series} ")[2].partition("\n")[0])


async def _go_on(on: Watched) -> None:
    """Trade and look, whatever is answered."""
    until = asyncio.get_running_loop().time() + OUTAGE_S
    while asyncio.get_running_loop().time() < until:
        await on.traders.place(RICH_ACCOUNTS[7], "EURUSD", "BUY", "0.01")
        await on.traders.call(RICH_ACCOUNTS[7], "GET", "/account/deals")
        await on.traders.call(RICH_ACCOUNTS[8], "GET", "/account")
        await asyncio.sleep(PAUSE_S)


@asynccontextmanager
async def _no_database(on: Watched) -> AsyncIterator[None]:
    """Let nobody into the service's database, and send away who is in."""
    connection = await asyncpg.connect(on.postgres.dsn_of("postgres"))
    try:
        await connection.execute(f"ALTER DATABASE {on.database} ALLOW_CONNECTIONS false")
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", on.database
        )
        yield
    finally:
        await connection.execute(f"ALTER DATABASE {on.database} ALLOW_CONNECTIONS true")
        await connection.close()


@asynccontextmanager
async def _no_redis(valkey: EmbeddedValkey) -> AsyncIterator[None]:
    """Stop the server, and then let it go on."""
    client = redis.asyncio.Redis.from_url(valkey.url)
    pid = int((await client.info("server"))["process_id"])
    await client.aclose()
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
