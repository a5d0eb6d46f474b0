"""The market and the traders of the benchmark of engines, in a process of their own.

Run as `python -m tests.bench.engines_load FEED_URL PORT SECRET ACCOUNTS`: it serves quotes at
FEED_URL, and its traders call the API at PORT. A line `TICKS TRADERS SECONDS` on stdin has so many
quotes a second sent and so many traders trade, each one command after the other: an order that
rests far away, then its end. After `SETTLE_S` it answers with a line, and `SECONDS` later with what
was done since, as JSON.
"""

import asyncio
import contextlib
import itertools
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from random import Random
from typing import NamedTuple

import msgspec
import uvloop

from service.api.auth import Role, issue_token
from service.api.orders import ORDER, ORDERS
from service.domain.money import format_scaled
from service.domain.order import OrderType
from service.load.latencies import Latencies
from service.load.market import Market
from service.load.schedule import Clock
from service.load.tally import Tallies
from service.load.upstream import Upstream
from service.storage.group_views import group_symbol_view
from tests.bench.brokerage import INSTRUMENTS, desk_with_settings
from tests.bench.machine import allow_sockets
from tests.bench.raw_socket import HOST, TOKEN_LIFE_S

SETTLE_S = 1.0
AWAY = 2  # orders rest at half the price, where no quote comes
_GROUP = "group-0"


class Done(msgspec.Struct):
    """What was done in `seconds`; latencies from a command to its answer, ms.

    `refused` counts commands that were not done, `refusal` is what the last one was told.
    """

    seconds: float
    ticks: int
    commands: int
    refused: int
    refusal: str
    median_ms: float | None
    p99_ms: float | None


class _Answer(NamedTuple):
    status: int
    content: bytes


class _Placed(msgspec.Struct):
    order_id: int


class Traders:
    """Trade one command after the other, as fast as they are answered."""

    def __init__(self, port: int, secret: str, accounts: int) -> None:
        self._port = port
        self._secret = secret
        self._accounts = itertools.cycle(range(1, accounts + 1))
        self._keys = itertools.count(1)
        self._tasks: list[asyncio.Task[None]] = []
        self._clock = Clock()
        self.begin()

    def begin(self) -> None:
        """Count anew."""
        self.commands = self.refused = 0
        self.refusal = ""
        self.answered = Latencies()

    async def become(self, count: int) -> None:
        """Let so many trade; who ends has ended his orders."""
        gone, self._tasks = self._tasks[count:], self._tasks[:count]
        for task in gone:
            task.cancel()
        if gone:
            await asyncio.wait(gone)
        while len(self._tasks) < count:
            self._tasks.append(asyncio.create_task(self._trade(next(self._accounts))))

    def failed(self) -> None:
        """Raise what a trader has ended with."""
        for task in self._tasks:
            if task.done():
                task.result()

    async def _trade(self, account_id: int) -> None:
        token = issue_token(self._secret, account_id, Role.TRADER, TOKEN_LIFE_S)
        random = Random(account_id)
        reader, writer = await asyncio.open_connection(HOST, self._port)

        async def command(method: str, path: str, body: bytes) -> _Answer:
            key = f"bench-{account_id}-{next(self._keys)}"
            head = (
                f"{method} {path} HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {token}\r\n"
                f"Idempotency-Key: {key}\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(body)}\r\n\r\n"
            )
            begun = self._clock.now()
            writer.write(head.encode() + body)
            answer = await _read(reader)
            self.answered.record(self._clock.now() - begun)
            self.commands += 1
            if answer.status >= 300:
                self.refused += 1
                self.refusal = f"{method} {path}: {answer.status} {answer.content.decode()}"
            return answer

        try:
            for body in _orders(random):
                placed = await command("POST", ORDERS, body)
                if placed.status < 300:
                    order_id = msgspec.json.decode(placed.content, type=_Placed).order_id
                    await command("DELETE", ORDER.format(order_id=order_id), b"")
        finally:
            writer.transport.abort()


def _orders(random: Random) -> Iterator[bytes]:
    while True:
        symbol, mid, *_ = random.choice(INSTRUMENTS)
        order = {
            "symbol": symbol.name,
            "type": OrderType.BUY_LIMIT,
            "volume": "1.00",
            "price": format_scaled(mid // AWAY, symbol.digits),
        }
        yield msgspec.json.encode(order)


async def _read(reader: asyncio.StreamReader) -> _Answer:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    _, _, rest = head.partition(b"content-length:")
    size = int(rest.partition(b"\r\n")[0] or 0)
    return _Answer(int(head.split(b" ", 2)[1]), await reader.readexactly(size))


class Quotes:
    """Sends quotes of the benchmark's symbols, so many a second."""

    def __init__(self) -> None:
        self.tallies = Tallies()
        self.upstream = Upstream(Clock(), self.tallies)
        desk = desk_with_settings()
        views = [
            group_symbol_view(each) for (name, _), each in desk.terms.items() if name == _GROUP
        ]
        self._market = Market(views, (), Random(1))

    @asynccontextmanager
    async def at(self, per_s: float) -> AsyncIterator[None]:
        """Send until left. Raises what sending has ended with."""
        sending = asyncio.create_task(self.upstream.send(self._market, per_s))
        try:
            yield
        finally:
            sending.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await sending


async def main(feed_url: str, port: int, secret: str, accounts: int) -> None:
    """Do what each line says."""
    quotes, traders = Quotes(), Traders(port, secret, accounts)
    async with quotes.upstream.served(feed_url):
        while line := await asyncio.to_thread(sys.stdin.readline):
            per_s, count, seconds = map(float, line.split())
            async with quotes.at(per_s):
                await traders.become(int(count))
                await asyncio.sleep(SETTLE_S)
                traders.begin()
                quotes.tallies.begin()
                clock = Clock()
                begun = clock.now()
                print("begun", flush=True)
                await asyncio.sleep(seconds)
                done = Done(
                    (clock.now() - begun) / 1e9,
                    quotes.tallies.now.ticks,
                    traders.commands,
                    traders.refused,
                    traders.refusal,
                    traders.answered.percentile_ms(50),
                    traders.answered.percentile_ms(99),
                )
                traders.failed()
                print(msgspec.json.encode(done).decode(), flush=True)
                await traders.become(0)


if __name__ == "__main__":
    allow_sockets()
    url, api_port, signing_secret, account_count = sys.argv[1:]
    uvloop.run(main(url, int(api_port), signing_secret, int(account_count)))
