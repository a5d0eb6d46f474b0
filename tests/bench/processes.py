"""Processes of a benchmark that take a line on stdin and answer one on stdout."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

ANSWER_TIMEOUT_S = 120.0


@asynccontextmanager
async def process(module: str, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a module as a process; kill it when left."""
    started = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        module,
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield started
    finally:
        if started.returncode is None:
            started.kill()
        await started.wait()


def tell(listener: asyncio.subprocess.Process, line: object) -> None:
    assert listener.stdin is not None
    listener.stdin.write(f"{line}\n".encode())


async def answer(speaker: asyncio.subprocess.Process, timeout_s: float = ANSWER_TIMEOUT_S) -> str:
    """Return the next line of a process.

    Raises:
        RuntimeError: it has ended.
        TimeoutError: it says nothing.
    """
    assert speaker.stdout is not None
    async with asyncio.timeout(timeout_s):
        line = await speaker.stdout.readline()
    if not line:
        raise RuntimeError("a process of the benchmark ended: see above")
    return line.decode().strip()
