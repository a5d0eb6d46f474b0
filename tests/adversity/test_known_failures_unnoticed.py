"""What has failed in practice without anybody hearing of it, or for a reason nobody would look for.

Each test is named after the failure that it would have caught, and says how that came about. What
other tests catch already is listed in `tests/adversity/test_known_failures.py`.
"""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import NoReturn

import aiohttp
import pytest
import redis.asyncio
from loguru import logger

from service.domain.instrument import UserType
from service.domain.order import OrderType
from service.loops.faults import Faults
from service.loops.portfolio_job import PortfolioJob
from service.loops.prices import PriceBoard
from service.loops.publisher import Publisher
from service.loops.requests import Author
from service.loops.supervisor import Supervisor
from service.storage.cache import Cache
from service.storage.cache_keys import prices_key
from service.storage.database import READ_POOL_SIZE
from service.storage.outbox import Outbox
from service.storage.valuation import Valuation
from tests.adversity.book import check_book, fetch
from tests.adversity.clients import id_of
from tests.adversity.shard import BALANCE, SYMBOL, Shard, open_small_book, opened
from tests.integration.test_gateway import bearer, serve
from tests.support import eventually

ROOT = Path(__file__).parents[2]
LIVE = 1  # an account id
FORGETFUL = """
async def store() -> None: ...

async def test_forgotten() -> None:
    store()
"""


@pytest.fixture
async def cache(redis_url: str, shard: Shard) -> AsyncIterator[Cache]:
    cache = Cache(redis_url, shard.instruments)
    yield cache
    await cache.close()


@pytest.fixture
def log() -> Iterator[list[str]]:
    lines: list[str] = []
    sink = logger.add(lambda line: lines.append(str(line)), format="{level} {message} {exception}")
    yield lines
    logger.remove(sink)


async def test_cutoff_failing_silently(
    postgres_dsn: str, log: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A missing argument raised inside a block that let everything pass: nobody was cut off."""
    await open_small_book(postgres_dsn, 2)
    shard = Shard(postgres_dsn, "one", 3.0)

    def lacks_an_argument(*_: object) -> NoReturn:
        raise TypeError("missing 1 required positional argument")

    faults = Faults(shard.trading, shard.instruments)
    async with Supervisor(shard.instruments, Random()).group() as loops:
        loops.keep("leadership", shard.leadership.run, shard.leadership.pulse)
        await shard.leadership.gained()
        shard.quote(110_000)
        await shard.place(LIVE)
        await shard.fund(LIVE, "-999950.00")
        monkeypatch.setattr("service.domain.judgement.judge_margin", lacks_an_argument)
        shard.quote(100_000)
        assert list(shard.trading.desk.faults) == [LIVE]
        assert await faults.run_once() == 1
        assert any(line.startswith("ERROR") and "missing 1 required" in line for line in log)
        monkeypatch.undo()
        assert opened(shard) == [1]
        shard.quote(100_000)
        await shard.drained()
        assert opened(shard) == []
        assert await fetch(postgres_dsn, "SELECT reason FROM deals WHERE event = 'CLOSE'") == [
            ("STOP_OUT",)
        ]
        await check_book(postgres_dsn, shard)
    await shard.database.close()


async def prices_in(cache: Cache) -> list[str]:
    stored = await cache.groups.stored("plain")
    return [] if stored is None else list(stored.prices or ())


async def shown(board: PriceBoard, cache: Cache) -> None:
    """Show prices, and wait until Redis has them."""
    board.show()
    async with asyncio.timeout(30):
        while await prices_in(cache) != [SYMBOL]:  # noqa: ASYNC110 - a server has no event
            await asyncio.sleep(0.01)


async def test_price_disappearing_because_it_did_not_change(
    shard: Shard, cache: Cache, redis_url: str
) -> None:
    """Only changed prices were written, with an expiry: a quiet symbol could not be traded."""
    board = PriceBoard(lambda: shard.desk, cache, shard.instruments)
    job = PortfolioJob(lambda: shard.desk, cache, shard.reader, shard.instruments, 60.0)
    writing = asyncio.create_task(board.write())
    position = await shard.place(LIVE)
    await shown(board, cache)
    client = redis.asyncio.Redis.from_url(redis_url)
    await client.delete(prices_key("plain"))  # as its expiry does
    await client.aclose()
    # All goes on without it...
    pending = await shard.place(LIVE, OrderType.BUY_LIMIT, 109_500, stop_loss=109_000)
    assert await job.run_once() == 1
    valued: Valuation = (await cache.valuations([LIVE]))[LIVE]
    assert (valued.positions, valued.unpriced) == (1, [])
    # ... and a quote that is the same as before brings it back.
    shard.quote(110_000)
    await shown(board, cache)
    writing.cancel()
    await asyncio.wait((writing,))
    shard.quote(109_400)
    await shard.drained()
    assert opened(shard) == [id_of(position), id_of(pending)]


async def test_ids_taken_for_numbers(shard: Shard, cache: Cache) -> None:
    """Whatever looked like a number came back from the cache as one: 1e3, 0017, and long ids."""
    dsn, account_id = shard.database.dsn, 2**53 + 1  # the first whole number that no float can be
    publisher = Publisher(cache, Outbox(shard.database), shard.instruments)
    shard.trading.written_hooks.append(publisher.publish)
    publishing = asyncio.create_task(publisher.run())
    await shard.administration.create_account(
        account_id, UserType.DEMO, "gold", Decimal(100), Decimal("1000.00"), Author("7")
    )
    ticket = await cache.open_fill([account_id])
    stored = await shard.reader.live_orders([account_id])
    assert await cache.fill_static_orders(ticket, list(stored.values())) == 1
    shard.desk.next_order_id = first = 140_000_000_000_001
    names = ["1e3", "1000", "0017", "1.10", "NaN", "inf", "١٢"]
    for name in names:
        await shard.place(account_id, OrderType.BUY_LIMIT, 109_500, client_order_id=name)
        await shard.fund(LIVE, "1.00", key=name)  # each key is one of its own
    await shard.drained()
    await eventually(lambda: publisher.is_idle)
    cached = (await cache.static_orders([account_id]))[account_id]
    stored = await shard.reader.live_orders([account_id])
    assert cached == stored[account_id]
    assert cached[0].account_id == account_id
    assert [(each.order_id, each.client_order_id) for each in cached[1]] == [
        (first + number, name) for number, name in enumerate(names)
    ]
    assert shard.desk.accounts[LIVE].balance == BALANCE + len(names)
    publishing.cancel()
    await asyncio.wait((publishing,))
    await check_book(dsn, shard)


def test_coroutine_that_nobody_awaits(tmp_path: Path) -> None:
    """A coroutine was stored in place of a margin; the suite must fail of one."""
    forgetful = tmp_path / "test_forgetful.py"
    forgetful.write_text(FORGETFUL)
    arguments = ("-q", "-p", "no:cacheprovider", "-c", str(ROOT / "pyproject.toml"))
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *arguments, f"--rootdir={tmp_path}", str(forgetful)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == pytest.ExitCode.TESTS_FAILED, run.stdout + run.stderr
    assert "coroutine 'store' was never awaited" in run.stdout


async def test_database_connection_held_for_the_life_of_a_socket(
    postgres_dsn: str, redis_url: str
) -> None:
    """Each socket kept the connection of the request it began with, until there were none left."""
    accounts = range(1, 3 * READ_POOL_SIZE)
    await open_small_book(postgres_dsn, len(accounts))
    async with serve(postgres_dsn, redis_url) as client:
        client.quote(110_000, 110_010)
        sockets: list[aiohttp.ClientWebSocketResponse] = []
        for account_id in accounts:
            headers = bearer(account_id)
            socket = await client.session.ws_connect("/api/v1/stream", headers=headers)
            assert (await socket.receive_json())["type"] == "snapshot"
            sockets.append(socket)
        answers = await asyncio.gather(
            *(client.call("GET", "/account/ledger", account_id=each) for each in accounts)
        )
        assert {status for status, _ in answers} == {200}
        for socket in sockets:
            await socket.close()
