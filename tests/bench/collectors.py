"""Collectors of traces in a process of their own: one that works, and three that do not.

Run as `python -m tests.bench.collectors`. It prints their addresses as JSON, and ends with its
stdin. All speak OTLP over gRPC; nothing listens where `refused` points to.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec

from tests.bench.processes import answer, process
from tests.otlp import HOST, grpc_collector, hanging_collector
from tests.support import free_port

SLOW_S = 1.0


class Endpoints(msgspec.Struct, frozen=True):
    """Where the collectors are.

    Attributes:
        slow: answers after `SLOW_S`.
        hanging: takes connections and whatever is sent, and never answers.
    """

    healthy: str
    slow: str
    hanging: str
    refused: str


@asynccontextmanager
async def collectors() -> AsyncIterator[Endpoints]:
    """Run the collectors in a process of their own."""
    async with process("tests.bench.collectors") as serving:
        yield msgspec.json.decode(await answer(serving), type=Endpoints)


async def _serve() -> None:
    async with (
        grpc_collector() as healthy,
        grpc_collector(SLOW_S) as slow,
        hanging_collector() as hanging,
    ):
        endpoints = Endpoints(
            healthy.endpoint, slow.endpoint, hanging, f"http://{HOST}:{free_port()}"
        )
        print(msgspec.json.encode(endpoints).decode(), flush=True)
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
        )
        await reader.read()


if __name__ == "__main__":
    asyncio.run(_serve())
