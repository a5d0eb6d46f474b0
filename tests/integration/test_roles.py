"""A feed, two engines and two gateways as processes: whichever gateway is asked, it is one service.

On one server of Redis, and on a cluster.
"""

import asyncio
import contextlib
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from service.api.auth import Role, issue_token
from service.api.readiness import State
from service.demo import open_demo
from service.status import CannotAsk, ask_status
from service.storage.server_process import LOOPBACK
from service.verify.verification import verify
from telemetry.catalogue import HTTP_REQUEST
from tests.adversity.book import execute, fetch
from tests.integration.test_metrics_contract import assert_as_declared
from tests.redis_cluster import running_cluster
from tests.service_process import COMMAND, ROOT, START_TIMEOUT_S, Service, environment
from tests.support import POLL_S

SECRET = "s" * 40
SHARDS = 4
ACCOUNTS = range(1, SHARDS + 1)  # one of each shard
ROLES = ("feed", "engine", "engine", "gateway", "gateway")
BUY = {"symbol": "EURUSD", "type": "BUY", "volume": "0.10"}
NO_HIT = 'tapewatch_cache_requests_total{cache="static_orders",result="hit"} 0\n'
STATE = "/api/v1/admin/symbols/EURUSD/trading-state"
BACK_UP = (
    "ALTER DATABASE {0} ALLOW_CONNECTIONS false",
    "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = '{0}'",
    "CREATE DATABASE {0}_backup TEMPLATE {0}",
    "ALTER DATABASE {0} ALLOW_CONNECTIONS true",
)
RESTORE = ("DROP DATABASE {0} WITH (FORCE)", "ALTER DATABASE {0}_backup RENAME TO {0}")
LATER_FEED = "UPDATE feed_lease SET epoch = epoch + 1000, holder = '', expires_at = now()"

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(params=["server", "cluster"])
def redis_servers(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of one server, or of a cluster."""
    if request.param == "server":
        yield request.getfixturevalue("redis_url")
    else:
        with running_cluster() as cluster:
            yield cluster.url


class Processes:
    """One process of each of `ROLES`, ready."""

    def __init__(self, folder: Path, settings: dict[str, object]) -> None:
        self.all: list[Service] = []
        for number, role in enumerate(ROLES):
            secret = SECRET if role == "gateway" else None
            chosen = environment(folder / f"data{number}", **settings, JWT_SECRET=secret)
            log = folder / f"{number}-{role}.log"
            self.all.append(Service(chosen, log, f"serve --role {role}"))
        self.feed, *self.engines = self.all[:3]
        self.gateways = self.all[3:]

    def end(self) -> None:
        for each in self.all:
            each.kill()


@pytest.fixture
async def processes(
    tmp_path: Path, postgres_dsn: str, redis_servers: str
) -> AsyncIterator[Processes]:
    await open_demo(postgres_dsn)
    settings = {
        "DATABASE_URL": postgres_dsn,
        "REDIS_URL": redis_servers,
        "SHARDS": SHARDS,
        "LEASE_S": 3,
    }
    running = Processes(tmp_path, settings)
    try:
        await asyncio.gather(*(each.ready() for each in running.all))
        yield running
    finally:
        running.end()


class Gateway:
    """A client of one gateway."""

    def __init__(self, service: Service, session: aiohttp.ClientSession) -> None:
        self.url = f"http://127.0.0.1:{service.environment['TAPEWATCH_PORT']}"
        self._session = session

    async def ask(
        self, method: str, path: str, body: object = None, *, account: int = 1, admin: bool = False
    ) -> tuple[int, Any]:
        role = Role.ADMIN if admin else Role.TRADER
        headers = {"Authorization": f"Bearer {issue_token(SECRET, account, role, 3600)}"}
        url = f"{self.url}{path}"
        async with self._session.request(method, url, json=body, headers=headers) as answer:
            return answer.status, await answer.json()

    async def buy(self, account: int) -> int:
        """Place a market order once the shard is traded; return its id."""
        async with asyncio.timeout(START_TIMEOUT_S):
            while True:
                status, said = await self.ask("POST", "/api/v1/orders", BUY, account=account)
                if status == 201:
                    assert said["status"] == "OPEN"
                    return int(said["order_id"])
                assert status == 503, said
                await asyncio.sleep(POLL_S)

    async def orders(self, account: int) -> set[int]:
        """Return the live orders of an account."""
        status, said = await self.ask("GET", "/api/v1/orders", account=account)
        assert status == 200
        return {each["order_id"] for each in said["orders"]}

    @contextlib.asynccontextmanager
    async def stream(self, account: int) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        token = issue_token(SECRET, account, Role.TRADER, 3600)
        headers = {"Authorization": f"Bearer {token}"}
        async with self._session.ws_connect(f"{self.url}/api/v1/stream", headers=headers) as socket:
            yield socket


@pytest.fixture
async def gateways(processes: Processes) -> AsyncIterator[list[Gateway]]:
    timeout = aiohttp.ClientTimeout(total=30)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        yield [Gateway(each, session) for each in processes.gateways]


async def until(socket: aiohttp.ClientWebSocketResponse, kind: str) -> dict[str, Any]:
    """Return the next message of a kind."""
    async with asyncio.timeout(30):
        while True:
            message: dict[str, Any] = await socket.receive_json()
            if message["type"] == kind:
                return message


async def until_shown(gateway: Gateway, account: int, order_id: int) -> None:
    """Wait until a gateway shows an order: it is told of what is committed, and asks no engine."""
    async with asyncio.timeout(30):
        while order_id not in await gateway.orders(account):  # noqa: ASYNC110 - another process
            await asyncio.sleep(POLL_S)


async def test_processes_of_all_roles_are_one_service(
    processes: Processes, gateways: list[Gateway]
) -> None:
    one, other = gateways

    # Orders of every shard fill through either gateway, and the other shows them.
    async with other.stream(1) as socket:
        snapshot = await until(socket, "snapshot")
        for account in ACCOUNTS:
            placed = await one.buy(account)
            assert placed % SHARDS == account % SHARDS
            await until_shown(other, account, placed)
        told = await until(socket, "order")
        assert told["sequence"] > snapshot["sequence"]
        assert (await until(socket, "portfolio"))["account_id"] == 1
        assert (await until(socket, "quotes"))["quotes"]

    # The same key is the same order, whichever gateway is asked.
    key = {"client_order_id": "once"}
    first = await one.ask("POST", "/api/v1/orders", BUY | key)
    again = await other.ask("POST", "/api/v1/orders", BUY | key)
    assert (first[0], again[1]["order_id"]) == (201, first[1]["order_id"])

    # What an administrator is told of as done, is so on every shard.
    change = {"state": "halted", "reason": "a test"}
    assert (await other.ask("PUT", STATE, change, admin=True))[0] == 200
    for account in ACCOUNTS:
        status, said = await one.ask("POST", "/api/v1/orders", BUY, account=account)
        assert (status, said["code"]) == (409, "TRADING_HALTED"), said
    assert (await one.ask("PUT", STATE, change | {"state": "active"}, admin=True))[0] == 200
    for account in ACCOUNTS:
        assert await other.buy(account)
    status, exposure = await one.ask("GET", "/api/v1/admin/exposure", admin=True)
    assert status == 200
    assert "EURUSD" in {each["symbol"] for each in exposure["symbols"]}

    # Each tells what is declared, and how it is.
    for service, role in zip(processes.all, ROLES, strict=True):
        text = await asyncio.to_thread(service.read, "/metrics")
        nothing_of = None if role == "gateway" else HTTP_REQUEST  # it has no routes
        assert_as_declared(list(text_string_to_metric_families(text)), nothing_of)
        assert f'tapewatch_role{{role="{role}"}} 1\n' in text
        assert '"generations"' in await asyncio.to_thread(service.read, "/loops") or role == "feed"

    # What an engine keeps up in the cache, gateways believe.
    for gateway, service in zip(gateways, processes.gateways, strict=True):
        async with asyncio.timeout(30):
            while NO_HIT in await asyncio.to_thread(service.read, "/metrics"):
                assert (await gateway.ask("GET", "/api/v1/account"))[0] == 200

    # An engine that stops hands its shards over; one that is killed is followed.
    assert await processes.engines[0].stop() == 0
    for account in ACCOUNTS:
        await until_shown(other, account, await one.buy(account))

    for each in (processes.feed, *processes.gateways, processes.engines[1]):
        assert await each.stop() == 0, each.log
        assert "Traceback" not in each.log


async def test_all_go_on_with_a_database_that_is_restored_beneath_them(
    processes: Processes, gateways: list[Gateway], postgres_dsn: str
) -> None:
    """They find out by themselves; the sockets of who had seen more begin anew."""
    one, other = gateways
    server, _, name = postgres_dsn.rpartition("/")
    await until_shown(one, 1, await one.buy(1))
    kept = await one.orders(1)
    await execute(f"{server}/postgres", *(each.format(name) for each in BACK_UP))
    async with other.stream(1) as socket:
        lost = [await one.buy(1), await one.buy(1)]
        assert (await until(socket, "order"))["order"]["order_id"] == lost[0]
        await execute(postgres_dsn, LATER_FEED)
        async with asyncio.timeout(30):
            while not await fetch(postgres_dsn, "SELECT FROM feed_lease WHERE holder <> ''"):  # noqa: ASYNC110
                await asyncio.sleep(POLL_S)
        await execute(f"{server}/postgres", *(each.format(name) for each in RESTORE))
        async with asyncio.timeout(60):
            while (await socket.receive()).type is aiohttp.WSMsgType.TEXT:
                pass
    again = await one.buy(1)
    for gateway in gateways:
        async with asyncio.timeout(30):
            while await gateway.orders(1) != kept | {again}:  # noqa: ASYNC110 - another process
                await asyncio.sleep(POLL_S)
        async with gateway.stream(1) as socket:
            snapshot = await until(socket, "snapshot")
            assert {each["order_id"] for each in snapshot["orders"]} == kept | {again}
            assert (await until(socket, "quotes"))["quotes"], "ticks are read"
    assert not any(each.has_ended for each in processes.all)
    assert (await verify(postgres_dsn)).faults == []


async def test_a_gateway_beside_a_process_that_is_everything_says_what_to_do(
    tmp_path: Path, postgres_dsn: str, redis_url: str
) -> None:
    await open_demo(postgres_dsn)
    stores = {"DATABASE_URL": postgres_dsn, "REDIS_URL": redis_url, "JWT_SECRET": SECRET}
    running = [
        Service(environment(tmp_path / role, **stores), tmp_path / role, f"serve --role {role}")
        for role in ("all", "gateway")
    ]
    ops = LOOPBACK, int(running[1].environment["TAPEWATCH_OPS_PORT"])
    try:
        await running[0].ready()
        async with asyncio.timeout(START_TIMEOUT_S):
            while True:
                with contextlib.suppress(CannotAsk):
                    readiness = (await ask_status(ops)).readiness
                    engines = readiness.checks["engines"]
                    if engines.detail.startswith("shards 0 are traded by a process of role all"):
                        break
                await asyncio.sleep(POLL_S)
        assert (engines.ok, readiness.status) == (False, State.NOT_READY)
    finally:
        for each in running:
            each.process.kill()
            each.process.wait()


def test_a_process_beside_others_says_what_it_needs(tmp_path: Path) -> None:
    result = subprocess.run(
        [*COMMAND, "serve", "--role", "engine"],
        cwd=ROOT,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=START_TIMEOUT_S,
        check=False,
    )
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    for name in ("DATABASE_URL", "REDIS_URL"):
        assert f"TAPEWATCH_{name}: must be set to serve" in result.stderr
    assert "TAPEWATCH_JWT_SECRET" not in result.stderr
