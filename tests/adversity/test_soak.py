"""Everything at once, at random: ten minutes of market time at full speed, nothing may be wrong.

`make soak` runs the same for ten minutes of wall time and judges the memory too, for which this is
too short: what a process takes at its start is still growing.
"""

from pathlib import Path

import pytest

from tests.soak.run import Plan, Soak


@pytest.mark.timeout(300)
async def test_ten_minutes_of_market_with_everything_on(tmp_path: Path) -> None:
    plan = Plan(seed=1, seconds=600, part_s=200, by_market=True, is_memory_judged=False)
    summary = await Soak(plan, tmp_path).run()
    assert summary["faults"] == []
    assert summary["checkpoints"] == 3
    assert summary["ticks"] == 60_000
