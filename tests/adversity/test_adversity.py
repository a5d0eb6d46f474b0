"""A short run of `make adversity`: real processes, hurt from a seed, and nothing is violated."""

from pathlib import Path

import pytest

from tests.adversity.deployment import CLUSTER, deployed
from tests.adversity.faults import draw_plan
from tests.adversity.run import Adversity, Plan

LEASE_S = 2.0
FAULTS = 15
SEED = 20
TRADERS = 4


@pytest.mark.timeout(600)
async def test_nothing_is_violated_by_a_few_faults(tmp_path: Path) -> None:
    faults = draw_plan(SEED, FAULTS, CLUSTER, LEASE_S)
    async with deployed(tmp_path, CLUSTER, lease_s=LEASE_S, seed=SEED) as deployment:
        run = Adversity(Plan(SEED, faults, TRADERS), deployment, print)
        summary = await run.run()
    assert summary["violations"] == [], summary
    assert sum(run.injector.done.values()) == FAULTS
    assert sum(each.answer is not None for each in run.asked) > FAULTS
