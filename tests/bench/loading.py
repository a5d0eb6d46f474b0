"""(c) A start with 1 million resting orders: memory, load time and the worst pause after it.

Measured, each round in a fresh process as after a restart: the resident memory of a process that
has loaded 1 million resting orders (most with SL or TP, all with a client order id) of 200,000
accounts, and how long `load_engine` takes from PostgreSQL, its data in the page cache. Then 10 s of
ticks that trigger nothing, 10,000 a second, while a sampler that wants to run every millisecond
notes how late it is: the worst pause of the event loop, with what was loaded frozen out of the
garbage collector.

Against: `bare read`, fetching the same rows and dropping them, in a process of its own; a loop
without any orders under the same ticks, for what the machine alone does to the sampler; and the
same loaded process unfrozen, where a full collection has all orders to look at.

Targets: 700 MB and 15 s. The pause is told beside its two neighbours.
"""

import asyncio
import os
import sys

import msgspec
import uvloop
from tqdm import tqdm

from tests.bench.brokerage import accounts_for, desk_with_settings, opening_of, resting_orders, seat
from tests.bench.loading_process import Task
from tests.bench.report import Report, turns
from tests.bench.server import bench_postgres, store_book
from tests.support import fresh_database

ORDERS = 1_000_000
ROUNDS = 3
MAX_RESIDENT_MB = 700
MAX_LOAD_S = 15
PROCESS_TIMEOUT_S = 600.0


def run(report: Report) -> None:
    """Store the book, then load it again and again."""
    uvloop.run(_run(report))


async def _run(report: Report) -> None:
    async with bench_postgres() as server, fresh_database(server) as dsn:
        await _store(dsn)
        tasks = tqdm(turns(tuple(Task), ROUNDS), total=ROUNDS * len(Task), leave=False)
        for _, task in tasks:
            tasks.set_description(task)
            for name, value in (await _in_fresh_process(task, dsn)).items():
                report.add(f"{task}: {name}", value)
    _conclude(report)


async def _store(dsn: str) -> None:
    desk = desk_with_settings()
    seat(desk, accounts_for(ORDERS))
    orders = resting_orders(desk, ORDERS)
    with tqdm(orders, "storing orders", ORDERS, unit="order", leave=False) as counted:
        await store_book(dsn, opening_of(desk, ORDERS, iter(counted)))


async def _in_fresh_process(task: Task, dsn: str) -> dict[str, float]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.bench.loading_process",
        task,
        dsn,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(PROCESS_TIMEOUT_S):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != os.EX_OK:
        raise RuntimeError(f"the process of {task!r} failed: see above")
    return msgspec.json.decode(output, type=dict[str, float])


def _conclude(report: Report) -> None:
    rounds = report.rounds
    load, bare, empty = Task.LOAD, Task.BARE_READ, Task.NO_ORDERS
    report.figure("resident memory", rounds[f"{load}: resident, MB"], "MB", at_most=MAX_RESIDENT_MB)
    report.figure("resident before loading", rounds[f"{load}: resident before, MB"], "MB")
    report.figure("peak while loading", rounds[f"{load}: peak, MB"], "MB")
    report.figure("load time", rounds[f"{load}: load, s"], "s", at_most=MAX_LOAD_S)
    report.figure("bare read of the rows", rounds[f"{bare}: read, s"], "s")
    report.ratio("load time : bare read", f"{load}: load, s", f"{bare}: read, s")
    report.figure("worst pause, frozen", rounds[f"{load}: frozen: worst pause, ms"], "ms")
    report.figure("worst pause, no orders", rounds[f"{empty}: worst pause, ms"], "ms")
    report.figure("worst pause, unfrozen", rounds[f"{load}: unfrozen: worst pause, ms"], "ms")
    for state in ("frozen", "unfrozen"):
        series = f"{load}: {state}: full collection, ms"
        report.figure(f"full collection, {state}", rounds[series], "ms")
