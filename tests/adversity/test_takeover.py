"""One of each, under load, on engines, gateways and a feed of their own: nothing lost, none twice.

How long each takes `python -m tests.adversity --drives` tells, on a quiet machine.
"""

import asyncio
from pathlib import Path

import pytest

from tests.adversity.deployment import CLUSTER, deployed
from tests.adversity.drives import DRIVES
from tests.adversity.run import Adversity, Plan

LEASE_S = 2.0
CALM_S = 1.0
TRADERS = 4


@pytest.mark.timeout(900)
async def test_shards_are_taken_over_and_nothing_is_violated(tmp_path: Path) -> None:
    async with deployed(tmp_path, CLUSTER, lease_s=LEASE_S) as deployment:
        run = Adversity(Plan(1, traders=TRADERS), deployment, print)
        async with run.loaded():
            await asyncio.sleep(CALM_S)
            for drive in DRIVES:
                await drive(deployment)
                await asyncio.sleep(CALM_S)
        await run.finish()
        assert run.checks.violations == []
        assert run.checks.take_overs > deployment.shards
