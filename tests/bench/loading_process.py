"""A fresh process for the loading benchmark: does one task and prints what it measured as JSON.

Run as `python -m tests.bench.loading_process TASK DSN`.
"""

import asyncio
import gc
import sys
import time
from enum import StrEnum
from itertools import cycle

import asyncpg
import msgspec
import uvloop

from service.domain.desk import Desk
from service.domain.engine import Engine
from service.domain.quote import Quote, QuoteGuard
from service.storage.loader import load_engine, load_settings
from service.storage.rows import ORDER_SELECT
from tests.bench.brokerage import quiet_quotes
from tests.bench.machine import resident_mb

TICKS_PER_S = 10_000
TICKING_S = 10.0
SAMPLE_S = 0.001
FETCH_ROWS = 5_000
_LIVE = f"SELECT {ORDER_SELECT} FROM orders WHERE status IN ('PENDING', 'OPEN')"
_ACCOUNTS = "SELECT account_id, user_type, group_name, leverage, balance, sequence FROM accounts"

Measured = dict[str, float]


class Task(StrEnum):
    LOAD = "load"
    BARE_READ = "bare read"
    NO_ORDERS = "no orders"


async def load(dsn: str) -> Measured:
    """Load all, then tick: frozen as in production, then unfrozen."""
    engine = Engine(Desk(), QuoteGuard())
    before_mb = resident_mb()
    connection = await asyncpg.connect(dsn)
    started = time.perf_counter()
    await load_engine(connection, engine)
    load_s = time.perf_counter() - started
    await connection.close()
    measured = {
        "orders": len(engine.desk.orders),
        "load, s": load_s,
        "resident before, MB": before_mb,
        "resident, MB": resident_mb(),
        "peak, MB": resident_mb("VmHWM"),
        "frozen: worst pause, ms": await worst_pause_ms(engine),
        "frozen: full collection, ms": full_collection_ms(),
    }
    gc.unfreeze()
    measured["unfrozen: worst pause, ms"] = await worst_pause_ms(engine)
    measured["unfrozen: full collection, ms"] = full_collection_ms()
    return measured


async def bare_read(dsn: str) -> Measured:
    """Fetch the rows that loading fetches, in the same portions, and drop them."""
    connection = await asyncpg.connect(dsn)
    rows = 0
    started = time.perf_counter()
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        for statement in (_ACCOUNTS, _LIVE):
            cursor = await connection.cursor(statement)
            while fetched := await cursor.fetch(FETCH_ROWS):
                rows += len(fetched)
    seconds = time.perf_counter() - started
    await connection.close()
    return {"rows": rows, "read, s": seconds}


async def no_orders(dsn: str) -> Measured:
    """Tick without orders or accounts."""
    engine = Engine(Desk(), QuoteGuard())
    connection = await asyncpg.connect(dsn)
    await load_settings(connection, engine.desk)
    await connection.close()
    gc.freeze()
    return {"resident, MB": resident_mb(), "worst pause, ms": await worst_pause_ms(engine)}


async def worst_pause_ms(engine: Engine) -> float:
    """Return how late the sampler was at worst while ticks came, in ms."""
    ticking = asyncio.create_task(_tick(engine))
    clock, worst = time.perf_counter, 0.0
    while not ticking.done():
        due = clock() + SAMPLE_S
        await asyncio.sleep(SAMPLE_S)
        worst = max(worst, clock() - due)
    await ticking
    return worst * 1e3


async def _tick(engine: Engine) -> None:
    """Feed what is due whenever the loop lets us; each quote is a new object, as a feed's is."""
    recorded = cycle(quiet_quotes(TICKS_PER_S, 0, seed=1))
    on_quote, fed = engine.on_quote, 0
    started = time.perf_counter()
    while (elapsed := time.perf_counter() - started) < TICKING_S:
        now = time.time_ns()
        while fed < elapsed * TICKS_PER_S:
            symbol, bid, ask, _ = next(recorded)
            assert not on_quote(Quote(symbol, bid, ask, now), now)
            fed += 1
        await asyncio.sleep(SAMPLE_S)


def full_collection_ms() -> float:
    """Return how long the garbage collector takes to look at everything, in ms."""
    started = time.perf_counter()
    gc.collect()
    return (time.perf_counter() - started) * 1e3


TASKS = {Task.LOAD: load, Task.BARE_READ: bare_read, Task.NO_ORDERS: no_orders}

if __name__ == "__main__":
    task, dsn = sys.argv[1:]
    print(msgspec.json.encode(uvloop.run(TASKS[Task(task)](dsn))).decode())
