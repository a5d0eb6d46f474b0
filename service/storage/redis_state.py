"""What Redis servers say of themselves: the fields of INFO that we measure."""

import math
from typing import NamedTuple


class RedisState(NamedTuple):
    """Memory in bytes (`memory_max` 0: no limit), keys evicted, keys found and not, clients.

    Counts are since the servers' start; hits and misses are of all their clients and commands, not
    of our caches. Of several servers memory is that of the fullest, for that one evicts; the rest
    are sums.
    """

    memory_used: int
    memory_max: int
    evicted_keys: int
    keyspace_hits: int
    keyspace_misses: int
    clients: int


def redis_state_from(*infos: bytes | str) -> RedisState:
    """Read the replies to INFO of one or several servers.

    Raises:
        ValueError: one lacks a field, or one is not a number.
    """
    states = [_state_from(info) for info in infos]
    fullest = max(states, key=lambda each: (each.memory_used / (each.memory_max or math.inf), each))
    return RedisState(
        fullest.memory_used,
        fullest.memory_max,
        *map(sum, zip(*(each[2:] for each in states), strict=True)),
    )


def _state_from(info: bytes | str) -> RedisState:
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
