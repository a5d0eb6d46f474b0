"""The lease of a shard: who may write, proven by an epoch.

An owner renews it at a third of its life. A process that finds it expired takes it over with the
next epoch; from then on nothing the former owner sends is written. The database's clock decides.
"""

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncpg
    from asyncpg.pool import PoolConnectionProxy

    Connection = asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]

TIMEOUT_S = 5.0
_ACQUIRE = """
UPDATE shard_leases
SET epoch = epoch + 1, holder = $2, expires_at = now() + make_interval(secs => $3)
WHERE shard = $1 AND (expires_at < now() OR holder = $2)
RETURNING epoch, last_batch, last_tick, last_decision
"""
_RENEW = """
UPDATE shard_leases SET expires_at = now() + make_interval(secs => $3)
WHERE shard = $1 AND epoch = $2 RETURNING true
"""
_RELEASE = "UPDATE shard_leases SET expires_at = now() WHERE shard = $1 AND epoch = $2"


@dataclass(frozen=True, slots=True)
class Lease:
    """A shard held under an epoch, and where its writing stood when it was taken."""

    shard: int
    epoch: int
    last_batch: uuid.UUID
    last_tick: int
    last_decision: int


async def acquire(connection: "Connection", shard: int, holder: str, life_s: float) -> Lease | None:
    """Take a free or expired lease; None while someone else holds it."""
    row = await connection.fetchrow(_ACQUIRE, shard, holder, life_s, timeout=TIMEOUT_S)
    return None if row is None else Lease(shard, *row)


async def renew(connection: "Connection", lease: Lease, life_s: float) -> bool:
    """Prolong a lease; False: someone else has taken it."""
    return bool(
        await connection.fetchval(_RENEW, lease.shard, lease.epoch, life_s, timeout=TIMEOUT_S)
    )


async def release(connection: "Connection", lease: Lease) -> None:
    """Let the next owner in at once."""
    await connection.execute(_RELEASE, lease.shard, lease.epoch, timeout=TIMEOUT_S)
