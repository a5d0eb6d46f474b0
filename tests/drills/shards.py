"""Faults between processes of several roles: of leases, of settings, of what goes over the bus.

A reader of a stream is kept from hearing by traps of the proxy before Redis: each of its
connections stands still at the first answer, while whatever else it asks of Redis is answered.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from service.api.auth import Role
from service.storage.cache_keys import commands_key, ticks_key
from tests.drills.stores import locking, meanwhile
from tests.drills.universe import Universe
from tests.faultproxy import Moment, Trap

ROLES = ("gateway", "feed", "engine", "engine")
SHARDS = 4
NOBODYS = 3
LONG_S = 600.0
TRAPPED_S = 1.0
TRAP_TIMEOUT_S = 30.0


@asynccontextmanager
async def lease_taken_by_nobody(on: Universe) -> AsyncIterator[None]:
    """Give the lease of a shard, for ever, to a holder that is not there; nothing is traded."""
    await on.traders.retire()
    await on.execute(
        "UPDATE shard_leases SET epoch = epoch + 1, holder = 'nobody', expires_at = 'infinity' "
        "WHERE shard = $1",
        NOBODYS,
    )
    try:
        yield
    finally:
        await on.execute(
            "UPDATE shard_leases SET expires_at = '-infinity' WHERE shard = $1", NOBODYS
        )


@asynccontextmanager
async def engine_unregistered(on: Universe) -> AsyncIterator[None]:
    """Start an engine anew that the others cannot know of, since it cannot say that it lives."""
    await on.traders.retire()
    await on.execute(
        "CREATE FUNCTION ignore_newcomer() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "IF EXISTS (SELECT FROM engines WHERE holder = NEW.holder) THEN RETURN NEW; END IF; "
        "RETURN NULL; END $$"
    )
    await on.execute(
        "CREATE TRIGGER ignore_newcomer BEFORE INSERT ON engines "
        "FOR EACH ROW EXECUTE FUNCTION ignore_newcomer()"
    )
    engine = on.of_role("engine")[-1]
    await engine.stop()
    engine.start()
    await engine.alive()
    try:
        yield
    finally:
        await on.execute("DROP TRIGGER ignore_newcomer ON engines")


@asynccontextmanager
async def settings_unread(on: Universe) -> AsyncIterator[None]:
    """Change a symbol while nobody can read the groups, and so no settings."""
    await on.traders.retire()
    async with locking(on, "groups", LONG_S):
        await asyncio.sleep(TRAPPED_S)  # until the lock is held
        halting = asyncio.create_task(_set_state(on, "halted"))
        try:
            yield
        finally:
            halting.cancel()
            await asyncio.gather(halting, return_exceptions=True)
    await _set_state(on, "active")


async def _set_state(on: Universe, state: str) -> None:
    change = {"state": state, "reason": "a drill"}
    path = "/admin/symbols/USDCHF/trading-state"
    await on.traders.call(1, "PUT", path, change, role=Role.ADMIN)


@asynccontextmanager
async def feed_lease_taken_by_nobody(on: Universe) -> AsyncIterator[None]:
    await on.execute(
        "UPDATE feed_lease SET epoch = epoch + 1, holder = 'nobody', expires_at = 'infinity'"
    )
    try:
        yield
    finally:
        await on.execute("UPDATE feed_lease SET expires_at = '-infinity'")


@asynccontextmanager
async def gateway_ended(on: Universe) -> AsyncIterator[None]:
    """End the one gateway, whose traders have nowhere to go."""
    (gateway,) = on.of_role("gateway")
    await gateway.stop()
    try:
        yield
    finally:
        gateway.start()
        await gateway.ready()


@asynccontextmanager
async def ticks_unheard(on: Universe) -> AsyncIterator[None]:
    """Keep all readers of ticks from hearing what they are answered."""
    async with _unheard(on, ticks_key()):
        yield


@asynccontextmanager
async def commands_unheard(on: Universe) -> AsyncIterator[None]:
    """Keep the engine of a shard from hearing what it is asked, with commands on their way."""
    async with _unheard(on, commands_key(NOBODYS)):

        async def deal() -> None:
            await on.traders.place(NOBODYS, "EURUSD", "BUY", "0.01")

        async with meanwhile(deal):
            yield


@asynccontextmanager
async def ticks_deleted(on: Universe) -> AsyncIterator[None]:
    """Delete the ticks of a second that their readers have not heard yet."""
    async with _unheard(on, ticks_key()):
        await asyncio.sleep(TRAPPED_S)
        async with on.valkey_client() as client:
            await client.xtrim(ticks_key(), maxlen=0, approximate=False)
    yield


@asynccontextmanager
async def _unheard(on: Universe, key: str) -> AsyncIterator[None]:
    """Let nobody hear what comes by a stream."""
    reading = f"STREAMS\r\n${len(key)}\r\n{key}".encode()
    traps: list[Trap] = []

    async def set_trap() -> None:
        trap = on.redis.arm(reading, Moment.BEFORE_REPLY)
        await trap.sprung(TRAP_TIMEOUT_S)
        traps.append(trap)

    try:
        async with meanwhile(set_trap):
            yield
    finally:
        on.redis.traps.clear()
        for trap in traps:
            trap.cut()
