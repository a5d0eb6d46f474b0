"""Processes come, stop and die at random while clients ask: each shard is traded by one at most.

And what a client was told is so: done once, whoever was asked, and however often.
"""

import asyncio
import time
from contextlib import AsyncExitStack, suppress
from random import Random

import pytest

from service.domain.order import OrderType
from service.loops.answers import Unavailable
from tests.adversity.book import check_book, fetch
from tests.adversity.hosts import Host, are_shared, process, traded_by_two
from tests.adversity.shard import Resting, open_small_book
from tests.support import eventually

SHARDS = 5
ACCOUNTS = 15
LEASE_S = 1.0
EVENTS = 10
MOST = 4
RESTING = [
    Resting(1 + number % ACCOUNTS, OrderType.BUY_LIMIT, 109_000 + 10 * number)
    for number in range(90)
]


class World:
    """The processes there are, and clients that ask any of them."""

    def __init__(self, dsn: str, redis_url: str, seed: int) -> None:
        self._dsn = dsn
        self._redis_url = redis_url
        self.random = Random(seed)
        self.hosts: list[Host] = []
        self._lives: dict[Host, AsyncExitStack] = {}
        self._count = 0
        self.done: set[tuple[int, str]] = set()

    async def join(self) -> None:
        self._count += 1
        life = AsyncExitStack()
        joining = process(
            self._dsn, self._redis_url, f"p{self._count}", shards=SHARDS, lease_s=LEASE_S
        )
        host = await life.enter_async_context(joining)
        self.hosts.append(host)
        self._lives[host] = life

    async def leave(self, *, gracefully: bool) -> None:
        host = self.random.choice(self.hosts)
        self.hosts.remove(host)
        if gracefully:
            await host.host.stop()
        await self._lives.pop(host).aclose()

    async def happen(self) -> None:
        """Let something happen: at least one stays, and there are never many."""
        what = self.random.random()
        if len(self.hosts) < 2 or (what < 0.5 and len(self.hosts) < MOST):
            await self.join()
        else:
            await self.leave(gracefully=what < 0.75)

    async def ask(self, number: int) -> None:
        """Deposit a dollar, of every process until one has done it, then once more of all."""
        account_id, key = 1 + number % ACCOUNTS, f"k{number}"
        while (account_id, key) not in self.done:
            for host in list(self.hosts):
                with suppress(Unavailable):
                    await host.fund(account_id, key)
                    self.done.add((account_id, key))
            await asyncio.sleep(0.01)

    async def clients(self) -> None:
        number = 0
        while True:
            await asyncio.gather(*(self.ask(number + each) for each in range(ACCOUNTS)))
            number += ACCOUNTS

    async def market(self) -> None:
        began = time.monotonic()
        while True:
            bid = 110_000 - int(60 * (time.monotonic() - began))
            for host in self.hosts:
                host.quote(bid)
            await asyncio.sleep(0.02)

    async def end(self) -> None:
        for host in list(self.hosts):
            await self._lives.pop(host).aclose()


@pytest.mark.parametrize("seed", [1])
async def test_whoever_comes_and_goes_each_shard_is_traded_by_one(
    postgres_dsn: str, redis_url: str, seed: int
) -> None:
    await open_small_book(postgres_dsn, ACCOUNTS, RESTING)
    world = World(postgres_dsn, redis_url, seed)
    await world.join()
    always = [
        asyncio.create_task(each)
        for each in (traded_by_two(world.hosts), world.clients(), world.market())
    ]
    try:
        for _ in range(EVENTS):
            await world.happen()
            await asyncio.sleep(world.random.uniform(0, 1.5 * LEASE_S))
        await eventually(lambda: are_shared(*world.hosts))
        for each in always:
            assert not each.done(), each.exception()
    finally:
        for each in always:
            each.cancel()
        await asyncio.wait(always)
        await world.end()
    stored = await fetch(postgres_dsn, "SELECT account_id, key FROM commands")
    assert world.done <= {(account_id, key) for account_id, key in stored}
    funded = "SELECT account_id, count(*) FROM ledger WHERE amount = 1 GROUP BY account_id"
    assert sum(count for _, count in await fetch(postgres_dsn, funded)) == len(stored)
    assert len(world.done) > ACCOUNTS
    twice = "SELECT count(*) FROM (SELECT order_id FROM deals GROUP BY 1 HAVING count(*) > 1) t"
    assert await fetch(postgres_dsn, twice) == [(0,)]
    await check_book(postgres_dsn)
