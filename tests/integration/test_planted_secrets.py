"""A secret in every place that has one, and trouble of every kind: it is told of nowhere.

A real process with everything turned up, a collector that takes every span; what it logs, exposes,
traces and answers, and what its settings look like in a traceback, is searched for each of them.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import jwt
import pytest
from pydantic import SecretStr

from service.api.auth import Role, issue_token
from service.settings import Settings
from service.signing import read_secrets
from service.storage.server_process import LOOPBACK
from tests.faultproxy import FaultProxy
from tests.otlp import Collector, http_collector
from tests.proxied import in_front_of, through
from tests.service_process import Service, environment
from tests.support import eventually, free_port

PLANTED = "planted-by-a-client-4f1d"
SIGNING = "planted-to-sign-tokens-with-9c02e"
BEFORE = "planted-to-sign-tokens-before-771"
FEED = "planted-for-the-feed-0b7a"
COLLECTOR = "planted-for-the-collector-c3"
ORDER = {"symbol": "EURUSD", "type": "BUY", "volume": "0.10"}


class Told:
    """All that a service has said to anybody."""

    def __init__(self) -> None:
        self.texts: list[tuple[str, str]] = []
        self.statuses: set[int] = set()

    def add(self, where: str, text: str) -> None:
        self.texts.append((where, text))

    def search(self, secrets: dict[str, str]) -> list[str]:
        return [
            f"{name} in {where}: …{text[max(0, text.index(secret) - 80) :][:80]}…"
            for name, secret in secrets.items()
            for where, text in self.texts
            if secret in text
        ]


@asynccontextmanager
async def proxied(address: str) -> AsyncIterator[tuple[FaultProxy, str]]:
    async with in_front_of(address) as proxy:
        yield proxy, through(proxy, address)


def bad_headers(token: str) -> Iterator[dict[str, str]]:
    """Return headers that are refused, each with a secret in it."""
    claims = {"sub": PLANTED, "role": "trader", "exp": time.time() + 60}
    yield {"Authorization": f"Bearer {PLANTED}"}
    yield {"Authorization": f"Bearer {jwt.encode(claims, SIGNING, 'HS256')}"}
    yield {"Authorization": f"Bearer {token[:-4]}AAAA"}
    yield {"Authorization": f"Bearer {issue_token(SIGNING, 1, Role.TRADER, -1)}"}
    yield {"Authorization": f"Basic {PLANTED}"}
    yield {"Cookie": f"session={PLANTED}", "X-Api-Key": PLANTED}
    yield {"Sec-WebSocket-Protocol": f"tapewatch.v1, bearer.{PLANTED}"}
    yield {"Authorization": f"Bearer {token}", "Idempotency-Key": f"{PLANTED} {PLANTED}"}
    yield {"Authorization": f"Bearer {token}", "traceparent": PLANTED}


async def ask_badly(client: aiohttp.ClientSession, port: int, token: str, told: Told) -> None:
    """Ask for everything in every wrong way."""
    bearer = {"Authorization": f"Bearer {token}"}

    async def take(method: str, path: str, **options: object) -> None:
        async with client.request(method, path, **options) as answer:  # type: ignore[arg-type]
            told.statuses.add(answer.status)
            told.add(f"{method} {path.partition('?')[0]}", f"{answer.headers}{await answer.text()}")

    for headers in bad_headers(token):
        for method, path in (("POST", "/api/v1/orders"), ("GET", "/api/v1/stream")):
            await take(method, path, json=ORDER if method == "POST" else None, headers=headers)
    for parameter in ("token", "access_token"):
        await take("GET", f"/api/v1/account?{parameter}={PLANTED}", headers=bearer)
    for body in (
        f'{{"password":"{PLANTED}"}}',
        f'{{"symbol":"EURUSD","type":"BUY","volume":"{PLANTED}"}}',
        f'{{"symbol":"{PLANTED}{PLANTED}',
        f'"{PLANTED}"',
        PLANTED * 1_000,
    ):
        for path in ("/api/v1/orders", "/api/v1/admin/accounts"):
            json = {**bearer, "Content-Type": "application/json"}
            await take("POST", path, data=body, headers=json)
    await take("POST", "/api/v1/orders", json=ORDER, headers=bearer)
    await take("GET", "/api/v1/account", headers=bearer)
    admin = issue_token(BEFORE, 1, Role.ADMIN, 60)
    await take("GET", "/api/v1/admin/loops", headers={"Authorization": f"Bearer {admin}"})
    for raw in (
        f"GET /api/v1/account HTTP/1.1\r\nAuthorization: Bearer {PLANTED}\x01\r\n\r\n",
        f"GET /?token={PLANTED}\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        f"{PLANTED}\r\n\r\n",
        f"GET / HTTP/1.1\r\nX: {PLANTED * 500}\r\n\r\n",
    ):
        reader, writer = await asyncio.open_connection(LOOPBACK, port)
        writer.write(raw.encode("latin-1"))
        with contextlib.suppress(ConnectionError):
            told.add("an answer to no HTTP", (await reader.read()).decode())
        writer.close()


async def look(client: aiohttp.ClientSession, ops: str, told: Told) -> None:
    for path in ("/metrics", "/readyz?verbose", "/livez"):
        async with client.get(f"{ops}{path}") as answer:
            told.add(path, await answer.text())


async def test_no_secret_is_told(postgres_dsn: str, redis_url: str, tmp_path: Path) -> None:
    told = Told()
    async with (
        http_collector() as collector,
        proxied(postgres_dsn) as (database, database_url),
        proxied(redis_url) as (cache, cache_url),
    ):
        feed_url = f"ws://tape:{FEED}@{LOOPBACK}:{free_port()}/quotes?token={FEED}"
        endpoint = collector.endpoint.replace("://", f"://tape:{COLLECTOR}@")
        env = environment(
            tmp_path / "data",
            DATABASE_URL=database_url,
            REDIS_URL=cache_url,
            JWT_SECRET=SIGNING,
            JWT_PREVIOUS_SECRET=BEFORE,
            FEED="websocket",
            FEED_URL=feed_url,
            TRACE_RATIO=1,
            LOG_LEVEL="DEBUG",
            LOG_LEVEL_WEBSOCKET="DEBUG",
        )
        env["OTEL_EXPORTER_OTLP_ENDPOINT"] = endpoint
        env["OTEL_EXPORTER_OTLP_PROTOCOL"] = "http/protobuf"
        token = issue_token(SIGNING, 1, Role.TRADER, 600)
        service = Service(env, tmp_path / "log")
        port, ops = int(env["TAPEWATCH_PORT"]), f"http://{LOOPBACK}:{env['TAPEWATCH_OPS_PORT']}"
        try:
            await eventually(lambda: "trading under epoch" in service.log or service.has_ended, 60)
            async with aiohttp.ClientSession(f"http://{LOOPBACK}:{port}") as client:
                await ask_badly(client, port, token, told)
                for proxy in (database, cache):
                    await proxy.cut()
                await ask_badly(client, port, token, told)
                await eventually(lambda: "loop revocations failed" in service.log)
                await look(client, ops, told)
                for proxy in (database, cache):
                    await proxy.restore()
                await eventually(lambda: "loop revocations is well again" in service.log)
                await ask_badly(client, port, token, told)
                await look(client, ops, told)
        finally:
            await service.stop()
        told.add("the log", service.log)
        told.add("the spans", _text(collector))
        settings = Settings(
            database_url=SecretStr(database_url),
            redis_url=SecretStr(cache_url),
            jwt_secret=SecretStr(SIGNING),
            jwt_previous_secret=SecretStr(BEFORE),
            feed_url=feed_url,
        ).model_copy(update={"otlp_endpoint": endpoint})
        told.add("the settings", f"{settings!r} {settings} {read_secrets(settings)!r}")
    assert {200, 400, 401, 413, 422, 426, 503} <= told.statuses
    assert collector.named("POST /api/v1/orders")
    assert 500 not in told.statuses, service.log
    assert "feed" in service.log
    secrets = {
        "what a client sent": PLANTED,
        "a token": token,
        "a token's signature": token.rpartition(".")[2],
        "the signing secret": SIGNING,
        "the secret before": BEFORE,
        "the feed's password": FEED,
        "the collector's password": COLLECTOR,
        "the database's password": str(urlsplit(postgres_dsn).password),
        "the cache's password": str(urlsplit(redis_url).password),
    }
    assert all(len(each) > 8 for each in secrets.values())
    assert told.search(secrets) == []


def _text(collector: Collector) -> str:
    return f"{collector.resources}" + "".join(str(span) for span in collector.spans)


@pytest.mark.parametrize("where", ["the log", "an answer"])
def test_a_secret_that_is_told_is_found(where: str) -> None:
    told = Told()
    told.add(where, f"cannot connect with {PLANTED}")
    assert len(told.search({"it": PLANTED, "another": SIGNING})) == 1
