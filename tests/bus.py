"""A Redis bus for the tests: its ends, as processes have them, and an engine that is none."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random
from typing import cast

from service.domain.decision import EventKind
from service.domain.quote import Quote
from service.domain.shard import AccountShard
from service.instruments import Instruments
from service.loops.redis_bus import RedisBus
from service.loops.requests import Answer, Done, Request, TakeCommand, Taken
from service.loops.supervisor import Supervisor
from service.storage.database import Database
from service.storage.views import EventView
from telemetry import catalogue
from telemetry.spans import Tracing
from tests.support import eventually


class Engine:
    """Writes down what it takes, and answers as it is told."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.quotes: list[Quote] = []
        self.refusal: Exception | None = None
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def led(self) -> None: ...

    async def answer(self, request: Request) -> Answer:
        self.requests.append(request)
        await self.may_answer.wait()
        if self.refusal is not None:
            raise self.refusal
        if not isinstance(request, TakeCommand):
            return Done()
        return Taken(event_of(request.account_id), is_repeated=False)

    def on_quote(self, quote: Quote, arrived_ns: int | None = None) -> None:
        self.quotes.append(quote)


def event_of(account_id: int) -> EventView:
    return EventView(
        account_id=account_id,
        sequence=1,
        kind=EventKind.CANCELLED,
        balance="0.00",
        margin="0",
        order=None,
        deal=None,
    )


class OneFeed:
    """A database in which the feeds' lease is always free."""

    @asynccontextmanager
    async def read(self, operation: str) -> AsyncIterator["OneFeed"]:
        yield self

    async def fetchval(self, statement: str, *arguments: object, timeout: float) -> int:
        return 1

    async def execute(self, statement: str, *arguments: object, timeout: float) -> None: ...


class Process:
    """An end of the bus, with the loops that a process keeps for it; leave it to end them."""

    def __init__(self, url: str, shards: int, tracing: Tracing | None = None) -> None:
        self.instruments = Instruments(tracing=tracing)
        self.led = set(range(shards))
        self.stored: dict[tuple[int, str], bytes] = {}
        self.bus = RedisBus(
            url,
            shards,
            self.instruments,
            cast("Database", OneFeed()),
            self.read_stored,
            self.leads,
            str(id(self)),
            lease_life_s=3,
        )
        self._stack = AsyncExitStack()

    async def read_stored(self, account_id: int, key: str) -> bytes | None:
        return self.stored.get((account_id, key))

    def leads(self, shard: int) -> bool:
        return shard in self.led

    @property
    def asked_again(self) -> float:
        return self.instruments.metrics.counter(catalogue.BUS_ASKED_AGAIN).child().value

    @property
    def unanswered(self) -> float:
        return self.instruments.metrics.counter(catalogue.BUS_UNANSWERED).child("0").value

    async def start(self) -> None:
        """Keep its loops, and return when it hears all it should."""
        self._stack.push_async_callback(self.bus.stop)
        supervisor = Supervisor(self.instruments, Random())
        self.bus.keep(await self._stack.enter_async_context(supervisor.group()))
        await eventually(lambda: self.bus.is_connected)

    async def stop(self) -> None:
        await self._stack.aclose()


class Processes:
    """Processes on one Redis; they end with `processes`."""

    def __init__(self, url: str, stack: AsyncExitStack) -> None:
        self.url = url
        self._stack = stack

    async def start(self, process: Process) -> Process:
        self._stack.push_async_callback(process.stop)
        await process.start()
        return process

    async def gateway(self, url: str | None = None) -> Process:
        """Start a gateway of one shard, on another way to the same Redis if one is given."""
        process = Process(url or self.url, 1)
        process.bus.follow(lambda quote, arrived_ns=None: None)
        return await self.start(process)

    async def engine(self, url: str | None = None, *, leads: bool = True) -> "EngineProcess":
        """Start an engine of one shard, on another way to the same Redis if one is given."""
        process = EngineProcess(url or self.url, leads)
        await self.start(process)
        return process


class EngineProcess(Process):
    """An engine that leads the only shard, or does not yet."""

    def __init__(self, url: str, leads: bool) -> None:
        super().__init__(url, 1)
        self.led = {0} if leads else set()
        self.engine = Engine()
        self.bus.serve(AccountShard(0, 1), self.engine, self.engine.on_quote)


@asynccontextmanager
async def processes(url: str) -> AsyncIterator[Processes]:
    async with AsyncExitStack() as stack:
        yield Processes(url, stack)
