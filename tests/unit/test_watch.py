"""Watching a stream: what is printed of what comes."""

import asyncio
import io
import json

import pytest

from service.watch import CannotWatch, watch
from tests.support import eventually
from tests.unit.api.market import TRADER
from tests.unit.api.world import HOST, World, token

BUY = {"symbol": "EURUSD", "type": "BUY", "volume": "0.10"}


@pytest.mark.parametrize("with_portfolio", [False, True])
async def test_it_prints_each_message_on_a_line(with_portfolio: bool) -> None:
    async with World() as world:
        out = io.StringIO()
        watching = asyncio.create_task(
            watch(HOST, world.port, token(TRADER), [], out, with_portfolio=with_portfolio)
        )
        await eventually(lambda: "snapshot" in out.getvalue())
        await world.call("POST", "/orders", BUY)
        await world.push()
        await world.admin("POST", f"/accounts/{TRADER}/deposits", {"amount": "5"})
        await eventually(lambda: "DEPOSITED" in out.getvalue())
        await world.stop()
        with pytest.raises(CannotWatch, match="the service stops"):
            await watching
    kinds = [json.loads(line)["type"] for line in out.getvalue().splitlines()]
    assert kinds == ["snapshot", "order", *(["portfolio"] if with_portfolio else []), "account"]
