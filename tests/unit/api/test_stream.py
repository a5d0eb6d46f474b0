"""The stream: snapshot, prices, orders and account, over real sockets."""

import asyncio
import json
from typing import Any

import aiohttp
import pytest
from aiohttp import WSMsgType

from service.api.socket import ClientSocket, SocketLimits
from service.domain.instrument import SettingsError
from service.storage.errors import Unreachable
from tests.support import eventually
from tests.unit.api.market import OTHER, POOR, TRADER, make_terms
from tests.unit.api.world import World, bearer, token

LIMIT = {"symbol": "EURUSD", "type": "BUY_LIMIT", "volume": "0.10", "price": "1.08000"}
Socket = aiohttp.ClientWebSocketResponse


async def ask(socket: Socket, **message: Any) -> Any:
    await socket.send_json(message)
    return await socket.receive_json()


def prices(message: Any) -> dict[str, str]:
    assert message["type"] == "quotes"
    return {quote["symbol"]: quote["buy"] for quote in message["quotes"]}


async def test_the_snapshot_comes_first(world: World) -> None:
    _, order = await world.call("POST", "/orders", LIMIT)
    world.board.publish("gold", EURUSD="1.08")
    async with world.stream() as socket:
        snapshot = await socket.receive_json()
    assert snapshot["type"] == "snapshot"
    assert snapshot["orders"] == [order]
    assert (snapshot["sequence"], snapshot["quotes_sequence"]) == (1, 1)
    assert (snapshot["account"]["balance"], snapshot["group"]) == ("10000.00", "gold")
    assert {quote["symbol"]: quote["buy"] for quote in snapshot["quotes"]} == {
        "EURUSD": "1.08501",
        "USDJPY": "150.010",
    }


async def test_a_triggered_order_is_told_at_once(world: World) -> None:
    async with world.stream() as socket:
        await socket.receive_json()
        _, order = await world.call("POST", "/orders", LIMIT)
        placed = await socket.receive_json()
        world.trading.quote("EURUSD", 107_990, 107_999)
        opened = await socket.receive_json()
    assert [each["type"] for each in (placed, opened)] == ["order", "order"]
    assert [each["kind"] for each in (placed, opened)] == ["PLACED", "OPENED"]
    assert [each["sequence"] for each in (placed, opened)] == [1, 2]
    assert opened["order"]["order_id"] == order["order_id"]
    assert opened["deal"]["price"] == "1.08000"


async def test_money_is_an_account_message_in_the_same_sequence(world: World) -> None:
    async with world.stream() as socket:
        await socket.receive_json()
        await world.admin("POST", f"/accounts/{TRADER}/deposits", {"amount": "5"})
        message = await socket.receive_json()
    assert (message["type"], message["kind"]) == ("account", "DEPOSITED")
    assert (message["sequence"], message["balance"]) == (1, "10005.00")


async def test_what_happens_to_others_is_not_told(world: World) -> None:
    async with world.stream() as socket:
        await socket.receive_json()
        await world.call("POST", "/orders", LIMIT, account_id=OTHER)
        world.board.publish("retail", EURUSD="1.1")
        assert (await ask(socket, type="ping", id="x")) == {"type": "pong", "id": "x"}


async def test_what_happens_while_a_socket_opens_is_told_once(world: World) -> None:
    subscribe = world.feed.subscribe

    async def slowly(account_id: int, after: int, callback: Any) -> Any:
        await world.call("POST", "/orders", LIMIT)
        return await subscribe(account_id, after, callback)

    world.feed.subscribe = slowly  # type: ignore[method-assign]
    async with world.stream() as socket:
        snapshot = await socket.receive_json()
        assert (snapshot["sequence"], len(snapshot["orders"])) == (1, 1)
        await world.call("POST", "/orders", LIMIT)
        assert (await socket.receive_json())["sequence"] == 2


async def test_prices_go_to_every_socket_of_the_group(world: World) -> None:
    async with world.stream() as one, world.stream(OTHER) as two, world.stream(POOR) as retail:
        for socket in (one, two, retail):
            await socket.receive_json()
        sequence = world.board.publish("gold", EURUSD="1.1", XAUUSD="2000.00")
        for socket in (one, two):
            message = await socket.receive_json()
            assert (message["group"], message["sequence"]) == ("gold", sequence)
            assert prices(message) == {"EURUSD": "1.1", "XAUUSD": "2000.00"}
        world.board.publish("retail", EURUSD="1.2")
        assert prices(await retail.receive_json()) == {"EURUSD": "1.2"}


async def test_updates_that_wait_go_out_as_one_with_the_last_prices(world: World) -> None:
    async with world.stream() as socket:
        await socket.receive_json()
        world.board.publish("gold", EURUSD="1.1", XAUUSD="2000.00")
        last = world.board.publish("gold", EURUSD="1.2", USDJPY="151.000")
        message = await socket.receive_json()
    assert message["sequence"] == last
    assert prices(message) == {"EURUSD": "1.2", "XAUUSD": "2000.00", "USDJPY": "151.000"}


async def test_a_socket_chooses_its_symbols(world: World) -> None:
    async with world.stream() as socket:
        await socket.receive_json()
        answer = await ask(socket, type="subscribe", symbols=["USDJPY"])
        assert answer == {"type": "subscribed", "symbols": ["USDJPY"]}
        assert prices(await socket.receive_json()) == {"USDJPY": "150.010"}
        world.board.publish("gold", EURUSD="1.1")
        world.board.publish("gold", EURUSD="1.2", USDJPY="151.000")
        assert prices(await socket.receive_json()) == {"USDJPY": "151.000"}
        answer = await ask(socket, type="subscribe", symbols=["XAUUSD"])
        assert answer["symbols"] == ["USDJPY", "XAUUSD"]
        assert prices(await socket.receive_json()) == {"USDJPY": "150.010"}
        answer = await ask(socket, type="unsubscribe", symbols=["USDJPY"])
        assert answer["symbols"] == ["XAUUSD"]
        world.board.publish("gold", USDJPY="152.000")
        assert (await ask(socket, type="subscribe"))["symbols"] is None
        assert prices(await socket.receive_json()) == {"EURUSD": "1.08501", "USDJPY": "150.010"}
        answer = await ask(socket, type="unsubscribe", symbols=["EURUSD"])
        assert answer["symbols"] == ["EURPLN", "USDJPY", "XAUUSD"]
        await socket.receive_json()
        assert (await ask(socket, type="unsubscribe"))["symbols"] == []


@pytest.mark.parametrize(
    ("text", "code", "field"),
    [
        ("", "INVALID_JSON", None),
        ("{", "INVALID_JSON", None),
        ('{"x":' + "[" * 15_000, "INVALID_JSON", None),
        ("[]", "VALIDATION_FAILED", None),
        ("{}", "VALIDATION_FAILED", "type"),
        ('{"type":"order"}', "VALIDATION_FAILED", "type"),
        ('{"type":"ping","id":1}', "VALIDATION_FAILED", "id"),
        ('{"type":"ping","x":1}', "VALIDATION_FAILED", "x"),
        ('{"type":"subscribe","symbols":"EURUSD"}', "VALIDATION_FAILED", "symbols"),
        ('{"type":"subscribe","symbols":["NOPE"]}', "UNKNOWN_SYMBOL", "symbols"),
        ('{"type":"subscribe","symbols":["GBPUSD"]}', "UNKNOWN_SYMBOL", "symbols"),
    ],
)
async def test_a_bad_message_is_answered_and_the_socket_lives(
    world: World, text: str, code: str, field: str | None
) -> None:
    async with world.stream() as socket:
        await socket.receive_json()
        await socket.send_str(text)
        error = await socket.receive_json()
        assert (error["type"], error["code"], error["field"]) == ("error", code, field)
        assert (await ask(socket, type="ping"))["type"] == "pong"


@pytest.mark.parametrize("frames", ["messages", "pings"])
async def test_a_flood_gives_way_to_others_after_each(
    world: World, monkeypatch: pytest.MonkeyPatch, frames: str
) -> None:
    turn = 0
    turns: list[int] = []
    pong = ClientSocket.pong

    async def others() -> None:
        nonlocal turn
        while True:
            turn += 1
            await asyncio.sleep(0)

    def noted(socket: ClientSocket, payload: bytes) -> None:
        turns.append(turn)
        pong(socket, payload)

    monkeypatch.setattr(world.instruments, "socket_received", lambda *_: turns.append(turn))
    monkeypatch.setattr(ClientSocket, "pong", noted)
    async with world.stream(autoping=False) as socket, asyncio.TaskGroup() as tasks:
        await socket.receive_json()
        running = tasks.create_task(others())
        for _ in range(100):
            await (socket.ping(b"x") if frames == "pings" else socket.send_str('{"type":"ping"}'))
        for _ in range(100):
            answer = await socket.receive()
            assert answer.data == (b"x" if frames == "pings" else '{"type":"pong","id":null}')
        running.cancel()
    assert len(set(turns)) == 100


async def test_binary_messages_are_refused(world: World) -> None:
    async with world.stream() as socket:
        await socket.receive_json()
        await socket.send_bytes(b'{"type":"ping"}')
        assert (await socket.receive_json())["code"] == "INVALID_JSON"


async def test_an_oversized_message_closes_the_socket() -> None:
    async with World(SocketLimits(max_message_bytes=100)) as world:
        async with world.stream() as socket:
            await socket.receive_json()
            await socket.send_str("x" * 200)
            assert (await socket.receive()).type is WSMsgType.CLOSE
            assert socket.close_code == 1009
        await eventually(lambda: closed(world) == {"protocol": 1})


async def test_an_open_socket_ends_with_its_token(world: World) -> None:
    async with world.stream(ttl_s=2) as socket:
        await socket.receive_json()
        message = await socket.receive()
        assert message.type is WSMsgType.CLOSE
        assert (socket.close_code, message.extra) == (
            4401,
            "the token has expired: connect with a new one",
        )
    await eventually(lambda: closed(world) == {"expired": 1})


async def test_a_shutdown_says_goodbye(world: World) -> None:
    async with world.stream() as one, world.stream(OTHER) as two:
        for socket in (one, two):
            await socket.receive_json()
        stopping = asyncio.create_task(world.stop())
        for socket in (one, two):
            assert (await socket.receive()).type is WSMsgType.CLOSE
            assert socket.close_code == 1001
        await stopping
    assert closed(world) == {"shutdown": 2}


async def test_sockets_are_bounded_per_account_and_in_total() -> None:
    async with World(SocketLimits(max_per_account=2, max_total=3)) as world:
        async with world.stream(), world.stream(), world.stream(OTHER):
            for account_id in (TRADER, POOR):
                with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
                    async with world.stream(account_id):
                        pass
                assert caught.value.status == 429
        await eventually(lambda: closed(world) == {"client": 3})
        async with world.stream() as again:
            assert (await again.receive_json())["type"] == "snapshot"


async def test_nothing_is_left_of_a_socket_that_ended(world: World) -> None:
    async with world.stream() as socket:
        await socket.receive_json()
        assert world.board.callbacks["gold"]
        assert world.samples("tapewatch_websocket_connections ")
    await eventually(lambda: closed(world) == {"client": 1})
    assert not world.board.callbacks["gold"]
    assert not world.feed.callbacks[TRADER]
    assert not world.samples("tapewatch_websocket_connections ")


async def test_an_unknown_account_is_refused_before_the_upgrade(world: World) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        async with world.stream(404):
            pass
    assert caught.value.status == 404


async def test_without_the_database_a_cached_account_will_do(world: World) -> None:
    world.portfolios.failure = Unreachable()
    async with world.stream() as socket:
        assert (await socket.receive_json())["type"] == "snapshot"


async def test_without_database_and_cache_there_is_no_stream(world: World) -> None:
    world.portfolios.failure = world.reader.failure = Unreachable()
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        async with world.stream():
            pass
    assert caught.value.status == 503


async def test_a_plain_request_is_told_to_upgrade(world: World) -> None:
    async with world.client.get("/api/v1/stream", headers=bearer(token())) as response:
        problem = await response.json(content_type=None)
        assert (response.status, problem["code"]) == (426, "UPGRADE_REQUIRED")
        assert response.headers["Upgrade"] == "websocket"


@pytest.mark.parametrize("failure", [Unreachable(), SettingsError("unexpected")])
async def test_a_failure_behind_an_open_socket_closes_it(world: World, failure: Exception) -> None:
    world.feed.failure = failure
    async with world.stream() as socket:
        assert (await socket.receive()).type is WSMsgType.CLOSE
        assert socket.close_code == 1011
    await eventually(lambda: closed(world) == {"error": 1})


async def test_messages_are_counted(world: World) -> None:
    async with world.stream() as socket:
        await socket.receive_json()
        await ask(socket, type="ping")
        await ask(socket, type="nonsense")
        world.board.publish("gold", EURUSD="1.1")
        await socket.receive_json()
    sent = world.samples("tapewatch_websocket_messages_sent_total")
    assert {labels.split('"')[1]: count for labels, count in sent.items()} == {
        "snapshot": 1,
        "pong": 1,
        "error": 1,
        "quotes": 1,
    }
    received = world.samples("tapewatch_websocket_processing_seconds_count")
    assert {labels.split('"')[1] for labels in received} == {"ping", "invalid"}
    bytes_moved = world.samples("tapewatch_websocket_bytes_total")
    asked = len(json.dumps({"type": "ping"})) + len(json.dumps({"type": "nonsense"}))
    assert bytes_moved['tapewatch_websocket_bytes_total{direction="received"}'] == asked
    assert bytes_moved['tapewatch_websocket_bytes_total{direction="sent"}'] > 4 * 20
    (fanned_out,) = world.samples("tapewatch_websocket_fanout_seconds_count").values()
    assert fanned_out == 1


async def test_changed_terms_are_known_to_open_sockets(world: World) -> None:
    async with world.stream() as socket:
        await socket.receive_json()
        world.desk.set_terms(make_terms("gold", "GBPUSD"))
        answer = await ask(socket, type="subscribe", symbols=["GBPUSD"])
        assert answer["type"] == "subscribed"


def closed(world: World) -> dict[str, float]:
    found = world.samples("tapewatch_websocket_connections_closed_total")
    return {labels.split('"')[1]: count for labels, count in found.items()}
