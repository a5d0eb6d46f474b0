"""A market with something going on: walks that now and then jump, so that orders trigger.

Small jumps reach stops and pending orders; a large one, of gold, calls and stops out who is poor.
"""

import asyncio
from random import Random

from tests.drills.upstream import Upstream

JUMP_S = 1.5
JUMP = 0.0006
CRASH_EVERY = 12
CRASH = 0.01
CRASHING = "XAUUSD"
FURTHEST = 0.03  # from where a symbol has begun


async def move_market(upstream: Upstream, random: Random) -> None:
    """Move prices until cancelled."""
    begun = dict(upstream.centres)
    jumps = 0
    while True:
        await asyncio.sleep(JUMP_S * 2 * random.random())
        jumps += 1
        is_crash = jumps % CRASH_EVERY == 0
        name = CRASHING if is_crash else random.choice(upstream.traded)
        share = random.gauss(0.0, CRASH if is_crash else JUMP)
        if abs(upstream.centres[name] * (1 + share) / begun[name] - 1) > FURTHEST:
            share = -share
        upstream.move(share, name)
