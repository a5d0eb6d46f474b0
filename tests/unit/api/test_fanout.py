"""Fan-out of prices: every socket, in turns with the event loop."""

import asyncio
from contextlib import AsyncExitStack

import aiohttp
import pytest

from service.api.fanout import CHUNK
from service.api.socket import SocketLimits
from tests.support import eventually
from tests.unit.api.test_stream import ask, prices
from tests.unit.api.world import World


async def test_a_long_fan_out_gives_way_and_reaches_everybody() -> None:
    count = CHUNK * 2 + 1
    async with World(SocketLimits(max_per_account=count)) as world, AsyncExitStack() as stack:
        sockets: list[aiohttp.ClientWebSocketResponse] = [
            await stack.enter_async_context(world.stream()) for _ in range(count)
        ]
        for socket in sockets:
            await socket.receive_json()
        world.board.publish("gold", EURUSD="1.1")
        turns = 0
        while sent(world) < count:
            await asyncio.sleep(0)
            turns += 1
        assert turns >= 3
        for socket in sockets:
            assert prices(await socket.receive_json()) == {"EURUSD": "1.1"}


async def test_who_wants_no_prices_holds_up_nobody() -> None:
    count = CHUNK * 4
    async with World(SocketLimits(max_per_account=count + 1)) as world, AsyncExitStack() as stack:
        for _ in range(count):
            idle = await stack.enter_async_context(world.stream())
            await idle.receive_json()
            await idle.send_json({"type": "unsubscribe"})
            assert (await idle.receive_json())["symbols"] == []
        socket = await stack.enter_async_context(world.stream())
        await socket.receive_json()
        world.board.publish("gold", EURUSD="1.1")
        turns = 0
        while not sent(world):
            await asyncio.sleep(0)
            turns += 1
        assert turns <= 2
        assert prices(await socket.receive_json()) == {"EURUSD": "1.1"}


async def test_prices_nobody_wants_are_not_asked_for(world: World) -> None:
    async with world.stream() as socket:
        await socket.receive_json()
        for _ in range(2):
            await ask(socket, type="unsubscribe")
            assert not any(world.board.callbacks.values())
        await ask(socket, type="subscribe", symbols=["EURUSD"])
        assert prices(await socket.receive_json()).keys() == {"EURUSD"}, "what is known so far"
        await ask(socket, type="subscribe")
        assert prices(await socket.receive_json()).keys() == {"EURUSD", "USDJPY"}
        assert [len(each) for each in world.board.callbacks.values()] == [1]
        world.board.publish("gold", EURUSD="1.1")
        assert prices(await socket.receive_json()) == {"EURUSD": "1.1"}
    await eventually(lambda: not any(world.board.callbacks.values()))


async def test_prices_published_at_any_turn_arrive(world: World) -> None:
    async with world.stream() as socket:
        await socket.receive_json()
        for turns in range(12):
            world.board.publish("gold", EURUSD=f"1.{turns}")
            for _ in range(turns):
                await asyncio.sleep(0)
            last = world.board.publish("gold", XAUUSD=f"2.{turns}")
            while (await socket.receive_json())["sequence"] != last:
                pass


async def test_one_update_that_cannot_be_sent_does_not_end_the_next(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("planted")

    async with world.stream() as socket:
        await socket.receive_json()
        with monkeypatch.context() as broken:
            broken.setattr(world.instruments, "socket_sent", fail)
            world.board.publish("gold", EURUSD="1.1")
            assert prices(await socket.receive_json()) == {"EURUSD": "1.1"}
        world.board.publish("gold", EURUSD="1.2")
        assert prices(await socket.receive_json()) == {"EURUSD": "1.2"}


def sent(world: World) -> float:
    samples = world.samples("tapewatch_websocket_messages_sent_total")
    return sum(count for labels, count in samples.items() if "quotes" in labels)
