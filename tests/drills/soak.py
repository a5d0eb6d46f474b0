"""A healthy soak: a universe under load with nothing wrong, of which nobody must be told."""

import asyncio
import tempfile
import time
from pathlib import Path

from tests.drills.page import write_soak
from tests.drills.sightings import WATCHDOG
from tests.drills.universe import universe

SOAK_TRADERS = 16
LOOK_S = 30.0


async def run_healthy(seconds: float, seed: int) -> int:
    """Soak and tell; return 0 if nothing but the Watchdog fired."""
    with tempfile.TemporaryDirectory(prefix="drill-", ignore_cleanup_errors=True) as folder:
        async with universe(Path(folder), seed, traders=SOAK_TRADERS, is_traced=True) as on:
            ends = time.monotonic() + seconds
            while time.monotonic() < ends:
                await asyncio.sleep(min(LOOK_S, max(0.0, ends - time.monotonic())))
                fired = sorted(on.sightings.fired(0.0))
                left_s = max(0.0, ends - time.monotonic())
                print(f"{left_s:5.0f} s left; fired: {', '.join(fired) or 'nothing'}", flush=True)
            heartbeats = sum(
                each.receiver == "heartbeat" and each.about(WATCHDOG, "firing")
                for each in on.webhook.notifications
            )
            told = len(on.webhook.notifications) - heartbeats
            print(
                f"{seconds / 60:g} minutes, {on.sightings.looks} looks, {heartbeats} heartbeats, "
                f"{told} other notifications, answers: {dict(on.traders.outcomes)}"
            )
            if fired or told or not heartbeats:
                return 1
            write_soak(seconds / 60, SOAK_TRADERS, on.sightings.looks, heartbeats)
            return 0
