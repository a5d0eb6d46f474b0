"""(m) A cycle of the portfolio job, against bare clients that ask Redis the same.

Measured: one run of `PortfolioJob` for 10,000 accounts of five positions in 20 groups, all of them
in the cache, on one event loop (uvloop): its time, and the CPU time of this process. In `a cycle`
nobody has dealt since the last one: the job asks of each account whether that is so. In `a first
cycle`, of a job that was just made, it reads and decodes what all of them hold.

Against, on the same Valkey, the very commands that such a run of the job sends, in its pipelines,
one after the other, by clients that know no accounts:

- `redis-py`: the pipelines of its asyncio client, which parses by hiredis;
- `redis-py, decoding`: the same, and msgspec decodes all JSON that was read;
- `bare socket`: packed beforehand, written to a stream, the replies parsed by hiredis and dropped.
  Nothing that reads all of this in Python takes less.

They take turns, another one first each round.

Target: a cycle takes at most 1.5 times redis-py.
"""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import uvloop
from redis.asyncio import Redis
from tqdm import tqdm

from tests.bench.brokerage import ORDERS_PER_ACCOUNT
from tests.bench.claims_book import spread_positions
from tests.bench.claims_contenders import Name, Servers, contenders, measure
from tests.bench.claims_portfolios import job_of, show_prices
from tests.bench.redis_clients import (
    BareConnection,
    Pipelines,
    ask,
    decode,
    packed,
    recorded,
)
from tests.bench.report import Report, turns
from tests.bench.server import bench_postgres

ACCOUNTS = 10_000
ROUNDS = 9
MAX_RATIO = 1.5
CYCLE, FIRST = "a cycle", "a first cycle"
JOB, REDIS_PY, DECODING, SOCKET = "job", "redis-py", "redis-py, decoding", "bare socket"
CLIENTS = (JOB, REDIS_PY, DECODING, SOCKET)

Work = Callable[[], Awaitable[object]]


def run(report: Report) -> None:
    """Measure the job and the clients in turns."""
    uvloop.run(_run(report))


async def _run(report: Report) -> None:
    with TemporaryDirectory(prefix="bench-") as name:
        async with bench_postgres() as postgres, Servers.on(postgres, Path(name)) as servers:
            await measure_cycles(servers, report, ACCOUNTS, ROUNDS)


async def measure_cycles(servers: Servers, report: Report, accounts: int, rounds: int) -> None:
    """Measure so many rounds, after one to warm up, and draw the figures."""
    orders = accounts * ORDERS_PER_ACCOUNT
    url = servers.redis_urls[Name.PRODUCT]
    async with AsyncExitStack() as stack:
        book = contenders(
            servers, orders, lambda desk: spread_positions(desk, orders), (Name.PRODUCT,)
        )
        product = (await stack.enter_async_context(book)).product
        client = await stack.enter_async_context(Redis.from_url(url, protocol=3))
        bare = await stack.enter_async_context(BareConnection.to(url))
        await product.fill_cache(list(product.trading.desk.accounts))
        works: dict[tuple[str, str], Work] = {}
        job = job_of(product)
        for cycle in (FIRST, CYCLE):
            await show_prices(product)
            with recorded() as asked:
                assert await job.run_once() == accounts
            assert sum(map(len, asked)) > 2 * accounts, "each is asked for and written"
            run_once = job.run_once if cycle == CYCLE else lambda: job_of(product).run_once()
            assert cycle == CYCLE or decode(await ask(client, asked)) > orders, "each is read"
            works |= {(cycle, name): work for name, work in _clients(asked, client, bare).items()}
            works[cycle, JOB] = run_once
        total = (rounds + 1) * len(works)
        for number, each in tqdm(turns(tuple(works), rounds + 1), total=total, leave=False):
            await show_prices(product)
            cost = await measure(product, works[each])
            if number:
                report.add(f"{_series(*each)}, ms", cost.seconds * 1e3)
                report.add(f"{_series(*each)}: CPU, ms", cost.cpu_s * 1e3)
    for cycle in (CYCLE, FIRST):
        _conclude(report, cycle)


def _clients(asked: Pipelines, client: Redis, bare: BareConnection) -> dict[str, Work]:
    """Return what asks the same."""
    raw = packed(asked)

    async def ask_and_decode() -> None:
        assert decode(await ask(client, asked))

    return {
        REDIS_PY: lambda: ask(client, asked),
        DECODING: ask_and_decode,
        SOCKET: lambda: bare.send(raw),
    }


def _series(cycle: str, name: str) -> str:
    return f"{cycle}: {name}"


def _conclude(report: Report, cycle: str) -> None:
    for name in CLIENTS:
        series = _series(cycle, name)
        report.figure(series, report.rounds[f"{series}, ms"], "ms")
        report.figure(f"{series}: CPU", report.rounds[f"{series}: CPU, ms"], "ms")
    job = _series(cycle, JOB)
    for name in (REDIS_PY, DECODING, SOCKET):
        other = _series(cycle, name)
        at_most = MAX_RATIO if (cycle, name) == (CYCLE, REDIS_PY) else None
        report.ratio(f"{cycle}, job : {name}", f"{job}, ms", f"{other}, ms", at_most=at_most)
        report.ratio(f"{cycle}, job : {name}, CPU", f"{job}: CPU, ms", f"{other}: CPU, ms")
