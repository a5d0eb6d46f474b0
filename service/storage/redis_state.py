"""What a Redis server says of itself: the fields of INFO that we measure."""

from typing import NamedTuple


class RedisState(NamedTuple):
    """Memory in bytes (`memory_max` 0: no limit), keys evicted, keys found and not, clients.

    Counts are since the server's start; hits and misses are of all its clients and commands, not
    of our caches.
    """

    memory_used: int
    memory_max: int
    evicted_keys: int
    keyspace_hits: int
    keyspace_misses: int
    clients: int


def redis_state_from(info: bytes | str) -> RedisState:
    """Read the reply to INFO.

    Raises:
        ValueError: it lacks a field, or one is not a number.
    """
    text = info.decode() if isinstance(info, bytes) else info
    fields = dict(line.partition(":")[::2] for line in text.splitlines())
    try:
        return RedisState(
            int(fields["used_memory"]),
            int(fields["maxmemory"]),
            int(fields["evicted_keys"]),
            int(fields["keyspace_hits"]),
            int(fields["keyspace_misses"]),
            int(fields["connected_clients"]),
        )
    except KeyError as error:
        raise ValueError(f"the server's INFO has no field {error}") from error
