"""A client's socket on the stream that costs its process next to nothing, so that many fit in one.

It takes whole text frames out of what comes, answers pings, and sends nothing else. It offers no
compression. What the service never sends ends it: a fragment, a masked or binary frame, a message
above `MAX_MESSAGE_BYTES`.
"""

import asyncio
from base64 import b64encode
from collections.abc import Callable
from os import urandom
from typing import cast

from service.api.openapi import STREAM_PATH

OPEN_TIMEOUT_S = 20.0
MAX_MESSAGE_BYTES = 16 << 20
_TEXT, _CLOSE, _PING, _PONG = 0x81, 0x88, 0x89, 0x8A
_MASKED = 0x80
_HEAD_END = b"\r\n\r\n"


class Refused(Exception):
    """The service did not open the stream; `status` is that of its answer, 0 without one."""

    def __init__(self, status: int) -> None:
        super().__init__(f"the stream was refused: {status}")
        self.status = status


class StreamSocket(asyncio.Protocol):
    """One socket; `hear` is given every text message."""

    def __init__(self, upgrade: bytes, hear: Callable[[bytes], None]) -> None:
        self._upgrade = upgrade
        self._hear = hear
        self._rest = b""
        self._is_upgraded = False
        self._transport: asyncio.Transport
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.lost: str | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._upgrade)

    def connection_lost(self, error: Exception | None) -> None:
        self._end("lost")

    def close(self) -> None:
        """End it; nothing more is heard."""
        self._end("closed")

    def data_received(self, data: bytes) -> None:
        if self._rest:
            data = self._rest + data
        if not self._is_upgraded:
            head, found, after = data.partition(_HEAD_END)
            if not found:
                self._rest = data
                return
            status = head.split(b" ", 2)[1]
            if status != b"101":
                self._end(f"refused with {status.decode()}", int(status))
                return
            self._is_upgraded = True
            if not self.opened.done():
                self.opened.set_result(None)
            data = after
        self._rest = self._take(data)

    def _take(self, data: bytes) -> bytes:
        """Take the whole frames at the beginning of `data`; return the rest."""
        at, end = 0, len(data)
        while end - at >= 2 and self.lost is None:
            kind, length, start = data[at], data[at + 1], at + 2
            if length >= 126:
                start += 2 if length == 126 else 8
                if start > end:
                    break
                if length & _MASKED:
                    self._end("protocol")
                    break
                length = int.from_bytes(data[at + 2 : start])
                if length > MAX_MESSAGE_BYTES:
                    self._end("too long a message")
                    break
            if start + length > end:
                break
            at = start + length
            if kind == _TEXT:
                self._hear(data[start:at])
            else:
                self._control(kind, data[start:at])
        return data[at:]

    def _control(self, kind: int, payload: bytes) -> None:
        if kind == _PING:
            mask = urandom(4)
            masked = bytes(byte ^ mask[place % 4] for place, byte in enumerate(payload))
            self._transport.write(bytes((_PONG, _MASKED | len(payload))) + mask + masked)
        elif kind == _CLOSE:
            self._end(payload[2:].decode(errors="replace") or "closed by the service")
        elif kind != _PONG:
            self._end("protocol")

    def _end(self, why: str, status: int = 0) -> None:
        if self.lost is None:
            self.lost = why
            self._transport.close()
        if not self.opened.done():
            self.opened.set_exception(Refused(status))


async def open_stream(
    host: str, port: int, token: str, hear: Callable[[bytes], None]
) -> StreamSocket:
    """Open a stream with a token.

    Raises:
        Refused: the service does not open it.
        OSError, TimeoutError: nothing answers.
    """
    key = b64encode(urandom(16)).decode()
    upgrade = (
        f"GET {STREAM_PATH} HTTP/1.1\r\nHost: {host}:{port}\r\nAuthorization: Bearer {token}\r\n"
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Key: {key}\r\n\r\n"
    )
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(OPEN_TIMEOUT_S):
        _, socket = await loop.create_connection(
            lambda: StreamSocket(upgrade.encode(), hear), host, port
        )
        try:
            await socket.opened
        except BaseException:
            socket.close()
            raise
    return socket
