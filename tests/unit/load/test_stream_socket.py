"""The cheap socket: whole messages however they come, answers to pings, and what ends it."""

import asyncio
import json
from typing import Any
from unittest.mock import Mock

import pytest

from service.api.frames import text_frame
from service.api.socket import SocketLimits
from service.load.stream_socket import Refused, StreamSocket, open_stream
from tests.support import eventually
from tests.unit.api.market import OTHER, TRADER
from tests.unit.api.world import HOST, World, token

UPGRADED = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"


def opened(heard: list[bytes]) -> tuple[StreamSocket, Mock]:
    transport = Mock()
    socket = StreamSocket(b"GET", heard.append)
    socket.connection_made(transport)
    return socket, transport


@pytest.mark.parametrize("size", [1, 3, 1_000, 10**6])
async def test_messages_are_whole_however_they_are_cut(size: int) -> None:
    heard: list[bytes] = []
    socket, _ = opened(heard)
    messages = [b"x" * length for length in (0, 1, 125, 126, 65_535, 65_536)]
    stream = UPGRADED + b"".join(map(text_frame, messages))
    size = max(size, len(stream) // 5_000)
    for start in range(0, len(stream), size):
        socket.data_received(stream[start : start + size])
    assert socket.opened.done()
    assert heard == messages
    assert socket.lost is None


async def test_a_ping_is_answered_masked_with_what_it_said() -> None:
    socket, transport = opened([])
    transport.reset_mock()
    socket.data_received(UPGRADED + b"\x89\x03abc")
    ((frame,), _) = transport.write.call_args
    mask = frame[2:6]
    assert frame[:2] == bytes((0x8A, 0x83))
    assert bytes(byte ^ mask[place % 4] for place, byte in enumerate(frame[6:])) == b"abc"


@pytest.mark.parametrize(
    ("frame", "why"),
    [
        (b"\x88\x0a\x0f\xa1too slow", "too slow"),
        (b"\x88\x00", "closed by the service"),
        (b"\x01\x03abc", "protocol"),
        (b"\x81\xff" + bytes(8), "protocol"),
        (b"\x81\x7f" + (1 << 40).to_bytes(8), "too long a message"),
    ],
)
async def test_what_ends_it_is_told(frame: bytes, why: str) -> None:
    socket, transport = opened([])
    socket.data_received(UPGRADED + frame)
    assert socket.lost == why
    transport.close.assert_called_once_with()


async def test_a_connection_that_breaks_is_lost() -> None:
    socket, _ = opened([])
    socket.data_received(UPGRADED)
    socket.connection_lost(None)
    assert socket.lost == "lost"


async def test_it_hears_what_the_gateway_says() -> None:
    heard: list[dict[str, Any]] = []
    async with World(SocketLimits(heartbeat_s=0.05)) as world:
        socket = await open_stream(
            HOST, world.port, token(TRADER), lambda text: heard.append(json.loads(text))
        )
        await eventually(lambda: len(heard) == 1)
        # Long enough for it to miss a ping, were they not answered.
        await asyncio.sleep(0.3)
        await world.call("POST", "/orders", {"symbol": "EURUSD", "type": "BUY", "volume": "0.10"})
        await eventually(lambda: len(heard) == 2)
        assert socket.lost is None
        socket.close()
    assert [each["type"] for each in heard] == ["snapshot", "order"]


async def test_a_refusal_is_told_with_its_status() -> None:
    async with World(SocketLimits(max_per_account=0)) as world:
        for who, status in ((token(TRADER), 429), ("nonsense", 401)):
            with pytest.raises(Refused) as refused:
                await open_stream(HOST, world.port, who, print)
            assert refused.value.status == status
    with pytest.raises(OSError, match="Connect"):
        await open_stream(HOST, world.port, token(OTHER), print)
