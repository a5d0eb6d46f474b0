"""The lease of the feeds: which of them writes the ticks, proven by an epoch.

As with shards (`service.storage.lease`) the database's clock decides, and who takes it over has a
higher epoch. Nothing in PostgreSQL is fenced by it: who reads ticks refuses those of a lower one.

An epoch is when it began (ms, Unix time) or the one before and 1, whichever is more: who reads on
while the database is restored from a backup must not take the next feed for a former one.
"""

from service.storage.connection import Connection
from service.storage.lease import TIMEOUT_S

_HOLD = """
UPDATE feed_lease
SET epoch = CASE WHEN epoch = $2 THEN epoch
    ELSE greatest(epoch + 1, (extract(epoch FROM now()) * 1000)::bigint) END, holder = $1,
    expires_at = now() + make_interval(secs => $3)
WHERE epoch = $2 OR holder = $1 OR expires_at <= now()
RETURNING epoch
"""
_RELEASE = "UPDATE feed_lease SET expires_at = now() WHERE epoch = $1"


async def hold(connection: Connection, holder: str, epoch: int | None, life_s: float) -> int | None:
    """Prolong the lease held under `epoch`, or take it over where it is free.

    Returns:
        The epoch that it is held under now, another than `epoch` if it was taken over; None while
        someone else holds it.
    """
    found: int | None = await connection.fetchval(_HOLD, holder, epoch, life_s, timeout=TIMEOUT_S)
    return found


async def release(connection: Connection, epoch: int) -> None:
    """Let the next feed in at once."""
    await connection.execute(_RELEASE, epoch, timeout=TIMEOUT_S)
