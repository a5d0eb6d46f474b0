"""A service of its own process on a big book, and `tapewatch load` on it from another."""

import asyncio
import subprocess
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec
from tqdm import tqdm

from service.load.figures import Figures as LoadFigures
from service.storage.server_process import LOOPBACK
from tests.bench.brokerage import accounts_for, desk_with_settings, opening_of, resting_orders, seat
from tests.bench.claims_cpu import SERVERS, servers_cpu_s
from tests.bench.server import store_book
from tests.service_process import COMMAND, ROOT, Service, environment
from tests.support import eventually, free_port

SECRET = "signs the tokens of the end-to-end benchmark"
LOAD_TIMEOUT_S = 300.0
POSTGRES, VALKEY = SERVERS


class Scale(NamedTuple):
    """How much, and how long."""

    orders: int = 100_000
    sockets: int = 500
    commands: int = 100
    burst: int = 20
    rates: tuple[int, ...] = (1_000, 2_000, 5_000, 10_000, 15_000, 20_000, 25_000, 30_000)
    seconds: int = 20
    bare_rounds: int = 300


class Found(NamedTuple):
    """What a load found: its intervals, the whole, and the cores that the servers took."""

    intervals: Sequence[LoadFigures]
    total: LoadFigures
    servers: Mapping[str, float]


@asynccontextmanager
async def loaded_service(
    dsn: str, redis_url: str, folder: Path, scale: Scale
) -> AsyncIterator[Service]:
    """Run the service on a book of so many orders."""
    desk = desk_with_settings()
    seat(desk, accounts_for(scale.orders))
    with tqdm(resting_orders(desk, scale.orders), "storing orders", leave=False) as orders:
        await store_book(dsn, opening_of(desk, scale.orders, iter(orders)))
    settings = environment(
        folder / "data",
        DATABASE_URL=dsn,
        REDIS_URL=redis_url,
        JWT_SECRET=SECRET,
        FEED="websocket",
        FEED_URL=f"ws://{LOOPBACK}:{free_port()}",
    )
    service = Service(settings, folder / "service.log", "serve")
    try:
        await eventually(lambda: service.status("/livez") == 200 or service.has_ended)
        assert not service.has_ended, service.log
        yield service
    finally:
        if not service.has_ended:
            await service.stop()


@asynccontextmanager
async def loading(
    service: Service, scale: Scale, rate: int
) -> AsyncIterator[AsyncIterator[LoadFigures]]:
    """Put a load on the service; yield what it tells, interval by interval and then the whole.

    Raises:
        RuntimeError: the load failed.
    """
    options = {
        "--ticks": rate,
        "--commands": scale.commands,
        "--sockets": scale.sockets,
        "--accounts": f"1-{scale.sockets}",
        "--burst": scale.burst,
        "--seconds": scale.seconds,
    }
    arguments = [str(each) for option in options.items() for each in option]
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        "load",
        *arguments,
        "--json",
        cwd=ROOT,
        env=service.environment,
        stdout=subprocess.PIPE,
    )

    async def told() -> AsyncIterator[LoadFigures]:
        assert process.stdout is not None
        while line := await process.stdout.readline():
            yield msgspec.json.decode(line, type=LoadFigures)
        await process.wait()
        if process.returncode:
            log = service.log[-2_000:]
            raise RuntimeError(f"the load at {rate:,} ticks/s failed: see above\n{log}")

    try:
        yield told()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def load(service: Service, scale: Scale, rate: int) -> Found:
    """Put a load on the service to its end, and watch what the servers take meanwhile."""
    figures: list[LoadFigures] = []
    cpu = []
    async with loading(service, scale, rate) as told, asyncio.timeout(LOAD_TIMEOUT_S):
        async for each in told:
            figures.append(each)
            cpu.append({name: servers_cpu_s((name,)) for name in SERVERS})
    *intervals, total = figures
    # From the end of the first interval to that of the last.
    seconds = sum(each.seconds for each in intervals[1:])
    servers = {
        name: (cpu[-2][name] - cpu[0][name]) / seconds if seconds else 0.0 for name in SERVERS
    }
    return Found(intervals, total, servers)
