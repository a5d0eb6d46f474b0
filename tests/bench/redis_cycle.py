"""(m) A cycle of the portfolio job, against bare clients that ask Redis the same.

Measured: one run of `PortfolioJob` for 10,000 accounts of five positions in 20 groups, which finds
all of them in the cache, on one event loop (uvloop): its time, and the CPU time of this process.

Against, on the same Valkey, the very commands that a run of the job has sent, in its pipelines, one
after the other, by clients that know no accounts:

- `redis-py`: the pipelines of its asyncio client, which parses by hiredis;
- `redis-py, decoding`: the same, and msgspec decodes all JSON that was read;
- `bare socket`: packed beforehand, written to a stream, the replies parsed by hiredis and dropped.
  Nothing that reads all of this in Python takes less.

They take turns, another one first each round.

Target: at most 1.5 times redis-py.
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
from tests.bench.redis_clients import BareConnection, ask, decode, packed, recorded
from tests.bench.report import Report, turns
from tests.bench.server import bench_postgres

ACCOUNTS = 10_000
ROUNDS = 11
MAX_RATIO = 1.5
JOB, REDIS_PY, DECODING, SOCKET = "job", "redis-py", "redis-py, decoding", "bare socket"
CLIENTS = (JOB, REDIS_PY, DECODING, SOCKET)


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
        await show_prices(product)
        job = job_of(product)
        with recorded() as asked:
            assert await job.run_once() == accounts
        assert sum(map(len, asked)) > 2 * accounts, "each is read and written"
        raw = packed(asked)

        async def cycle() -> None:
            assert await job.run_once() == accounts

        async def ask_and_decode() -> None:
            assert decode(await ask(client, asked)) > orders

        works: dict[str, Callable[[], Awaitable[object]]] = {
            JOB: cycle,
            REDIS_PY: lambda: ask(client, asked),
            DECODING: ask_and_decode,
            SOCKET: lambda: bare.send(raw),
        }
        total = (rounds + 1) * len(CLIENTS)
        for number, name in tqdm(turns(CLIENTS, rounds + 1), total=total, leave=False):
            await show_prices(product)
            cost = await measure(product, works[name])
            if number:
                report.add(f"{name}, ms", cost.seconds * 1e3)
                report.add(f"{name}: CPU, ms", cost.cpu_s * 1e3)
    _conclude(report)


def _conclude(report: Report) -> None:
    for name in CLIENTS:
        report.figure(f"a cycle: {name}", report.rounds[f"{name}, ms"], "ms")
        report.figure(f"a cycle: {name}: CPU", report.rounds[f"{name}: CPU, ms"], "ms")
    for name in (REDIS_PY, DECODING, SOCKET):
        at_most = MAX_RATIO if name == REDIS_PY else None
        report.ratio(f"a cycle, job : {name}", f"{JOB}, ms", f"{name}, ms", at_most=at_most)
        report.ratio(f"CPU, job : {name}", f"{JOB}: CPU, ms", f"{name}: CPU, ms")
