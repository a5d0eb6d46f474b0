"""Fair share: which shard a process takes, or gives away, from what is known of all.

Every process looks at the same table, once a beat, and takes what is free while it has less than
its share; it gives one away while it has more than somebody who waits. With n shards and k
processes each ends with floor(n/k) or ceil(n/k) of them, and then nothing moves. Pure: who is
alive, what is free, and whose turn it is are told by the database.
"""

from collections.abc import Collection, Mapping
from typing import NamedTuple


class Take(NamedTuple):
    """Try to take a free shard."""

    shard: int


class Give(NamedTuple):
    """Give a shard away."""

    shard: int


Held = Mapping[str, Collection[int]]


def fair_share(shards: int, alive: int) -> int:
    """Return how many shards one of `alive` processes (>= 1) has at most."""
    return -(-shards // alive)


def next_move(me: str, shards: int, held: Held, free: Collection[int]) -> Take | Give | None:
    """Decide the next move of `me`; `held` are the shards of every process that is alive, `me` too.

    The highest shard is given, so that the first, whose leader owns the settings, stays where it
    is.
    """
    mine, alive = held[me], len(held)
    most, least = fair_share(shards, alive), shards // alive
    lacking = sum(max(0, least - len(theirs)) for who, theirs in held.items() if who != me)
    if free:
        # Who has enough leaves those who lack some their choice, lest he take back what he gave.
        is_next = len(mine) < least or (len(mine) < most and len(free) > lacking)
        if not is_next:
            return None
        # Those that begin at once begin at different ones; the lease decides where they do not.
        rank = sorted(held).index(me)
        wanted = sorted(free)
        return Take(wanted[rank * len(wanted) // alive])
    if len(mine) > most or (len(mine) > least and lacking):
        return Give(max(mine))
    return None
