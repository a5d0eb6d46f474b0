"""The connection pools of both stores, and what Redis says of itself, on real servers."""

import asyncio

import pytest

from service.instruments import Instruments
from service.storage import database
from service.storage.cache import Cache
from service.storage.database import Database
from service.storage.errors import Unreachable
from service.storage.redis_state import redis_state_from
from telemetry.metrics import Metrics
from tests.support import POLL_S, free_port
from tests.unit.telemetry.test_metrics import samples

WAITERS = "db_client_connection_pending_requests{{db_system_name={}}}"


def pool(metrics: Metrics, system: str) -> dict[str, float]:
    """Return what is exported of a pool, by name and state."""
    found = samples(metrics)
    names = {
        "used": f"db_client_connections_usage{{db_system_name={system},state=used}}",
        "idle": f"db_client_connections_usage{{db_system_name={system},state=idle}}",
        "max": f"db_client_connection_max{{db_system_name={system}}}",
        "waiters": WAITERS.format(system),
        "timeouts": f"db_client_connection_timeouts_total{{db_system_name={system}}}",
        "waits": f"db_client_connection_wait_time_seconds_count{{db_system_name={system}}}",
        "uses": f"db_client_connection_use_time_seconds_count{{db_system_name={system}}}",
    }
    return {short: found[name] for short, name in names.items()}


async def use(store: Database) -> None:
    async with store.read("ping"):
        pass


async def test_the_databases_pool_is_seen_filling_waited_for_and_emptied(
    postgres_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    instruments = Instruments()
    metrics = instruments.metrics
    store = Database(postgres_dsn, instruments)
    size = database.READ_POOL_SIZE
    assert pool(metrics, "postgresql") == dict.fromkeys(
        ("used", "idle", "waiters", "timeouts", "waits", "uses"), 0
    ) | {"max": size}
    held = [store.read("ping") for _ in range(size)]
    for each in held:
        await each.__aenter__()
    try:
        full = pool(metrics, "postgresql")
        assert (full["used"], full["idle"], full["waits"], full["uses"]) == (size, 0, size, 0)
        waiter = asyncio.create_task(use(store))
        while not samples(metrics)[WAITERS.format("postgresql")]:  # noqa: ASYNC110 - a gauge has no event
            await asyncio.sleep(POLL_S)
        await held.pop().__aexit__(None, None, None)
        await waiter
        monkeypatch.setattr(database, "ACQUIRE_TIMEOUT_S", 0.05)
        held.append(store.read("ping"))
        await held[-1].__aenter__()
        with pytest.raises(Unreachable):
            await use(store)
        await store.ping()  # a busy pool is no dead server
    finally:
        for each in held:
            await each.__aexit__(None, None, None)
    done = pool(metrics, "postgresql")
    assert (done["used"], done["idle"], done["waiters"]) == (0, size, 0)
    assert (done["timeouts"], done["waits"], done["uses"]) == (1, size + 3, size + 2)
    await store.close()


async def test_the_pool_of_redis_is_seen(redis_url: str) -> None:
    instruments = Instruments()
    cache = Cache(redis_url, instruments)
    try:
        assert await cache.ping()
        assert await cache.ping()
        seen = pool(instruments.metrics, "redis")
        assert (seen["used"], seen["idle"], seen["waiters"], seen["timeouts"]) == (0, 1, 0, 0)
        assert (seen["waits"], seen["uses"]) == (2, 2)
    finally:
        await cache.close()


async def test_a_redis_that_is_away_is_waited_for_in_vain() -> None:
    instruments = Instruments()
    cache = Cache(f"redis://127.0.0.1:{free_port()}", instruments)
    try:
        assert await cache.state() is None
        seen = pool(instruments.metrics, "redis")
        assert (seen["timeouts"], seen["waits"], seen["uses"]) == (1, 1, 0)
    finally:
        await cache.close()


async def test_redis_says_how_it_is(redis_url: str) -> None:
    instruments = Instruments()
    cache = Cache(redis_url, instruments)
    try:
        before = await cache.state()
        await cache.static_orders([1, 2, 3])
        after = await cache.state()
        assert before is not None
        assert after is not None
        assert after.memory_used > 100_000
        assert after.clients >= 1
        assert after.keyspace_misses == before.keyspace_misses + 3
        instruments.redis_state(*after)
        found = samples(instruments.metrics)
        assert found["tapewatch_redis_memory_used_bytes{}"] == after.memory_used
        assert found["tapewatch_redis_keyspace_misses_total{}"] == after.keyspace_misses
        assert found["tapewatch_redis_clients{}"] == after.clients
    finally:
        await cache.close()


def test_an_info_that_lacks_a_field_is_refused() -> None:
    with pytest.raises(ValueError, match="no field 'maxmemory'"):
        redis_state_from(b"# Memory\r\nused_memory:12\r\n")
