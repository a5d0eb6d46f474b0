"""Into how many shards the accounts of a database are divided: it has a lease for each.

The number changes only while nobody trades. Every new lease begins at an epoch above all former
ones, so that whatever a former owner still sends is fenced; with its ids above all that were given;
at no version of the settings, so that the triggers of its orders are stored anew (of shard 0, which
has the newest, reconciliation finds those that were not); and relays again what any former shard
had not relayed: who has had an event knows its sequence.
"""

from loguru import logger

from service.storage.connection import Connection
from service.storage.lease import END_WHEN_IDLE
from service.storage.transactions import whole

_LOCK = "LOCK TABLE shard_leases IN EXCLUSIVE MODE"
_COUNT = "SELECT count(*) FROM shard_leases"
_ARE_FREE = "SELECT coalesce(bool_and(expires_at < now()), true) FROM shard_leases"
_DIVIDE_LEASES = """
WITH former AS (DELETE FROM shard_leases RETURNING *)
INSERT INTO shard_leases
    (shard, epoch, holder, expires_at, last_batch, last_tick, last_decision, rolled_until,
    settings_version)
SELECT shard, epoch + 1, '', '-infinity', '00000000-0000-0000-0000-000000000000', tick, decision,
    rolled_until, CASE WHEN shard = 0 THEN newest ELSE 0 END
FROM generate_series(0, $1::integer - 1) AS shard, (
    SELECT max(epoch) AS epoch, max(last_tick) AS tick, max(last_decision) AS decision,
        min(rolled_until) AS rolled_until, max(settings_version) AS newest
    FROM former
) AS last
"""
_DIVIDE_RELAY = """
WITH former AS (DELETE FROM event_relay RETURNING *)
INSERT INTO event_relay (shard, published_until)
SELECT shard, published_until
FROM generate_series(0, $1::integer - 1) AS shard,
    (SELECT min(published_until) AS published_until FROM former) AS first
"""


async def divide(connection: Connection, shards: int) -> int:
    """Divide the accounts into `shards` unless somebody trades; return into how many they are."""
    if await connection.fetchval(_COUNT) == shards:
        return shards
    async with whole(connection):
        await connection.execute(END_WHEN_IDLE)
        await connection.execute(_LOCK)
        before = int(await connection.fetchval(_COUNT))
        if before == shards or not await connection.fetchval(_ARE_FREE):
            return before
        await connection.execute(_DIVIDE_LEASES, shards)
        await connection.execute(_DIVIDE_RELAY, shards)
    logger.warning("the accounts were divided into {} shards, and are now into {}", before, shards)
    return shards
