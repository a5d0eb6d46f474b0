"""Loops that measure the process itself and the servers it uses, rather than do anything."""

from service.instruments import Instruments
from service.loops.supervisor import LoopGroup
from service.storage.cache import Cache
from telemetry.runtime import Runtime

REDIS_STATE_INTERVAL_S = 5.0


def keep_measuring(loops: LoopGroup, instruments: Instruments, cache: Cache) -> None:
    """Have the event loop's lag sampled, and Redis asked for its state, from now on."""
    runtime = Runtime(instruments.metrics)

    async def ask_redis() -> None:
        state = await cache.state()
        if state is not None:  # an outage is told by those it concerns
            instruments.redis_state(*state)

    loops.keep("runtime", runtime.run, runtime.pulse)
    loops.repeat("redis_state", ask_redis, interval_s=REDIS_STATE_INTERVAL_S)
