"""What is done to a deployment under load by name: each of these once, and how long it took.

Each returns the seconds until what it has hurt trades again. Nothing here judges them: the run that
it is part of does, by what was lost or done twice. Only `batch_held` looks for itself (see
`late_batch`).
"""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable

from tests.adversity.deployment import Deployment
from tests.adversity.late_batch import batch_held
from tests.adversity.member import Member
from tests.support import eventually

PAST_LEASE_S = 3.0
AWAKE_S = 5.0
TAKEN_TIMEOUT_S = 120.0
POLL_S = 0.05


async def engine_killed(on: Deployment) -> float:
    """Kill a process that trades shards; it is started again once the others trade them."""
    member, shards = await _leader(on)
    began = time.monotonic()
    await member.kill()
    await _taken_over(on, member, shards)
    seconds = time.monotonic() - began
    await member.start()
    return seconds


async def engine_ended(on: Deployment) -> float:
    """Tell a process that trades shards to end; count from there until others trade them."""
    member, shards = await _leader(on)
    began = time.monotonic()
    member.instance.send(signal.SIGTERM)
    await _taken_over(on, member, shards)
    seconds = time.monotonic() - began
    await eventually(lambda: not member.instance.is_running)
    await member.start()
    return seconds


async def engine_frozen(on: Deployment) -> float:
    """Stop a process that trades past its lease, let others take over, and wake it."""
    member, shards = await _leader(on)
    began = time.monotonic()
    async with member.instance.stopped():
        await _taken_over(on, member, shards)
        seconds = time.monotonic() - began
        await asyncio.sleep(PAST_LEASE_S)
    await asyncio.sleep(AWAKE_S)
    return seconds


async def master_killed(on: Deployment) -> float:
    """Kill a master of the cluster for good, until its replica serves; then start it again."""
    began = time.monotonic()
    on.cluster.masters[0].kill()
    await on.traded()
    seconds = time.monotonic() - began
    on.cluster.masters[0].start()
    return seconds


async def postgres_restarted(on: Deployment) -> float:
    """Have PostgreSQL end at once, as by a crash, and start again."""
    began = time.monotonic()
    await on.restart_postgres()
    await on.traded()
    return time.monotonic() - began


async def gateway_killed(on: Deployment) -> float:
    """Kill a gateway: its clients go to the other one; then start it again."""
    gateway = on.gateways[0]
    began = time.monotonic()
    await gateway.kill()
    await on.traded()
    seconds = time.monotonic() - began
    await gateway.start()
    return seconds


async def feed_killed(on: Deployment) -> float:
    """Kill whoever brings the quotes, and start it again."""
    feed = next(each for each in on.members.values() if "upstream" in each.links)
    began = time.monotonic()
    await feed.kill()
    await feed.start()
    await on.traded()
    return time.monotonic() - began


DRIVES: tuple[Callable[[Deployment], Awaitable[float]], ...] = (
    engine_killed,
    engine_ended,
    engine_frozen,
    batch_held,
    master_killed,
    postgres_restarted,
    gateway_killed,
    feed_killed,
)


async def _leader(on: Deployment) -> tuple[Member, set[int]]:
    """Return a member that trades, and the shards that it does."""
    leaders = await on.leaders()
    name = leaders[min(leaders)]
    return on.members[name], {shard for shard, by in leaders.items() if by == name}


async def _taken_over(on: Deployment, member: Member, shards: set[int]) -> None:
    """Wait until others have these shards, and answer commands for them."""
    async with asyncio.timeout(TAKEN_TIMEOUT_S):
        while True:
            leaders = await on.leaders()
            if all(leaders[shard] != member.name for shard in shards):
                break
            await asyncio.sleep(POLL_S)
    await on.traded(shards)
