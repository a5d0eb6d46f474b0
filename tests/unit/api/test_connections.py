"""Connections: how many, and how long a client may take; over raw sockets."""

import asyncio
import gc
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aiohttp
import pytest

from service.api import connections
from service.api.addresses import parse_networks
from service.api.connections import Connection, ConnectionLimits
from tests.fuzz.frames import converse, text
from tests.support import eventually
from tests.unit.api.market import TRADER
from tests.unit.api.world import HOST, World, bearer, token

SOON_S = 0.2
CROWD = 200
Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients have a fifth of a second for everything."""
    for name in ("HEAD_TIMEOUT_S", "ANSWER_TIMEOUT_S", "CLOSE_TIMEOUT_S"):
        monkeypatch.setattr(connections, name, SOON_S)


@asynccontextmanager
async def connected(world: World) -> AsyncIterator[Ends]:
    reader, writer = await asyncio.open_connection(HOST, world.port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], Any]:
    """Read one answer: its status, headers and problem."""
    head, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines if line)
    body = await reader.readexactly(int(headers["Content-Length"]))
    return int(head.split()[1]), headers, json.loads(body)


async def ended(reader: asyncio.StreamReader) -> bool:
    """Wait for the end of a connection: whoever still sent something may be told by a reset."""
    try:
        return await reader.read() == b""
    except ConnectionResetError:
        return True


def ask(headers: str = "") -> bytes:
    lines = f"GET /api/v1/account HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token()}\r\n"
    return f"{lines}{headers}\r\n".encode()


def refused(world: World) -> dict[str, float]:
    found = world.samples("http_server_request_duration_seconds_count")
    return {
        labels.split('status_code="')[1][:3]: count
        for labels, count in found.items()
        if 'method="_OTHER"' in labels
    }


@pytest.mark.usefixtures("hurried")
async def test_a_head_that_comes_byte_by_byte_is_given_up(world: World) -> None:
    async with connected(world) as (reader, writer):

        async def trickle() -> None:
            for byte in b"GET /" + b"x" * 10_000:
                writer.write(bytes([byte]))
                await asyncio.sleep(0.01)

        sending = asyncio.create_task(trickle())
        status, headers, problem = await answer(reader)
        sending.cancel()
        assert (status, problem["code"]) == (408, "REQUEST_TIMEOUT")
        assert headers["Connection"] == "close"
        assert await ended(reader)
    assert refused(world) == {"408": 1}


@pytest.mark.usefixtures("hurried")
async def test_who_says_nothing_is_told_and_closed(world: World) -> None:
    async with connected(world) as (reader, _):
        assert (await answer(reader))[0] == 408
        assert await ended(reader)


@pytest.mark.usefixtures("hurried")
async def test_a_connection_that_is_kept_open_may_rest_but_not_dawdle(world: World) -> None:
    async with connected(world) as (reader, writer):
        for _ in range(2):
            writer.write(ask())
            assert (await answer(reader))[0] == 200
            await asyncio.sleep(3 * SOON_S)
        writer.write(ask()[:-1])
        assert (await answer(reader))[0] == 408


@pytest.mark.usefixtures("hurried")
async def test_a_request_and_a_stream_may_last(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    static_orders = world.portfolios.static_orders

    async def slowly(account_id: int) -> Any:
        await asyncio.sleep(3 * SOON_S)
        return await static_orders(account_id)

    monkeypatch.setattr(world.portfolios, "static_orders", slowly)
    async with world.stream() as socket:
        assert (await socket.receive_json())["type"] == "snapshot"
        await asyncio.sleep(3 * SOON_S)
        await socket.send_json({"type": "ping"})
        assert (await socket.receive_json())["type"] == "pong"
        assert not refused(world)


@pytest.mark.usefixtures("hurried")
async def test_who_does_not_take_his_answers_is_cut(world: World) -> None:
    async with connected(world) as (reader, writer):
        reader._limit = 1  # type: ignore[attr-defined] # reads no more than the kernel holds
        writer.write(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 500)
        connected_to = world.connections
        await eventually(lambda: connected_to() == 1)
        await eventually(lambda: connected_to() == 0)


@pytest.mark.usefixtures("hurried")
async def test_who_does_not_take_them_is_cut_too_where_its_request_was_given_up(
    world: World,
) -> None:
    async with connected(world) as (reader, writer):
        reader._limit = 1  # type: ignore[attr-defined]
        writer.write(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 500)
        await eventually(lambda: world.connections() == 1)
        found = [each for each in gc.get_objects() if isinstance(each, Connection)]
        (connection,) = [each for each in found if each.transport is not None]
        await eventually(lambda: bool(connection.writing_paused))
        connection.force_close()  # as aiohttp does
        await eventually(lambda: world.connections() == 0)


async def test_nothing_is_kept_of_a_connection_that_is_gone(world: World) -> None:
    for _ in range(3):  # a client that is cut off in the middle of a stream
        assert await converse(world.port, token(), [text({"type": "ping"})], "") == "answered"
    await eventually(lambda: world.connections() == 0)
    gc.collect()
    assert not [each for each in gc.get_objects() if isinstance(each, Connection)]


async def test_one_too_many_from_an_address_is_told_why() -> None:
    async with (
        World(connections=ConnectionLimits(per_address=2)) as world,
        AsyncExitStack() as all_,
    ):
        served = [await all_.enter_async_context(connected(world)) for _ in range(2)]
        await eventually(lambda: world.connections() == 2)
        async with connected(world) as (reader, writer):
            writer.write(ask())
            status, headers, problem = await answer(reader)
            assert (status, problem["code"]) == (429, "TOO_MANY_CONNECTIONS")
            assert headers["Retry-After"] == "5"
            assert problem["detail"] == "an address may have 2 connections: close some"
            assert await ended(reader)
        reader, writer = served[0]
        writer.write(ask())
        assert (await answer(reader))[0] == 200
        served[1][1].close()
        await eventually(lambda: world.connections() == 1)
        async with world.stream() as socket:
            assert (await socket.receive_json())["account"]["account_id"] == TRADER
        assert refused(world) == {"429": 1}


async def test_one_too_many_in_all_is_refused_before_it_is_a_stream() -> None:
    limits = ConnectionLimits(total=1, per_address=1)
    async with World(connections=limits, proxies=parse_networks("127.0.0.0/8")) as world:
        async with connected(world):
            await eventually(lambda: world.connections() == 1)
            with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
                async with world.stream():
                    pass
            assert caught.value.status == 503
        await eventually(lambda: world.connections() == 0)
        async with world.client.get("/api/v1/account", headers=bearer(token())) as response:
            assert response.status == 200


async def test_a_flood_of_connections_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "REFUSED_AT_ONCE", 1)
    async with (
        World(connections=ConnectionLimits(total=0)) as world,
        connected(world) as (reader, writer),
        connected(world) as (other, _),
    ):
        assert await ended(other)
        writer.write(ask())
        assert (await answer(reader))[0] == 503


async def test_a_crowd_of_slow_and_silent_clients_holds_up_nobody_and_is_gone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "HEAD_TIMEOUT_S", 1.0)
    async with AsyncExitStack() as crowd:
        ends = [await crowd.enter_async_context(connected(world)) for _ in range(CROWD)]
        for _, writer in ends[::2]:
            writer.write(b"POST /api/v1/orders HTTP/1.1\r\n")
        for _ in range(20):
            assert (await world.call("GET", "/account"))[0] == 200
        for reader, _ in ends:
            assert (await answer(reader))[0] == 408
            assert await ended(reader)
        await eventually(lambda: world.connections() <= 1)
    assert refused(world) == {"408": CROWD}
