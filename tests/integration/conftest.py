"""What more than one of these modules needs."""

from collections.abc import AsyncIterator, Iterator

import pytest
from redis.asyncio import Redis

from service.instruments import Instruments
from service.servers import Servers
from service.storage.cache import Cache
from service.storage.embedded import EmbeddedPostgres
from service.storage.replays import DATABASE
from tests.adversity.book import execute
from tests.faultproxy import FaultProxy
from tests.proxied import in_front_of
from tests.service_process import Service


@pytest.fixture
async def servers(postgres_server: EmbeddedPostgres, redis_url: str) -> AsyncIterator[Servers]:
    """The run's servers, without a replay database before and after the test."""
    drop = f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)"
    await execute(postgres_server.dsn, drop)
    yield Servers(postgres_server.dsn, redis_url)
    await execute(postgres_server.dsn, drop)


@pytest.fixture
def services() -> Iterator[list[Service]]:
    """Services that are killed at the end of a test, if it has not stopped them."""
    services: list[Service] = []
    yield services
    for service in services:
        service.kill()


@pytest.fixture
def instruments() -> Instruments:
    return Instruments()


@pytest.fixture
async def cache(redis_url: str, instruments: Instruments) -> AsyncIterator[Cache]:
    cache = Cache(redis_url, instruments)
    yield cache
    await cache.close()


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    """A client that looks, and tampers, behind the service's back."""
    client = Redis.from_url(redis_url)
    yield client
    await client.aclose()


@pytest.fixture
async def redis_proxy(redis_url: str) -> AsyncIterator[FaultProxy]:
    """A proxy in front of the run's Valkey."""
    async with in_front_of(redis_url) as proxy:
        yield proxy


@pytest.fixture
async def postgres_proxy(postgres_dsn: str) -> AsyncIterator[FaultProxy]:
    """A proxy in front of the test's database."""
    async with in_front_of(postgres_dsn) as proxy:
        yield proxy
