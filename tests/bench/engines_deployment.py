"""The roles as processes of their own, of which engines may come and go: to be measured."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import NamedTuple

import aiohttp

from service.storage.server_process import LOOPBACK
from telemetry import catalogue
from tests.bench.claims_cpu import SERVERS, process_cpu_s, servers, servers_cpu_s
from tests.bench.loaded_service import SECRET
from tests.drills.instance import Instance
from tests.support import free_port

LEASE_S = 6.0
PATIENCE_S = 120.0
POLL_S = 0.1
MAX_LAG_S = 0.05
FEED, ENGINES, GATEWAY, REDIS, POSTGRESQL = "feed", "engines", "gateway", "Redis", "PostgreSQL"
PARTS = (FEED, ENGINES, GATEWAY, REDIS, POSTGRESQL)
_POSTGRES, _VALKEY = SERVERS


class Stretch(NamedTuple):
    """What went on between two looks.

    Attributes:
        cores: taken by each of `PARTS`, all engines together.
        ticks_per_s: judged by each engine.
    """

    cores: Mapping[str, float]
    ticks_per_s: Sequence[float]


class _Look(NamedTuple):
    time: float
    cpu_s: Mapping[str, float]
    ticks: Mapping[str, tuple[float, float]]


class Deployment:
    """A feed, a gateway, and so many engines as `run_engines` says."""

    def __init__(self, instances: Mapping[str, Instance], shards: int, most: int) -> None:
        self._instances = instances
        self._shards = shards
        self._names = [_engine(number) for number in range(most)]
        self._running: list[str] = []

    @property
    def port(self) -> int:
        """Where the gateway answers."""
        return int(self._instances[GATEWAY].environment["TAPEWATCH_PORT"])

    async def run_engines(self, count: int) -> None:
        """Have so many engines share the shards evenly. Raises TimeoutError, RuntimeError."""
        wanted = self._names[:count]
        leaving = [name for name in self._running if name not in wanted]
        await asyncio.gather(*(self._instances[name].stop() for name in leaving))
        for name in wanted:
            if name not in self._running:
                self._instances[name].start()
        self._running = wanted
        async with asyncio.timeout(PATIENCE_S), aiohttp.ClientSession() as session:
            for name in (*wanted, FEED, GATEWAY):
                await self._alive(name)
            while True:
                led = [await self._value(session, each, catalogue.SHARD_LED) for each in wanted]
                if led == [self._shards / count] * count:
                    return
                await asyncio.sleep(POLL_S)

    async def caught_up(self) -> None:
        """Wait until every engine has judged all ticks there are. Raises TimeoutError."""
        async with asyncio.timeout(PATIENCE_S), aiohttp.ClientSession() as session:
            for name in self._running:
                while await self._value(session, name, catalogue.TICK_LAG) > MAX_LAG_S:  # noqa: ASYNC110
                    await asyncio.sleep(POLL_S)

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[list[Stretch]]:
        """Look at all processes before and after; yield a list that has the stretch in the end."""
        found: list[Stretch] = []
        async with aiohttp.ClientSession() as session:
            ticks = await self._ticks(session)
            before = _Look(time.monotonic(), self._cpu_s(), ticks)
            yield found
            now, cpu_s = time.monotonic(), self._cpu_s()
            after = _Look(now, cpu_s, await self._ticks(session))
        seconds = after.time - before.time
        cores = {part: (after.cpu_s[part] - before.cpu_s[part]) / seconds for part in PARTS}
        rates = []
        for name, (judged, at) in after.ticks.items():
            judged_before, at_before = before.ticks[name]
            rates.append((judged - judged_before) / (at - at_before))
        found.append(Stretch(cores, rates))

    async def _ticks(self, session: aiohttp.ClientSession) -> dict[str, tuple[float, float]]:
        return {
            name: (await self._value(session, name, catalogue.QUOTES), time.monotonic())
            for name in self._running
        }

    def _cpu_s(self) -> dict[str, float]:
        of = {
            name: process_cpu_s(self._instances[name].process_id)
            for name in (FEED, GATEWAY, *self._running)
        }
        return {
            FEED: of[FEED],
            ENGINES: sum(of[name] for name in self._running),
            GATEWAY: of[GATEWAY],
            REDIS: sum(map(process_cpu_s, servers((_VALKEY,)))),
            POSTGRESQL: servers_cpu_s((_POSTGRES,)),  # of sessions that ended, too
        }

    async def _alive(self, name: str) -> None:
        instance = self._instances[name]
        while await instance.answers("/livez") != HTTPStatus.OK:
            if not instance.is_running:
                raise RuntimeError(f"{name} has ended:\n{instance.log[-2_000:]}")
            await asyncio.sleep(POLL_S)

    async def _value(
        self, session: aiohttp.ClientSession, name: str, metric: catalogue.Metric
    ) -> float:
        """Return the sum of a metric's samples in a process."""
        async with session.get(f"http://{self._instances[name].ops}/metrics") as response:
            text = await response.text()
        samples = re.findall(rf"^{metric.name}(?:{{.*}})? (\S+)$", text, re.MULTILINE)
        return sum(map(float, samples))


@asynccontextmanager
async def deployed(
    dsn: str, redis_url: str, feed_url: str, folder: Path, shards: int, engines: int
) -> AsyncIterator[Deployment]:
    """Run a feed and a gateway, and engines, `engines` at most, once they are asked for."""
    common: dict[str, object] = {
        "DATABASE_URL": dsn,
        "REDIS_URL": redis_url,
        "DATABASE_CONNECTIONS": 4,
        "SHARDS": shards,
        "LEASE_S": LEASE_S,
        "ACCOUNT_COMMANDS_PER_S": 1_000_000,
        "ADDRESS_COMMANDS_PER_S": 1_000_000,
    }
    feeds: dict[str, object] = {"FEED": "websocket", "FEED_URL": feed_url, "FEED_CONNECTIONS": 1}
    roles: dict[str, tuple[str, dict[str, object]]] = {
        FEED: (FEED, feeds),
        GATEWAY: (GATEWAY, {"JWT_SECRET": SECRET}),
        **{_engine(number): ("engine", {}) for number in range(engines)},
    }
    instances = {
        name: Instance(name, folder, arguments=("serve", "--role", role), **common, **own)
        for name, (role, own) in roles.items()
    }
    async with AsyncExitStack() as stack:
        for instance in instances.values():
            stack.push_async_callback(instance.stop)
        instances[FEED].start()
        instances[GATEWAY].start()
        yield Deployment(instances, shards, engines)


def feed_address() -> str:
    """Return where quotes may be served to a feed."""
    return f"ws://{LOOPBACK}:{free_port()}"


def _engine(number: int) -> str:
    return f"engine-{number + 1}"
