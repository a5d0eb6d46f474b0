"""Several accounts over one socket."""

import aiohttp
import pytest

from service.api.socket import SocketLimits
from tests.support import eventually
from tests.unit.api.market import OTHER, POOR, TRADER
from tests.unit.api.test_stream import ask, closed
from tests.unit.api.test_watched_accounts import BUY, snapshot
from tests.unit.api.world import World


async def test_a_token_of_several_accounts_is_told_of_each(world: World) -> None:
    async with world.stream(TRADER, POOR, OTHER) as socket:
        snapshots = [await snapshot(socket) for _ in range(3)]
        assert [each["account_id"] for each in snapshots] == [TRADER, POOR, OTHER]
        assert [each["group"] for each in snapshots] == ["gold", "retail", "gold"]
        await world.call("POST", "/orders", BUY, account_id=OTHER)
        await world.admin("POST", f"/accounts/{POOR}/deposits", {"amount": "5"})
        await world.push()
        told = [await socket.receive_json() for _ in range(4)]
        assert [(each["type"], each["account_id"], each["sequence"]) for each in told] == [
            ("order", OTHER, 1),
            ("account", POOR, 1),
            ("portfolio", OTHER, 1),
            ("portfolio", POOR, 1),
        ]
        for group in ("gold", "retail"):
            world.board.publish(group, EURUSD="1.1")
            message = await socket.receive_json()
            assert (message["type"], message["group"]) == ("quotes", group)
    await eventually(lambda: closed(world) == {"client": 1})
    assert not any(world.feed.callbacks.values())
    assert not any(world.board.callbacks.values())


async def test_symbols_are_chosen_for_all_groups_of_a_socket(world: World) -> None:
    async with world.stream(TRADER, POOR) as socket:
        for _ in range(2):
            await snapshot(socket)
        answer = await ask(socket, type="subscribe", symbols=["USDJPY"])
        assert answer["symbols"] == ["USDJPY"]
        assert {(await socket.receive_json())["group"] for _ in range(2)} == {"gold", "retail"}
        world.board.publish("retail", EURUSD="1.1", USDJPY="151.000")
        message = await socket.receive_json()
        assert [each["symbol"] for each in message["quotes"]] == ["USDJPY"]


async def test_such_a_socket_counts_for_each_of_its_accounts() -> None:
    async with World(SocketLimits(max_per_account=1)) as world:
        async with world.stream(TRADER, OTHER) as socket:
            await snapshot(socket)
            for account_id in (TRADER, OTHER):
                with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
                    async with world.stream(account_id):
                        pass
                assert caught.value.status == 429
            async with world.stream(POOR) as free:
                await snapshot(free)
        await eventually(lambda: closed(world) == {"client": 2})
        async with world.stream(OTHER) as again:
            await snapshot(again)


async def test_one_unknown_account_refuses_the_socket(world: World) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        async with world.stream(TRADER, 404):
            pass
    assert caught.value.status == 404
    assert not any(world.feed.callbacks.values())
