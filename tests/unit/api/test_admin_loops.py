"""The background loops over REST."""

import asyncio
from typing import Any

from telemetry.pulse import Pulse
from tests.support import eventually
from tests.unit.api.world import World


async def test_loops_are_shown_to_administrators_alone(world: World) -> None:
    async def fail() -> None:
        raise ValueError("cannot reach postgresql://me:hidden@db/x")

    async with world.supervisor.group() as group:
        group.keep("relay", asyncio.Event().wait, Pulse())
        group.repeat("sweep", fail, interval_s=0.001, max_interval_s=60)
        await eventually(lambda: world.supervisor.statuses()[1].errors > 2)
        status, shown = await world.admin("GET", "/loops")
    assert status == 200
    relay, sweep = shown["loops"]
    assert (relay["name"], relay["kind"], relay["state"]) == ("relay", "standing", "running")
    assert (relay["runs"], relay["errors"], relay["last_error"]) == (1, 0, None)
    assert (sweep["kind"], sweep["last_success_at"]) == ("repeating", None)
    assert sweep["consecutive_errors"] == sweep["errors"] > 2
    assert sweep["interval_s"] > 0.001
    assert sweep["last_error"] == "ValueError: cannot reach postgresql***db/x"
    assert sweep["last_run_at"].endswith("Z")
    status, problem = await world.call("GET", "/admin/loops")
    assert (status, problem["code"]) == (403, "FORBIDDEN")


async def test_a_standby_tells_of_its_loops_too(world: World) -> None:
    world.trading.is_leading = False
    answer: tuple[int, Any] = await world.admin("GET", "/loops")
    assert answer == (200, {"loops": []})
