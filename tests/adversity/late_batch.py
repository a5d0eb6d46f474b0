"""A leader's batch that comes late, and the fence in its statement is all that the book has left.

The batch is held on its way to PostgreSQL, and who sent it is stopped. Another engine takes the
lease, and is held before it reads a row of the book. So no account, order or batch before has
changed since it was decided, and nobody is awake who would take it back: only its epoch is old.
"""

import asyncio
import secrets
import time
from collections.abc import Mapping
from contextlib import suppress

from tests.adversity.deployment import Deployment
from tests.faultproxy import Moment, Trap
from tests.support import eventually

_FENCED = b"fenced"
_LAST = "SELECT by, epoch > epoch_before FROM lease_log WHERE shard = $1 ORDER BY line DESC LIMIT 1"
_WRITTEN = "SELECT count(*) FROM audit WHERE reason = $1"


async def batch_held(on: Deployment) -> float:
    """Let a late batch in; return after how many seconds its command was done at last.

    Raises:
        AssertionError: it was not refused for its epoch, or has left something.
    """
    shard, reason = on.shards - 1, f"held {secrets.token_hex(8)}"
    links = {each.name: each.links["postgres"] for each in on.traders}
    pattern = reason.encode()
    # Of all engines: the shard may be on its way from one to the next.
    batches = {name: link.arm(pattern, Moment.BEFORE_FORWARD) for name, link in links.items()}
    refused = {
        name: link.arm(pattern, Moment.BEFORE_REPLY, reply=_FENCED) for name, link in links.items()
    }
    loads: dict[str, Trap] = {}
    began = time.monotonic()
    try:
        async with asyncio.TaskGroup() as group:
            asking = group.create_task(on.traded({shard}, reason))
            late = await _first_sprung(batches)
            async with on.members[late].instance.stopped():
                for name in links.keys() - {late}:
                    loads[name] = links[name].arm(_load_of(on, shard), Moment.BEFORE_FORWARD)
                    batches[name].release()
                await _first_sprung(loads)
                batches[late].release()
                with suppress(TimeoutError):
                    await refused[late].sprung()
                assert refused[late].has_sprung, f"what {late} sent late was not refused as fenced"
                [(by, has_taken)] = await on.fetch(_LAST, shard)
                assert has_taken, f"{by} has written, and has not read the book"
                assert await on.fetch(_WRITTEN, reason) == [(0,)]
                _release(loads)
                await asking
                seconds = time.monotonic() - began
    finally:
        for traps in (batches, refused, loads):
            _release(traps)
    assert await on.fetch(_WRITTEN, reason) == [(1,)]
    return seconds


def _load_of(on: Deployment, shard: int) -> bytes:
    """Return what only the statement has that reads the accounts of a shard."""
    owned = "true" if on.shards == 1 else f"account_id % {on.shards} = {shard}"
    return f"FROM accounts WHERE {owned}".encode()


async def _first_sprung(traps: Mapping[str, Trap]) -> str:
    """Wait until one of these traps has sprung; return whose."""
    await eventually(lambda: any(trap.has_sprung for trap in traps.values()))
    return next(name for name, trap in traps.items() if trap.has_sprung)


def _release(traps: Mapping[str, Trap]) -> None:
    """Hold nobody in these traps, now or later."""
    for trap in traps.values():
        trap.release()
