"""Background loops: kept running, counted, and never silent when they fail."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import Context
from typing import Self

from loguru import logger

from service.instruments import Instruments
from service.storage.errors import Unreachable

RESTART_FIRST_S = 0.5
RESTART_CAP_S = 30.0


class Background:
    """Loops that run while the context lasts, and are cancelled together at its end."""

    def __init__(self, instruments: Instruments) -> None:
        self._instruments = instruments
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def keep(self, name: str, run: Callable[[], Awaitable[object]]) -> None:
        """Keep something running that should never end."""
        self._start(keep_running(name, run, self._instruments))

    def repeat(
        self, name: str, interval_s: float, run_once: Callable[[], Awaitable[object]]
    ) -> None:
        """Run something every `interval_s`."""
        self._start(repeat(name, interval_s, run_once, self._instruments))

    def _start(self, loop: Coroutine[object, object, None]) -> None:
        # A context of its own: a loop is nobody's child and outlives whatever started it.
        self._tasks.append(asyncio.create_task(loop, context=Context()))


async def keep_running(
    name: str, run: Callable[[], Awaitable[object]], instruments: Instruments
) -> None:
    """Run something that should never end; start it again when it does, waiting longer each time.

    A run of more than `RESTART_CAP_S` makes the next wait short again.
    """
    instruments.declare_loop(name)
    errors = 0
    while True:
        started = time.perf_counter()
        try:
            await run()
            logger.error("loop {} ended by itself", name)
        except Exception:
            logger.exception("loop {} died", name)
        seconds = time.perf_counter() - started
        errors = 1 if seconds > RESTART_CAP_S else errors + 1
        instruments.loop_run(name, seconds, consecutive_errors=errors, ended_s=time.time())
        await asyncio.sleep(min(RESTART_FIRST_S * 2 ** (errors - 1), RESTART_CAP_S))


async def repeat(
    name: str,
    interval_s: float,
    run_once: Callable[[], Awaitable[object]],
    instruments: Instruments,
) -> None:
    """Run something every `interval_s`, never twice at once; count runs that fail.

    Of failures in a row the 1st, 2nd, 4th, 8th, ... are logged: with a traceback, unless it is only
    that the database is away.
    """
    instruments.declare_loop(name)
    errors = 0
    while True:
        await asyncio.sleep(interval_s)
        started = time.perf_counter()
        try:
            await run_once()
            if errors:
                logger.info("loop {} runs again after {} failures", name, errors)
            errors = 0
        except Exception as error:
            errors += 1
            if errors & (errors - 1) == 0:
                cause = None if isinstance(error, Unreachable) else error
                logger.opt(exception=cause).error(
                    "loop {} failed {} times in a row: {}", name, errors, error
                )
        instruments.loop_run(
            name,
            time.perf_counter() - started,
            consecutive_errors=errors,
            ended_s=time.time(),
        )
