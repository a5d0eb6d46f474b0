"""A drill's universe: everything that a site has, on ports and in folders of its own.

    traders -> tapewatch serve -> proxies -> PostgreSQL, Valkey
                  ^      ^
      the upstream      Prometheus -> Alertmanager -> webhook

Everything is real; between the service and what it needs stand proxies that can hurt it. What is
left of it ends with this process, however that ends.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from types import MappingProxyType

import asyncpg
from redis.asyncio import Redis

from alerts.monitor.alertmanager import Alertmanager
from alerts.monitor.binaries import find_programs
from alerts.monitor.prometheus import Prometheus
from alerts.monitor.webhook import Webhook
from service.storage.embedded import EmbeddedPostgres, EmbeddedValkey
from tests.drills.book import FEW_GROUPS, RICH_ACCOUNTS, instruments, store_book
from tests.drills.drill_alertmanager import DrillAlertmanager
from tests.drills.instance import Instance
from tests.drills.sightings import Sightings
from tests.drills.traders import Traders
from tests.drills.upstream import Upstream
from tests.faultproxy import LOOPBACK, FaultProxy
from tests.monitoring import FOLDER
from tests.otlp import http_collector
from tests.proxied import in_front_of, through
from tests.support import free_port

SECRET = "drill-" * 8
JOB = "tapewatch"
INTERVAL_S = 5.0
GROUP_INTERVAL_S = 10.0
RATE = 30.0
TRADERS = 4
_STARTING = asyncio.Semaphore(1)


@dataclass
class Universe:
    """What a drill may hurt, and what it may look at."""

    folder: Path
    postgres: EmbeddedPostgres
    valkey: EmbeddedValkey
    database: FaultProxy
    redis: FaultProxy
    heartbeat: FaultProxy
    collector: FaultProxy
    upstream: Upstream
    instances: list[Instance]
    traders: Traders
    webhook: Webhook
    prometheus: Prometheus
    alertmanager: Alertmanager
    sightings: Sightings

    @property
    def service(self) -> Instance:
        return self.instances[0]

    def of_role(self, role: str) -> list[Instance]:
        return [each for each in self.instances if each.name.startswith(f"{role}-")]

    async def execute(self, statement: str, *arguments: object) -> None:
        """Execute a statement in PostgreSQL itself, past the proxy."""
        connection = await asyncpg.connect(self.postgres.dsn)
        try:
            await connection.execute(statement, *arguments)
        finally:
            await connection.close()

    @asynccontextmanager
    async def valkey_client(self) -> AsyncIterator[Redis]:
        """A client of Valkey itself, past the proxy."""
        client = Redis.from_url(self.valkey.url)
        try:
            yield client
        finally:
            await client.aclose()

    async def measured(self, expression: str) -> float | None:
        """Return the value of a query with one series, None for none."""
        found = await self.prometheus.query(expression)
        return float(found[0]["value"][1]) if found else None


@asynccontextmanager
async def universe(
    folder: Path,
    seed: int,
    *,
    roles: Sequence[str] = ("all",),
    traders: int = TRADERS,
    groups: int = FEW_GROUPS,
    is_traced: bool = False,
    settings: Mapping[str, object] = MappingProxyType({}),
) -> AsyncIterator[Universe]:
    """Start everything, yield it once the service trades, and end it.

    Args:
        roles: of the service's processes on the same stores; of those that are everything the
            first one leads.
        traders: how many trade, at the first process that has an API.
        groups: of accounts.
        is_traced: whether its spans go to a collector.
        settings: of the service, as environment variables without their prefix.
    """
    async with AsyncExitStack() as stack:
        # One after the other: to start takes a processor for seconds, which others would feel.
        async with _STARTING:
            everything = await _start(
                stack, folder, Random(seed), roles, traders, groups, is_traced, settings
            )
        yield everything


async def _start(
    stack: AsyncExitStack,
    folder: Path,
    random: Random,
    roles: Sequence[str],
    traders: int,
    groups: int,
    is_traced: bool,
    settings: Mapping[str, object],
) -> Universe:
    enter = stack.enter_async_context
    postgres = await enter(EmbeddedPostgres(folder / "postgres", durable=False))
    valkey = await enter(EmbeddedValkey(folder / "valkey"))
    await store_book(postgres.dsn, time.time_ns(), groups)
    database = await enter(in_front_of(postgres.dsn))
    redis_proxy = await enter(in_front_of(valkey.url))
    upstream = await enter(Upstream(instruments(), random, RATE))
    collector = await enter(in_front_of((await enter(http_collector())).endpoint))
    addresses = {
        "DATABASE_URL": through(database, postgres.dsn),
        "REDIS_URL": through(redis_proxy, valkey.url),
        "FEED": "websocket",
        "FEED_URL": upstream.url,
        "JWT_SECRET": SECRET,
        "LOG_LEVEL_ORDERS": "INFO",
    }
    instances = [
        Instance(
            f"{role}-{roles[:at].count(role) + 1}",
            folder,
            arguments=("serve", "--role", role),
            **addresses,
            **settings,
        )
        for at, role in enumerate(roles)
    ]
    for instance in instances:
        if is_traced:
            instance.environment |= {
                "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{LOOPBACK}:{collector.port}",
                "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            }
        stack.push_async_callback(instance.stop)
        instance.start()
        if roles[0] == "all":
            await (instance.ready() if instance is instances[0] else instance.alive())
    for instance in instances if roles[0] != "all" else ():
        await instance.ready()
    webhook = await enter(Webhook())
    heartbeat = await enter(in_front_of(webhook.url))
    programs = await asyncio.to_thread(find_programs, FOLDER)
    alertmanager = await enter(
        DrillAlertmanager(
            programs,
            folder / "alertmanager",
            port=free_port(),
            notify_url=webhook.notify_url,
            heartbeat_url=f"http://{LOOPBACK}:{heartbeat.port}/notify/heartbeat",
            group_interval_s=GROUP_INTERVAL_S,
        )
    )
    prometheus = await enter(
        Prometheus(
            programs,
            folder / "prometheus",
            port=free_port(),
            targets={
                JOB: [each.ops for each in instances],
                "alertmanager": [alertmanager.address],
            },
            alertmanager=alertmanager.address,
            interval_s=INTERVAL_S,
            external_labels={"runbooks_url": webhook.runbooks_url},
        )
    )
    sightings = Sightings(prometheus)
    await enter(_running(sightings))
    gateway = next(each for each in instances if each.name.startswith(("all", "gateway")))
    clients = Traders(lambda: gateway.api, SECRET, RICH_ACCOUNTS[:traders], upstream, random)
    await enter(clients)
    clients.start()
    return Universe(
        folder,
        postgres,
        valkey,
        database,
        redis_proxy,
        heartbeat,
        collector,
        upstream,
        instances,
        clients,
        webhook,
        prometheus,
        alertmanager,
        sightings,
    )


@asynccontextmanager
async def _running(sightings: Sightings) -> AsyncIterator[None]:
    looking = asyncio.create_task(sightings.run())
    try:
        yield
    finally:
        looking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await looking
