"""What accounts are worth, pushed to their sockets: once each, when it changes, never ahead."""

import asyncio
from typing import Any

import aiohttp
import msgspec
import pytest

from service.api import watched_accounts
from service.api.committed_account import CommittedAccount
from service.api.frames import Frame
from service.api.messages import PortfolioUpdate
from service.api.socket import SocketLimits
from service.domain.desk import Desk
from service.domain.quote import Quote
from tests.support import eventually
from tests.unit.api.market import OTHER, POOR, TRADER, make_desk
from tests.unit.api.test_stream import ask, closed
from tests.unit.api.world import World, bearer, token

BUY = {"symbol": "EURUSD", "type": "BUY", "volume": "0.10"}


async def snapshot(socket: aiohttp.ClientWebSocketResponse) -> Any:
    message = await socket.receive_json()
    assert message["type"] == "snapshot"
    return message


async def silent(socket: aiohttp.ClientWebSocketResponse) -> bool:
    """Tell whether nothing was sent before the answer to a ping."""
    answer = await ask(socket, type="ping")
    return bool(answer["type"] == "pong")


@pytest.fixture
def valued(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The accounts that were valued, in order."""
    accounts: list[int] = []
    original = CommittedAccount.portfolio

    def portfolio(self: CommittedAccount, desk: Desk) -> PortfolioUpdate | None:
        accounts.append(self.view.account_id)
        return original(self, desk)

    monkeypatch.setattr(CommittedAccount, "portfolio", portfolio)
    return accounts


async def test_a_snapshot_says_what_the_account_is_worth(world: World) -> None:
    await world.call("POST", "/orders", BUY)
    world.trading.quote("EURUSD", 108_590, 108_600)
    async with world.stream() as socket:
        found = await snapshot(socket)
    _, account = await world.call("GET", "/account")
    portfolio = found["portfolio"]
    assert (portfolio["account_id"], portfolio["sequence"]) == (TRADER, found["sequence"])
    for name in ("balance", "equity", "free_margin"):
        assert portfolio[name] == account[name]
    (position,) = portfolio["positions"]
    assert position["order_id"] == found["orders"][0]["order_id"]
    # bought at 1.08501, closed at 1.08589 (markup 2 points: 1 on each side)
    assert (position["price"], position["profit"]) == ("1.08589", "8.80")


async def test_a_move_of_the_market_is_pushed_once(world: World, valued: list[int]) -> None:
    await world.call("POST", "/orders", BUY)
    async with world.stream() as socket:
        await snapshot(socket)
        await world.push()  # what has moved since the start
        await socket.receive_json()
        valued.clear()
        world.trading.quote("EURUSD", 108_600, 108_610)
        world.trading.quote("EURUSD", 108_690, 108_700)
        await world.push()
        message = await socket.receive_json()
        assert message["type"] == "portfolio"
        assert message["positions"][0]["price"] == "1.08689"
        await world.push()
        world.trading.quote("EURUSD", 108_690, 108_700)
        await world.push()
        assert await silent(socket)
        assert valued == [TRADER]


async def test_only_accounts_that_depend_on_what_moved_are_valued(
    world: World, valued: list[int]
) -> None:
    await world.call("POST", "/orders", BUY)
    await world.call("POST", "/orders", BUY | {"symbol": "USDJPY"}, account_id=OTHER)
    async with world.stream() as euro, world.stream(OTHER) as yen, world.stream(POOR) as flat:
        for socket in (euro, yen, flat):
            await snapshot(socket)
        await world.push()
        valued.clear()
        world.trading.quote("USDJPY", 150_100, 150_110)
        await world.push()
        assert valued == [OTHER]
        world.trading.quote("EURUSD", 108_600, 108_610)
        world.trading.quote("USDJPY", 150_200, 150_210)
        await world.push()
        assert valued == [OTHER, TRADER, OTHER] or valued == [OTHER, OTHER, TRADER]
        await world.call("POST", "/orders", BUY, account_id=POOR)  # refused: nothing has happened
        await world.push()
        assert len(valued) == 3


async def test_an_account_is_valued_and_framed_once_for_all_its_sockets(
    world: World, valued: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    framed: list[bytes] = []

    class Counted(Frame):
        def __init__(self, payload: bytes) -> None:
            framed.append(payload)
            super().__init__(payload)

    monkeypatch.setattr(watched_accounts, "Frame", Counted)
    async with world.stream() as one, world.stream() as two, world.stream(window_bits=15) as three:
        for socket in (one, two, three):
            await snapshot(socket)
        assert world.feed.callbacks.keys() == {TRADER}
        assert len(world.feed.callbacks[TRADER]) == 1
        valued.clear()
        await world.call("POST", "/orders", BUY)
        await world.push()
        told = [[await each.receive_json() for _ in range(2)] for each in (one, two, three)]
        assert told[0] == told[1] == told[2]
        assert [each["type"] for each in told[0]] == ["order", "portfolio"]
    assert valued == [TRADER]
    assert len(framed) == 2


async def test_nobody_is_valued_without_a_listener(world: World, valued: list[int]) -> None:
    await world.call("POST", "/orders", BUY)
    async with world.stream() as socket:
        await snapshot(socket)
    await eventually(lambda: closed(world) == {"client": 1})
    valued.clear()
    world.trading.quote("EURUSD", 108_600, 108_610)
    await world.push()
    assert not valued
    assert not world.feed.callbacks[TRADER]


async def test_a_portfolio_follows_the_orders_it_counts_in(world: World) -> None:
    async with world.stream() as socket:
        await snapshot(socket)
        for expected in (1, 2):
            await world.call("POST", "/orders", BUY)
            await world.push()
            order, portfolio = [await socket.receive_json() for _ in range(2)]
            assert (order["type"], portfolio["type"]) == ("order", "portfolio")
            assert order["sequence"] == portfolio["sequence"] == expected
            assert len(portfolio["positions"]) == expected
        await world.admin("POST", f"/accounts/{TRADER}/deposits", {"amount": "5"})
        await world.push()
        funding, portfolio = [await socket.receive_json() for _ in range(2)]
        assert portfolio["balance"] == funding["balance"] == "10003.60"  # less commission


async def test_what_is_decided_but_not_committed_is_not_shown(world: World) -> None:
    world.trading.hooks.clear()  # commits are told by the test
    async with world.stream() as socket:
        await snapshot(socket)
        await world.push()
        _, order = await world.call("POST", "/orders", BUY)
        assert world.desk.accounts[TRADER].exposures
        world.trading.quote("EURUSD", 108_600, 108_610)
        await world.push()
        assert await silent(socket)
        (event,) = world.trading.events
        world.feed.callbacks[TRADER][0](msgspec.json.encode(event))
        await world.push()
        assert (await socket.receive_json())["order"] == order
        assert len((await socket.receive_json())["positions"]) == 1


async def test_a_later_snapshot_does_not_run_ahead_of_other_sockets(world: World) -> None:
    world.trading.hooks.clear()
    async with world.stream() as old:
        await snapshot(old)
        await world.call("POST", "/orders", BUY)  # stored, but its event is still on its way
        async with world.stream() as new:
            assert (await snapshot(new))["sequence"] == 1
            await world.push()
            assert (await new.receive_json())["sequence"] == 1
            assert await silent(old)
            (event,) = world.trading.events
            world.feed.callbacks[TRADER][0](msgspec.json.encode(event))
            await world.push()
            assert [(await old.receive_json())["type"] for _ in range(2)] == ["order", "portfolio"]
            assert (await new.receive_json())["type"] == "portfolio"
            assert await silent(new)


async def test_another_desk_prices_what_is_held(world: World) -> None:
    await world.call("POST", "/orders", BUY)
    async with world.stream() as socket:
        await snapshot(socket)
        await world.push()
        await socket.receive_json()
        world.trading.desk = Desk()  # a process that has lost the lease, before it is informed
        await world.push()
        assert await silent(socket)
        world.trading.desk = make_desk()
        world.trading.desk.markets["EURUSD"].take(Quote("EURUSD", 108_790, 108_800, 1))
        await world.push()
        assert (await socket.receive_json())["positions"][0]["price"] == "1.08789"


async def test_those_that_rest_are_not_looked_at(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at: list[int] = []
    original = CommittedAccount.symbols

    def symbols(self: CommittedAccount, desk: Desk) -> frozenset[str]:
        looked_at.append(self.view.account_id)
        return original(self, desk)

    monkeypatch.setattr(CommittedAccount, "symbols", symbols)
    await world.call("POST", "/orders", BUY)
    async with world.stream() as holding, world.stream(OTHER) as flat:
        for socket in (holding, flat):
            await snapshot(socket)
        await world.push()
        assert sorted(set(looked_at)) == [TRADER, OTHER]
        looked_at.clear()
        world.trading.quote("USDJPY", 150_100, 150_110)
        await world.push()
        assert looked_at == []
        world.trading.quote("EURUSD", 108_600, 108_610)
        await world.push()
        assert set(looked_at) == {TRADER}


async def test_who_closes_a_position_is_not_valued_for_it_again(
    world: World, valued: list[int]
) -> None:
    _, order = await world.call("POST", "/orders", BUY)
    async with world.stream() as socket:
        await snapshot(socket)
        await world.push()
        await world.call("POST", f"/orders/{order['order_id']}/close")
        await world.call("POST", "/orders", BUY | {"symbol": "USDJPY"})
        await world.push()
        valued.clear()
        world.trading.quote("EURUSD", 108_600, 108_610)
        await world.push()
        assert valued == []
        world.trading.quote("USDJPY", 150_100, 150_110)
        await world.push()
        assert valued == [TRADER]


async def test_looking_at_all_for_another_desk_gives_way_to_others(
    world: World, valued: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watched_accounts, "LOOKED_AT_ONCE", 1)
    async with world.stream() as socket:
        await snapshot(socket)
        await world.push()
        valued.clear()
        world.trading.desk = make_desk()
        pushing = asyncio.create_task(world.push())
        await asyncio.sleep(0)
        assert not pushing.done()
        await pushing
    assert valued == []


async def test_pushing_to_many_gives_way_to_others() -> None:
    count = watched_accounts.CHUNK * 2
    async with World(SocketLimits(max_per_account=count)) as world:
        template = world.desk.accounts[TRADER]
        for account_id in range(100, 100 + count):
            world.desk.accounts[account_id] = type(template)(
                account_id, template.user_type, template.group, template.leverage, template.balance
            )
        async with asyncio.TaskGroup() as tasks:
            sockets = [
                await world.client.ws_connect("/api/v1/stream", headers=bearer(token(account_id)))
                for account_id in range(100, 100 + count)
            ]
            for socket in sockets:
                await snapshot(socket)
            for account_id in range(100, 100 + count):
                await world.admin("POST", f"/accounts/{account_id}/deposits", {"amount": "5"})
            pushing = tasks.create_task(world.push())
            turns = 0
            while not pushing.done():
                await asyncio.sleep(0)
                turns += 1
            assert turns >= 2
            for socket in sockets:
                kinds = [(await socket.receive_json())["type"] for _ in range(2)]
                assert kinds == ["account", "portfolio"]
                await socket.close()
