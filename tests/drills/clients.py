"""Faults that clients make, and a machine that is too busy to serve them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp

from tests.drills.stores import meanwhile
from tests.drills.universe import Universe

DEAF_ACCOUNTS = range(21, 31)
ANOTHER_SECRET = "another-" * 4
MESSAGES_AT_ONCE = 50
DEAF_PAUSE_S = 0.1
# Whoever follows many groups asks for all of their prices.
MANY_GROUPS = 32
BROAD_ACCOUNTS = range(5, 5 + MANY_GROUPS)
MESSAGES_IN_BURST = 10
# Beyond 0.1 s for the message, and rarely for the event loop's sampler, ten times a second.
BURST_HELD_S, BURST_FREE_S = 0.115, 3.0
PULSE_HELD_S, PULSE_FREE_S = 0.2, 1.0


@asynccontextmanager
async def tokens_of_another(on: Universe) -> AsyncIterator[None]:
    """Sign all tokens from now on with a secret that the service was not given."""
    known, on.traders.secret = on.traders.secret, ANOTHER_SECRET
    try:
        yield
    finally:
        on.traders.secret = known


@asynccontextmanager
async def clients_deaf(on: Universe) -> AsyncIterator[None]:
    """Let clients ask and ask, and never read an answer; each until it is cut off."""

    async def ask(account_id: int) -> None:
        with contextlib.suppress(aiohttp.ClientError, ConnectionError):
            async with on.traders.stream(account_id) as socket:
                while True:
                    for _ in range(MESSAGES_AT_ONCE):
                        await socket.send_str('{"type":"subscribe"}')
                    await asyncio.sleep(DEAF_PAUSE_S)

    tasks = [asyncio.create_task(ask(account_id)) for account_id in DEAF_ACCOUNTS]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def held_at_messages(on: Universe) -> AsyncIterator[None]:
    """Stop the process for a moment, now and then, in the middle of a client's messages."""
    answered = asyncio.Event()

    async with on.traders.stream(*BROAD_ACCOUNTS) as socket:

        async def listen() -> None:
            message = await socket.receive()
            assert message.type is aiohttp.WSMsgType.TEXT, message
            if message.data.startswith('{"type":"subscribed"'):
                answered.set()

        async def hold() -> None:
            answered.clear()
            for _ in range(MESSAGES_IN_BURST):
                await socket.send_str('{"type":"subscribe"}')
            await answered.wait()
            async with on.service.stopped():
                await asyncio.sleep(BURST_HELD_S)
            await asyncio.sleep(BURST_FREE_S)

        async with meanwhile(hold, listen):
            yield


@asynccontextmanager
async def starved(on: Universe) -> AsyncIterator[None]:
    """Stop the process now and then, as a machine does that has too much to do."""

    async def hold() -> None:
        async with on.service.stopped():
            await asyncio.sleep(PULSE_HELD_S)
        await asyncio.sleep(PULSE_FREE_S)

    async with meanwhile(hold):
        yield
