"""Faults of the service's own processes: killed, stopped past their lease, misled, unheard."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.drills.book import FEW_GROUPS, group_name
from tests.drills.instance import Instance
from tests.drills.universe import Universe

LEASE_S = 4.0
PAST_LEASE_S = 3.0
FLAPS = 5
SEEN_S = 12.0  # two scrapes, so that Prometheus sees who leads
LAST_ORDERS = 20
TAMPERED_ACCOUNT = 30


@asynccontextmanager
async def killed(on: Universe) -> AsyncIterator[None]:
    await on.service.stop(signal.SIGKILL)
    try:
        yield
    finally:
        on.service.start()


async def _leader(on: Universe) -> Instance:
    """Return the process that trades."""
    while True:
        for instance in on.instances:
            if await instance.answers("/readyz") == 200:
                return instance
        await asyncio.sleep(0.2)


@asynccontextmanager
async def leader_stopped(on: Universe) -> AsyncIterator[None]:
    """Stop the leader past its lease, with commands on their way to it, and let it go on."""
    await on.traders.stop()
    leader = await _leader(on)
    async with leader.stopped():
        orders = [
            asyncio.create_task(on.traders.place(10 + number, "EURUSD", "BUY", "0.01"))
            for number in range(LAST_ORDERS)
        ]
        await asyncio.sleep(LEASE_S + PAST_LEASE_S)
    await asyncio.gather(*orders, return_exceptions=True)
    yield


@asynccontextmanager
async def leaders_stopped_in_turn(on: Universe) -> AsyncIterator[None]:
    """Stop whoever leads past its lease, again and again, while nothing is traded."""
    await on.traders.retire()
    for _ in range(FLAPS):
        leader = await _leader(on)
        async with leader.stopped():
            await asyncio.sleep(LEASE_S + PAST_LEASE_S)
        await asyncio.sleep(SEEN_S)
    yield


@asynccontextmanager
async def memory_contradicted(on: Universe) -> AsyncIterator[None]:
    """Change an idle account's balance behind the service's back, in the cache as well."""
    await on.execute(
        "UPDATE accounts SET balance = balance + 1 WHERE account_id = $1", TAMPERED_ACCOUNT
    )
    async with on.valkey_client() as client:
        await client.delete(f"{{acct:{TAMPERED_ACCOUNT}}}:orders")
    yield


async def _restart(on: Universe, *statements: str) -> None:
    """Execute statements while the service is away for a moment, and let Redis forget prices."""
    await on.service.stop()
    for statement in statements:
        await on.execute(statement)
    async with on.valkey_client() as client:
        await client.delete(
            *(f"{{group:{group_name(number)}}}:prices" for number in range(FEW_GROUPS))
        )
    on.service.start()
    await on.service.ready()


@asynccontextmanager
async def account_impossible(on: Universe) -> AsyncIterator[None]:
    """Have the service start with a position that no rule can judge, and trigger its stop loss."""
    mid = on.upstream.mids["GBPUSD"]
    await on.traders.place(TAMPERED_ACCOUNT, "GBPUSD", "SELL", "0.01", stop_loss=mid * 1.005)
    opened = (
        "UPDATE orders SET open_tick = {} "
        f"WHERE account_id = {TAMPERED_ACCOUNT} AND symbol = 'GBPUSD' AND status = 'OPEN'"
    )
    await _restart(on, opened.format("NULL"))
    on.upstream.move(0.01, "GBPUSD")
    try:
        yield
    finally:
        await _restart(on, opened.format(0))


@asynccontextmanager
async def rate_unknown(on: Universe) -> AsyncIterator[None]:
    """Have the service start with francs to convert, whose market is shut and never quoted."""
    await on.traders.place(TAMPERED_ACCOUNT, "EURCHF", "BUY", "0.01")
    await _restart(
        on,
        "UPDATE symbols SET sessions = 'Etc/UTC: Mon 00:00-00:01' WHERE symbol = 'USDCHF'",
        "DELETE FROM quotes WHERE symbol = 'USDCHF'",
    )
    try:
        yield
    finally:
        await _restart(on, "UPDATE symbols SET sessions = NULL WHERE symbol = 'USDCHF'")


# Telemetry and notifications


@asynccontextmanager
async def collector_gone(on: Universe) -> AsyncIterator[None]:
    await on.collector.cut()
    try:
        yield
    finally:
        await on.collector.restore()


@asynccontextmanager
async def receiver_gone(on: Universe) -> AsyncIterator[None]:
    """Take away the receiver of the heartbeat; those of pages and tickets stay."""
    await on.heartbeat.cut()
    try:
        yield
    finally:
        await on.heartbeat.restore()
