"""Slow clients: a real TCP socket that stops reading must not hold up anybody, nor lose an order.

The client is written by hand, with a small receive buffer that it does not empty. Both event loops
that may serve are tried.
"""

import asyncio
import base64
import json
import os
import socket
import struct
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from decimal import Decimal
from typing import Any

import pytest
import uvloop

from service.api.socket import SocketLimits
from service.domain.commands import CommandDesk
from service.domain.decision import Decision
from tests.fuzz.frames import SentFrame
from tests.support import eventually
from tests.unit.api.market import OTHER, TRADER
from tests.unit.api.test_stream import closed, prices
from tests.unit.api.world import HOST, World, token

PADDING = "1." + "0" * 20_000
LIMITS = SocketLimits(write_buffer_bytes=32 * 1024, max_pending=200, stall_timeout_s=60)


def on_both_loops(scenario: Callable[[], Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Make a test of a scenario for each event loop."""

    @pytest.mark.parametrize(
        "make_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"]
    )
    def test(make_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
        with asyncio.Runner(loop_factory=make_loop) as runner:
            runner.run(scenario())

    return test


class DeafClient:
    """A WebSocket client that reads only when it is told to."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._buffer = b""
        self.close_code: int | None = None

    async def _read(self, count: int) -> bytes:
        loop = asyncio.get_running_loop()
        while len(self._buffer) < count:
            received = await loop.sock_recv(self._socket, 1 << 16)
            if not received:
                raise ConnectionResetError
            self._buffer += received
        taken, self._buffer = self._buffer[:count], self._buffer[count:]
        return taken

    async def messages(self) -> AsyncIterator[Any]:
        """Yield what comes until the server closes; pings are let go unanswered."""
        while True:
            try:
                opcode, length = struct.unpack("!BB", await self._read(2))
                if length == 126:
                    (length,) = struct.unpack("!H", await self._read(2))
                elif length == 127:
                    (length,) = struct.unpack("!Q", await self._read(8))
                payload = await self._read(length)
            except ConnectionError:
                return
            if opcode == 0x88:
                self.close_code = struct.unpack("!H", payload[:2])[0]
                return
            if opcode == 0x81:
                yield json.loads(payload)


@contextmanager
def small_socket() -> Iterator[socket.socket]:
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.setblocking(False)
        yield connection


async def connect(world: World, connection: socket.socket, account_id: int) -> DeafClient:
    """Open a stream and read its snapshot, and then no more."""
    loop = asyncio.get_running_loop()
    await loop.sock_connect(connection, (HOST, world.port))
    key = base64.b64encode(os.urandom(16)).decode()
    request = (
        f"GET /api/v1/stream HTTP/1.1\r\nHost: {HOST}\r\nConnection: Upgrade\r\n"
        f"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
        f"Authorization: Bearer {token(account_id)}\r\n\r\n"
    )
    await loop.sock_sendall(connection, request.encode())
    client = DeafClient(connection)
    while b"\r\n\r\n" not in client._buffer:
        client._buffer += await loop.sock_recv(connection, 1 << 16)
    head, _, client._buffer = client._buffer.partition(b"\r\n\r\n")
    assert b" 101 " in head
    async for message in client.messages():
        assert message["type"] == "snapshot"
        break
    return client


async def fill(world: World, group: str = "gold") -> None:
    """Publish prices until a client's transport takes no more."""
    while not conflated(world):
        for _ in range(20):
            world.board.publish(group, XAUUSD=PADDING)
            await asyncio.sleep(0)


def conflated(world: World) -> float:
    samples = world.samples("tapewatch_websocket_messages_dropped_total")
    return sum(count for labels, count in samples.items() if "conflated" in labels)


async def fund(world: World, account_id: int, cents: int) -> None:
    def decide(desk: CommandDesk, now: int) -> Decision:
        return desk.fund(account_id, Decimal(cents).scaleb(-2), now)

    await world.trading.command(account_id, None, decide)


@on_both_loops
async def test_a_client_that_catches_up_has_every_event_and_the_last_prices() -> None:
    async with World(LIMITS) as world:
        with small_socket() as connection:
            slow = await connect(world, connection, TRADER)
            await fill(world)
            for cents in range(1, 101):
                await fund(world, TRADER, cents)
            world.board.publish("gold", EURUSD="1.1", USDJPY="150.000")
            await asyncio.sleep(0)
            last = world.board.publish("gold", EURUSD="1.2")
            await asyncio.sleep(0)
            assert waiting(world) == 1
            sequences: list[int] = []
            latest: dict[str, str] = {}
            async for message in slow.messages():
                if message["type"] == "account":
                    sequences.append(message["sequence"])
                else:
                    latest |= prices(message)
                    if message["sequence"] == last:
                        break
            assert sequences == list(range(1, 101))
            assert latest == {"XAUUSD": PADDING, "EURUSD": "1.2", "USDJPY": "150.000"}
            assert not closed(world)
            assert waiting(world) == 0
            assert max(queued(world).values()) >= 1
        await eventually(lambda: closed(world) == {"client": 1})


def waiting(world: World) -> float:
    """Return how many sockets have messages waiting."""
    return sum(world.samples("tapewatch_websocket_waiting_connections").values())


def queued(world: World) -> dict[str, float]:
    return world.samples("tapewatch_websocket_queue_messages_count")


@on_both_loops
async def test_too_many_waiting_events_disconnect_a_client_and_no_other() -> None:
    async with World(LIMITS) as world, world.stream(OTHER) as quick:
        await quick.receive_json()
        seen: list[Any] = []

        async def listen() -> None:
            async for message in quick:
                seen.append(message.json())

        listening = asyncio.create_task(listen())
        with small_socket() as connection:
            slow = await connect(world, connection, TRADER)
            await fill(world)
            for cents in range(1, LIMITS.max_pending + 2):
                await fund(world, TRADER, cents)
                await fund(world, OTHER, cents)
            await eventually(lambda: closed(world) == {"slow": 1})
            last = world.board.publish("gold", EURUSD="1.2")
            await eventually(lambda: bool(seen) and seen[-1].get("sequence") == last)
            # Cut off once it does not take the rest within its grace.
            assert [each async for each in slow.messages() if each["type"] == "account"] == []
            await eventually(lambda: waiting(world) == 0)
        funded = [each["sequence"] for each in seen if each["type"] == "account"]
        assert funded == list(range(1, LIMITS.max_pending + 2))
        listening.cancel()


@on_both_loops
async def test_a_client_that_stalls_is_disconnected() -> None:
    limits = SocketLimits(write_buffer_bytes=32 * 1024, stall_timeout_s=0.1)
    async with World(limits) as world:
        with small_socket() as connection:
            await connect(world, connection, TRADER)
            await fill(world)
            await eventually(lambda: closed(world) == {"slow": 1})
        assert not world.board.callbacks["gold"]


@on_both_loops
async def test_a_client_that_takes_no_pongs_is_disconnected_as_any() -> None:
    pings = SentFrame(9, b"x" * 125).encoded() * 100
    async with World(SocketLimits(write_buffer_bytes=32 * 1024)) as world:
        with small_socket() as connection:
            await connect(world, connection, TRADER)
            with suppress(ConnectionError):
                while True:
                    await asyncio.get_running_loop().sock_sendall(connection, pings)
            await eventually(lambda: closed(world) == {"slow": 1})
            await eventually(lambda: world.connections() == 0)


@on_both_loops
async def test_a_slow_client_that_reads_again_in_time_is_told_why() -> None:
    limits = SocketLimits(write_buffer_bytes=32 * 1024, stall_timeout_s=0.1)
    async with World(limits) as world:
        with small_socket() as connection:
            slow = await connect(world, connection, TRADER)
            await fill(world)
            await eventually(lambda: closed(world) == {"slow": 1})
            async for _ in slow.messages():
                pass
            assert slow.close_code == 4408


@on_both_loops
async def test_the_heartbeat_finds_a_client_that_is_gone() -> None:
    async with World(SocketLimits(heartbeat_s=0.1)) as world:
        with small_socket() as connection:
            await connect(world, connection, TRADER)  # its pings stay unanswered
            await eventually(lambda: closed(world) == {"client": 1})
