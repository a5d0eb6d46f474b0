"""The lease of a shard: who may write, proven by an epoch.

An owner renews it at a third of its life. A process that finds it expired takes it over with the
next epoch; from then on nothing the former owner sends is written. The database's clock decides.
"""

import uuid
from dataclasses import dataclass
from enum import StrEnum

from service.storage.connection import Connection

TIMEOUT_S = 5.0
# A connection that dies in silence must not keep a lease's row locked.
END_WHEN_IDLE = "SET LOCAL idle_in_transaction_session_timeout = '10s'"
_ACQUIRE = """
WITH former AS (SELECT * FROM shard_leases WHERE shard = $1 FOR UPDATE)
UPDATE shard_leases AS now
SET epoch = now.epoch + 1, holder = $2, expires_at = now() + make_interval(secs => $3)
FROM former
WHERE now.shard = $1 AND (former.expires_at < now() OR former.holder = $2)
RETURNING now.epoch, now.last_batch, now.last_tick, now.last_decision,
    CASE WHEN former.holder = '' THEN 'released' ELSE 'expired' END,
    CASE WHEN former.expires_at = '-infinity' THEN 0
        ELSE greatest(0, extract(epoch FROM now() - former.expires_at))::float8 END
"""
_RENEW = """
UPDATE shard_leases SET expires_at = now() + make_interval(secs => $3)
WHERE shard = $1 AND epoch = $2 AND holder <> '' RETURNING true
"""
_RELEASE = """
UPDATE shard_leases SET expires_at = now(), holder = '' WHERE shard = $1 AND epoch = $2
"""


class Vacancy(StrEnum):
    """Why a lease could be taken: its holder let it go, if it ever had one, or did not renew it."""

    RELEASED = "released"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Lease:
    """A shard held under an epoch, and where its writing stood when it was taken.

    `vacancy` says why it could be, and `vacant_s` for how long it had been vacant.
    """

    shard: int
    epoch: int
    last_batch: uuid.UUID
    last_tick: int
    last_decision: int
    vacancy: Vacancy = Vacancy.RELEASED
    vacant_s: float = 0.0


async def acquire(connection: Connection, shard: int, holder: str, life_s: float) -> Lease | None:
    """Take a free or expired lease; None while someone else holds it."""
    row = await connection.fetchrow(_ACQUIRE, shard, holder, life_s, timeout=TIMEOUT_S)
    if row is None:
        return None
    epoch, batch, tick, decision, vacancy, vacant_s = row
    return Lease(shard, epoch, batch, tick, decision, Vacancy(vacancy), vacant_s)


async def renew(connection: Connection, lease: Lease, life_s: float) -> bool:
    """Prolong a lease; False: someone else has taken it."""
    return bool(
        await connection.fetchval(_RENEW, lease.shard, lease.epoch, life_s, timeout=TIMEOUT_S)
    )


async def release(connection: Connection, lease: Lease) -> None:
    """Let the next owner in at once; a renewal that is late changes nothing any more."""
    await connection.execute(_RELEASE, lease.shard, lease.epoch, timeout=TIMEOUT_S)
