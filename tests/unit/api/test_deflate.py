"""Compression: negotiated, understood both ways, and the same message with and without."""

import asyncio
import base64
import os
import random
import struct
import zlib

import aiohttp
import pytest
from aiohttp import WSMsgType
from hypothesis import given
from hypothesis import strategies as st

from service.api import frames
from service.api.deflate import MIN_BYTES, deflate
from service.api.frames import Frame
from service.api.socket import SocketLimits
from tests.support import eventually
from tests.unit.api.market import OTHER, TRADER
from tests.unit.api.test_stream import ask, closed, prices
from tests.unit.api.world import HOST, World, token

WINDOWS = st.integers(9, 15)
TEXTS = st.one_of(
    st.binary(max_size=3_000),
    st.lists(st.sampled_from([b'{"symbol":"EURUSD","buy":"1.', b"0", b"7", b'"}'])).map(b"".join),
)


def inflate(frame: bytes, window_bits: int, context: "zlib._Decompress | None" = None) -> bytes:
    """Read a frame as a client does; one that keeps its context may go on with it."""
    first, length = struct.unpack_from("!BB", frame)
    head = 2
    if length == 126:
        (length,), head = struct.unpack_from("!H", frame, 2), 4
    elif length == 127:
        (length,), head = struct.unpack_from("!Q", frame, 2), 10
    payload = frame[head:]
    assert len(payload) == length
    if first == 0x81:
        return payload
    assert first == 0xC1
    context = zlib.decompressobj(-window_bits) if context is None else context
    return context.decompress(payload + b"\x00\x00\xff\xff")


@given(TEXTS, WINDOWS)
def test_a_frame_says_the_same_with_and_without_compression(payload: bytes, bits: int) -> None:
    frame = Frame(payload)
    assert inflate(frame.for_window(0), 15) == payload
    assert inflate(frame.for_window(bits), bits) == payload
    assert len(frame.for_window(bits)) <= len(frame.for_window(0))


@given(st.lists(TEXTS, max_size=8), WINDOWS, st.randoms())
def test_no_message_needs_another(payloads: list[bytes], bits: int, order: random.Random) -> None:
    sent = [Frame(payload).for_window(bits) for payload in payloads]
    numbers = list(range(len(payloads)))
    order.shuffle(numbers)
    kept = zlib.decompressobj(-bits)
    for number in numbers:
        assert inflate(sent[number], bits) == payloads[number]
        assert inflate(sent[number], bits, kept) == payloads[number]


@given(st.binary(min_size=MIN_BYTES, max_size=40_000), st.integers(9, 14))
def test_a_small_window_is_kept_to(payload: bytes, bits: int) -> None:
    # What repeats at a distance beyond the window is not referred to: a decoder of that window
    # would fail.
    compressed = deflate(payload + payload[:300], bits)
    if compressed is not None:
        decoder = zlib.decompressobj(-bits)
        assert decoder.decompress(compressed + b"\x00\x00\xff\xff") == payload + payload[:300]


def test_small_and_random_messages_stay_as_they_are() -> None:
    assert deflate(b"a" * (MIN_BYTES - 1), 15) is None
    assert deflate(b"a" * MIN_BYTES, 15) is not None
    assert deflate(os.urandom(5_000), 15) is None
    frame = Frame(b"a" * (MIN_BYTES - 1))
    assert frame.for_window(15) is frame.for_window(0)


def test_a_frame_is_compressed_once_for_each_window(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def counted(payload: bytes, window_bits: int) -> bytes | None:
        asked.append(window_bits)
        return deflate(payload, window_bits)

    monkeypatch.setattr(frames, "deflate", counted)
    frame = Frame(b"a" * 1_000)
    for bits in (0, 15, 9, 15, 0, 9):
        frame.for_window(bits)
    assert asked == [15, 9]


async def handshake(world: World, *offers: str) -> tuple[str | None, bytes]:
    """Return the service's answer to offers of extensions, and the first bytes after it."""
    reader, writer = await asyncio.open_connection(HOST, world.port)
    key = base64.b64encode(os.urandom(16)).decode()
    lines = [
        "GET /api/v1/stream HTTP/1.1",
        f"Host: {HOST}",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {key}",
        f"Authorization: Bearer {token()}",
        *(f"Sec-WebSocket-Extensions: {offer}" for offer in offers),
    ]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    assert " 101 " in head.splitlines()[0]
    first, size = await reader.readexactly(2)
    assert size == 126
    (length,) = struct.unpack("!H", await reader.readexactly(2))
    frame = bytes([first, size]) + struct.pack("!H", length) + await reader.readexactly(length)
    writer.close()
    answers = [line for line in head.splitlines() if line.lower().startswith("sec-websocket-ext")]
    return (answers[0].partition(": ")[2] if answers else None), frame


@pytest.mark.parametrize(
    ("offer", "answer", "bits"),
    [
        ("permessage-deflate", "", 15),
        ("permessage-deflate; client_max_window_bits", "", 15),
        ("permessage-deflate; server_no_context_takeover", "", 15),
        ("permessage-deflate; client_no_context_takeover; client_max_window_bits=10", "", 15),
        ("permessage-deflate; server_max_window_bits=10", "; server_max_window_bits=10", 10),
        ("permessage-deflate; server_max_window_bits=9", "; server_max_window_bits=9", 9),
        ("permessage-deflate; server_max_window_bits=15", "", 15),
        ("permessage-deflate; server_max_window_bits=8, permessage-deflate", "", 15),
        ("x-other, permessage-deflate", "", 15),
    ],
)
async def test_an_offer_is_answered_with_what_is_kept_to(
    world: World, offer: str, answer: str, bits: int
) -> None:
    said, frame = await handshake(world, offer)
    assert said == "permessage-deflate; server_no_context_takeover" + answer
    assert frame[0] == 0xC1
    assert inflate(frame, bits).startswith(b'{"type":"snapshot"')


@pytest.mark.parametrize(
    "offer",
    [
        "x-webkit-deflate-frame",
        "permessage-deflate; server_max_window_bits=8",
        "permessage-deflate; server_max_window_bits=16",
        "permessage-deflate; no_such_parameter",
    ],
)
async def test_what_cannot_be_kept_to_is_declined(world: World, offer: str) -> None:
    said, frame = await handshake(world, offer)
    assert said is None
    assert frame[0] == 0x81
    assert inflate(frame, 15).startswith(b'{"type":"snapshot"')


async def test_without_an_offer_nothing_is_compressed(world: World) -> None:
    said, frame = await handshake(world)
    assert said is None
    assert frame[0] == 0x81


async def test_compressed_and_plain_sockets_are_told_the_same(world: World) -> None:
    async with (
        world.stream() as plain,
        world.stream(window_bits=15) as wide,
        world.stream(window_bits=9) as narrow,
    ):
        sockets = (plain, wide, narrow)
        assert [each.compress for each in sockets] == [0, 15, 15]
        await world.call("POST", "/orders", {"symbol": "EURUSD", "type": "BUY", "volume": "0.10"})
        names = {f"SYMBOL{number}": f"1.{number}" for number in range(100)}
        world.board.publish("gold", **names)
        told = []
        for socket in sockets:
            messages = [await socket.receive_json() for _ in range(3)]
            told.append(sorted(messages, key=lambda message: str(message["type"])))
        assert told[0] == told[1] == told[2]
        order, quotes, snapshot = told[0]
        assert (order["type"], snapshot["type"]) == ("order", "snapshot")
        assert prices(quotes) == names


async def test_what_a_client_compresses_is_understood(world: World) -> None:
    async with world.stream(window_bits=15) as socket:
        await socket.receive_json()
        for number in range(3):
            answer = await ask(socket, type="ping", id=f"{number}" * 60)
            assert answer == {"type": "pong", "id": f"{number}" * 60}


async def test_a_message_that_inflates_beyond_the_limit_closes_the_socket() -> None:
    async with World(SocketLimits(max_message_bytes=10_000)) as world:
        async with world.stream(window_bits=15) as socket, world.stream(OTHER) as other:
            for each in (socket, other):
                await each.receive_json()
            await socket.send_str(" " * 5_000_000)
            assert (await socket.receive()).type is WSMsgType.CLOSE
            assert socket.close_code == 1009
            assert (await ask(other, type="ping"))["type"] == "pong"
        await eventually(lambda: closed(world) == {"protocol": 1, "client": 1})


async def test_garbage_that_claims_to_be_compressed_closes_the_socket(world: World) -> None:
    async with world.stream(TRADER, window_bits=15) as socket:
        await socket.receive_json()
        writer = socket._writer
        assert isinstance(writer, aiohttp.http_websocket.WebSocketWriter)
        writer._write_websocket_frame(b"\xff\xff\xff\xff", WSMsgType.TEXT, 0x40)
        message = await socket.receive()
        assert message.type in (WSMsgType.CLOSE, WSMsgType.CLOSED)
    await eventually(lambda: len(closed(world)) == 1)
