"""Accounts that cannot be followed or valued: their sockets end, all others go on."""

from typing import Any

import msgspec
import pytest
from aiohttp import WSMsgType

from service.api.committed_account import CommittedAccount
from service.api.messages import PortfolioUpdate
from service.domain.desk import Desk
from service.storage.views import EventView
from tests.support import eventually
from tests.unit.api.market import OTHER, TRADER
from tests.unit.api.test_stream import closed
from tests.unit.api.test_watched_accounts import BUY, silent, snapshot
from tests.unit.api.world import World


async def test_a_missing_event_closes_the_accounts_sockets_and_no_other(world: World) -> None:
    async with world.stream() as one, world.stream() as two, world.stream(OTHER) as other:
        for socket in (one, two, other):
            await snapshot(socket)
        world.trading.hooks.clear()
        for _ in range(2):
            await world.call("POST", "/orders", BUY)
        world.feed.callbacks[TRADER][0](msgspec.json.encode(world.trading.events[1]))
        for socket in (one, two):
            assert (await socket.receive()).type is WSMsgType.CLOSE
            assert socket.close_code == 1011
        assert await silent(other)
        async with world.stream() as again:
            assert (await snapshot(again))["sequence"] == 2


async def test_an_event_that_cannot_be_read_closes_the_accounts_sockets(world: World) -> None:
    async with world.stream() as socket:
        await snapshot(socket)
        with pytest.raises(msgspec.MsgspecError):
            world.feed.callbacks[TRADER][0](b'{"sequence":1}')
        assert (await socket.receive()).type is WSMsgType.CLOSE
    await eventually(lambda: closed(world) == {"error": 1})


async def test_a_snapshot_whose_events_are_gone_opens_nothing(world: World) -> None:
    subscribe = world.feed.subscribe

    async def with_a_gap(account_id: int, after: int, callback: Any) -> Any:
        callback(msgspec.json.encode(event_of(account_id, after + 2)))
        return await subscribe(account_id, after, callback)

    world.feed.subscribe = with_a_gap  # type: ignore[method-assign]
    async with world.stream() as socket:
        assert (await socket.receive()).type is WSMsgType.CLOSE
        assert socket.close_code == 1011
    assert not world.feed.callbacks[TRADER]


async def test_one_account_that_fails_does_not_hold_up_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = CommittedAccount.portfolio

    def portfolio(self: CommittedAccount, desk: Desk) -> PortfolioUpdate | None:
        if self.view.account_id == TRADER and self.view.sequence:
            raise RuntimeError("planted")
        return original(self, desk)

    monkeypatch.setattr(CommittedAccount, "portfolio", portfolio)
    async with world.stream() as bad, world.stream(OTHER) as good:
        for socket in (bad, good):
            await snapshot(socket)
        await world.call("POST", "/orders", BUY)
        await world.call("POST", "/orders", BUY, account_id=OTHER)
        with pytest.raises(RuntimeError, match="planted"):
            await world.push()
        assert [(await good.receive_json())["type"] for _ in range(2)] == ["order", "portfolio"]
        assert (await bad.receive_json())["type"] == "order"
        assert (await bad.receive()).type is WSMsgType.CLOSE
        await world.push()  # and is not tried again


def event_of(account_id: int, sequence: int) -> EventView:
    return msgspec.convert(
        {
            "account_id": account_id,
            "sequence": sequence,
            "kind": "DEPOSITED",
            "balance": "1.00",
            "margin": "0",
            "order": None,
            "deal": None,
        },
        EventView,
    )
