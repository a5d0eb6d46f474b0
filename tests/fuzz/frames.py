"""Frames of WebSockets as no client should send them, and the answers to them.

Written by hand over a plain connection, since libraries refuse to send most of this. A
conversation is a list of frames; then a `ping` that is well formed. It is in order when the ping is
answered, or the service has closed the socket, in time. A frame that says it is longer than it is
swallows the ping: then the client goes away, and the service must too.
"""

import asyncio
import base64
import contextlib
import json
import struct
from typing import NamedTuple

from hypothesis import strategies as st

from service.api.openapi import STREAM_PATH
from service.storage.server_process import LOOPBACK

ANSWER_TIMEOUT_S = 20.0
UNFINISHED_S = 0.2
PROBE = "the end"
_MASK = b"\x11\x22\x33\x44"
_KEY = base64.b64encode(b"sixteen bytes ok").decode()
_TEXT, _CLOSE = 1, 8


class SentFrame(NamedTuple):
    """A frame as it is written; `length` None: that of the payload."""

    opcode: int
    payload: bytes
    is_final: bool = True
    reserved: int = 0
    is_masked: bool = True
    length: int | None = None

    def encoded(self) -> bytes:
        length = len(self.payload) if self.length is None else self.length
        head = bytes([self.is_final << 7 | self.reserved << 4 | self.opcode])
        mask = 0x80 if self.is_masked else 0
        if length < 126:
            head += bytes([mask | length])
        elif length < 65_536:
            head += struct.pack("!BH", mask | 126, length)
        else:
            head += struct.pack("!BQ", mask | 127, length)
        if not self.is_masked:
            return head + self.payload
        masked = bytes(byte ^ _MASK[at % 4] for at, byte in enumerate(self.payload))
        return head + _MASK + masked


def text(message: object) -> SentFrame:
    return SentFrame(_TEXT, json.dumps(message).encode())


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)
_SYMBOLS = st.sampled_from(["EURUSD", "USDJPY", "XAUUSD", "NOPE", ""]) | st.text(max_size=40)
_MESSAGES = st.fixed_dictionaries(
    {"type": st.sampled_from(["subscribe", "unsubscribe", "ping", "order"]) | _JSON},
    optional={
        "symbols": st.lists(_SYMBOLS, max_size=30) | _JSON,
        "id": st.text(max_size=80) | _JSON,
        "account_id": _JSON,
    },
)
GOOD = st.one_of(
    _MESSAGES.map(text),
    _JSON.map(text),
    st.text(max_size=300).map(lambda each: SentFrame(_TEXT, each.encode("utf-8", "replace"))),
    st.binary(max_size=125).map(lambda each: SentFrame(9, each)),
    st.binary(max_size=125).map(lambda each: SentFrame(10, each)),
    st.binary(max_size=300).map(lambda each: SentFrame(2, each)),
)
BAD = st.one_of(
    st.binary(max_size=300).map(lambda each: SentFrame(_TEXT, each)),
    st.builds(
        SentFrame,
        st.integers(0, 15),
        st.binary(max_size=400),
        st.booleans(),
        st.integers(0, 7),
        st.booleans(),
        st.none() | st.integers(0, 2**63 - 1),
    ),
    st.binary(max_size=125).map(lambda each: SentFrame(_CLOSE, each)),
    st.integers(16_000, 70_000).map(lambda size: SentFrame(_TEXT, b"x" * size)),
)
# What may end a conversation comes last: nothing behind it would be read.
CONVERSATIONS = st.builds(
    lambda good, bad: [*good, *bad],
    st.lists(GOOD, min_size=1, max_size=40),
    st.lists(BAD, max_size=1),
)
EXTENSIONS = st.sampled_from(
    [
        "",
        "permessage-deflate",
        "permessage-deflate; client_max_window_bits=9",
        "permessage-deflate; server_max_window_bits=99",
        "x-unknown; a=b",
    ]
)


async def converse(port: int, token: str, frames: list[SentFrame], extensions: str) -> str:
    """Send frames and a last ping; return how it ended.

    `answered`, `closed` by the service, `refused`, or `left` by the client in mid-frame.

    Raises:
        TimeoutError: neither came; the service hangs.
    """
    reader, writer = await asyncio.open_connection(LOOPBACK, port)
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            writer.write(_upgrade(token, extensions))
            head = await reader.readuntil(b"\r\n\r\n")
            if b" 101 " not in head.split(b"\r\n")[0]:
                if b" 5" in head[:13]:
                    raise AssertionError(head.decode())
                return "refused"
            for frame in (*frames, text({"type": "ping", "id": PROBE})):
                writer.write(frame.encoded())
            if not any(frame.length is not None for frame in frames):
                return await _end(reader)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(UNFINISHED_S):
                    return await _end(reader)
            writer.write_eof()
            await reader.read()
            return "left"
    except (ConnectionError, asyncio.IncompleteReadError):
        return "closed"
    finally:
        writer.transport.abort()


async def _end(reader: asyncio.StreamReader) -> str:
    while True:
        opcode, size = await reader.readexactly(2)
        if size == 126:
            (size,) = struct.unpack("!H", await reader.readexactly(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", await reader.readexactly(8))
        payload = await reader.readexactly(size)
        if opcode & 15 == _CLOSE:
            if len(payload) >= 2 and struct.unpack("!H", payload[:2])[0] == 1011:
                raise AssertionError(f"the service failed: {payload!r}")
            return "closed"
        with contextlib.suppress(ValueError):
            if json.loads(payload) == {"type": "pong", "id": PROBE}:
                return "answered"


def _upgrade(token: str, extensions: str) -> bytes:
    lines = [
        f"GET {STREAM_PATH} HTTP/1.1",
        "Host: x",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {_KEY}",
        f"Authorization: Bearer {token}",
    ]
    if extensions:
        lines.append(f"Sec-WebSocket-Extensions: {extensions}")
    return "\r\n".join([*lines, "", ""]).encode()
