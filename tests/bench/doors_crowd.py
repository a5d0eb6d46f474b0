"""The crowd at the doors: idle sockets and slow senders, in a process of their own.

Run as `python -m tests.bench.doors_crowd PORT SECRET ACCOUNTS`. It takes lines `IDLE SLOW` on
stdin, how many of either there are to be, and answers each, once they are there, with how the slow
ones have ended since the last.

An idle socket is a stream that wants no prices and answers pings. Of slow senders there are as many
of each kind: bodies that come a byte at a time, handshakes that stop half-way, and streams of which
nothing is ever read. Each comes back as soon as it is turned away. They come all at once, and those
of a kind come back all at once, which is the worst that so many can do.
"""

import asyncio
import contextlib
import itertools
import json
import socket
import sys
from collections import Counter
from collections.abc import Awaitable, Callable

import uvloop

from service.api.auth import Role, issue_token
from service.api.connections import HEAD_TIMEOUT_S
from service.api.openapi import STREAM_PATH
from service.api.orders import ORDERS
from service.load.stream_socket import Refused, StreamSocket
from tests.bench.machine import allow_sockets
from tests.bench.raw_socket import BUFFER_BYTES, HOST, TOKEN_LIFE_S
from tests.fuzz.frames import text

OPENED_AT_ONCE = 32
OPEN_TIMEOUT_S = 120.0
BYTE_EVERY_S = 0.2
BODY_BYTES = 4_096
UNREAD_S = 20.0
RECEIVE_BUFFER_BYTES = 4_096
DRAIN_S = 2.0
BACK_AFTER_S = 0.05
AGAIN_AFTER_S = 1.0
_NO_PRICES = text({"type": "unsubscribe"}).encoded()


class IdleSocket(StreamSocket):
    """A stream that has been opened and is left alone: it wants no prices, and answers pings."""

    def __init__(self, upgrade: bytes) -> None:
        super().__init__(upgrade, lambda message: None)

    def want_no_prices(self) -> None:
        self._transport.write(_NO_PRICES)


class Crowd:
    """Who stands at the doors of one service; `ends` counts how slow ones were turned away."""

    def __init__(self, port: int, secret: str, accounts: int) -> None:
        self._port = port
        self._secret = secret
        self._accounts = itertools.cycle(range(1, accounts + 1))
        self._idle: list[IdleSocket] = []
        self._slow: list[asyncio.Task[None]] = []
        self.ends: Counter[str] = Counter()

    @property
    def lost(self) -> list[str]:
        """Why idle sockets were ended by the service, which has no reason to."""
        return [each.lost for each in self._idle if each.lost is not None]

    async def become(self, idle: int, slow: int) -> None:
        """Let so many of either be there; slow ones for so long that the first were turned away."""
        while len(self._idle) > idle:
            self._idle.pop().close()
        gate = asyncio.Semaphore(OPENED_AT_ONCE)
        await asyncio.gather(*(self._open(gate) for _ in range(idle - len(self._idle))))
        gone, self._slow = self._slow[slow:], self._slow[:slow]
        for task in gone:
            task.cancel()
        if gone:
            await asyncio.wait(gone)
        kinds = itertools.cycle((self._drip, self._stop_half_way, self._never_read))
        begun = slow - len(self._slow)
        for kind in itertools.islice(kinds, begun):
            self._slow.append(asyncio.create_task(self._again(kind)))
        if begun > 0:
            await asyncio.sleep(HEAD_TIMEOUT_S)

    async def _open(self, gate: asyncio.Semaphore) -> None:
        """Open an idle socket, again if it is refused, as clients do."""
        loop = asyncio.get_running_loop()
        async with gate, asyncio.timeout(OPEN_TIMEOUT_S):
            while True:
                with contextlib.suppress(ConnectionError, Refused):
                    _, idle = await loop.create_connection(
                        lambda: IdleSocket(self._upgrade()), HOST, self._port
                    )
                    await idle.opened
                    idle.want_no_prices()
                    self._idle.append(idle)
                    return
                await asyncio.sleep(AGAIN_AFTER_S)

    async def _again(self, kind: Callable[[], Awaitable[str]]) -> None:
        while True:
            with contextlib.suppress(ConnectionError):
                self.ends[await kind()] += 1
            await asyncio.sleep(BACK_AFTER_S)

    async def _drip(self) -> str:
        head = (
            f"POST {ORDERS} HTTP/1.1\r\nHost: {HOST}\r\n{self._authorization()}"
            f"Content-Type: application/json\r\nContent-Length: {BODY_BYTES}\r\n\r\n"
        )
        reader, writer = await asyncio.open_connection(HOST, self._port)
        try:
            writer.write(head.encode())
            answer = asyncio.create_task(reader.read(64))
            while not answer.done():
                writer.write(b" ")
                await asyncio.wait((answer,), timeout=BYTE_EVERY_S)
            return f"body: {_status(answer.result())}"
        finally:
            writer.transport.abort()

    async def _stop_half_way(self) -> str:
        upgrade = self._upgrade()
        reader, writer = await asyncio.open_connection(HOST, self._port)
        try:
            writer.write(upgrade[: len(upgrade) // 2])
            return f"handshake: {_status(await reader.read(64))}"
        finally:
            writer.transport.abort()

    async def _never_read(self) -> str:
        """Open a stream of all prices and look away, until the connection is no more."""
        loop = asyncio.get_running_loop()
        with socket.socket() as connection:
            connection.setblocking(False)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
            await loop.sock_connect(connection, (HOST, self._port))
            await loop.sock_sendall(connection, self._upgrade())
            await asyncio.sleep(UNREAD_S)
            # What it was sent before comes first; only then shows whether it was given up.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(DRAIN_S):
                    while await loop.sock_recv(connection, BUFFER_BYTES):
                        pass
                    return "unread: cut"
            return "unread: served on"

    def _upgrade(self) -> bytes:
        return (
            f"GET {STREAM_PATH} HTTP/1.1\r\nHost: {HOST}\r\n{self._authorization()}"
            "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        ).encode()

    def _authorization(self) -> str:
        token = issue_token(self._secret, next(self._accounts), Role.TRADER, TOKEN_LIFE_S)
        return f"Authorization: Bearer {token}\r\n"


def _status(head: bytes) -> str:
    return head.split(b" ", 2)[1].decode() if head.startswith(b"HTTP/1.1 ") else "cut"


async def main(port: int, secret: str, accounts: int) -> None:
    """Become what each line says, and answer it."""
    crowd = Crowd(port, secret, accounts)
    while line := await asyncio.to_thread(sys.stdin.readline):
        idle, slow = map(int, line.split())
        await crowd.become(idle, slow)
        print(json.dumps({"ends": crowd.ends, "lost": crowd.lost}), flush=True)
        crowd.ends.clear()


if __name__ == "__main__":
    allow_sockets()
    uvloop.run(main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
