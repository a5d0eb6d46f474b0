"""A running service leaves no key in Redis that does not expire (R10.6)."""

import asyncio
import os
import re
from pathlib import Path

import redis.asyncio

from service.storage.cache_keys import KEYS, CacheKey
from tests.service_process import START_TIMEOUT_S, Service, environment

# What processes tell each other is not told by one.
OF_ONE_PROCESS = {key for key in KEYS if key.pattern.startswith(("{acct:", "{group:"))}


def key_of(name: str) -> CacheKey | None:
    """Return the kind of a key, by its name."""
    kind = re.sub(r"^\{acct:\d+\}", "{acct:17}", name)
    kind = re.sub(r"^\{group:[^}]+\}", "{group:gold}", kind)
    return next((key for key in KEYS if key.pattern == kind), None)


async def test_every_key_of_a_running_service_expires(
    postgres_dsn: str, redis_url: str, tmp_path: Path
) -> None:
    chosen = environment(
        tmp_path,
        DATABASE_URL=postgres_dsn,
        REDIS_URL=redis_url,
        FEED_RATE=200,
        PORTFOLIO_INTERVAL_S=0.5,
        CACHE_AUDIT_INTERVAL_S=0.5,
    )
    service = Service(chosen, tmp_path / "log")
    client = redis.asyncio.Redis.from_url(redis_url)
    try:
        await service.ready()
        seen: set[CacheKey] = set()
        async with asyncio.timeout(START_TIMEOUT_S):
            while seen < OF_ONE_PROCESS:
                async for name in client.scan_iter(count=1_000):
                    key, ttl = key_of(name.decode()), await client.ttl(name)
                    assert key is not None, name
                    # -2: it has expired since it was listed.
                    assert ttl == -2 or 0 <= ttl <= key.expiry_s + key.spread_s, (name, ttl)
                    seen.add(key)
                await asyncio.sleep(0.05)
    finally:
        await client.aclose()
        await service.stop()
    assert service.process.returncode == os.EX_OK, service.log
