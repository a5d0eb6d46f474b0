"""The ops port: `/metrics`, `/livez` and `/readyz`, for machines and for those who run the service.

`/livez` says that the process and its event loop answer, nothing else. `/readyz` asks the
registered checks, all at once, each bounded by `CHECK_TIMEOUT_S`; what they said is kept for
`CACHE_S`, so that a prober cannot load what it probes, and however many ask, one round runs at a
time. It answers 503 where a required check fails, on a standby (`standby`) and, first of all
things, once the shutdown has begun. It serves no secrets, and is loopback unless told otherwise.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import NamedTuple

import msgspec
from aiohttp import hdrs, web
from loguru import logger

from service.api.scrape import scrape
from service.instruments import Instruments

CHECK_TIMEOUT_S = 0.5
CACHE_S = 1.0

Check = Callable[[], Awaitable[tuple[bool, str]]]
"""Returns whether it is well and a detail for people; an exception counts as not well."""


class State(StrEnum):
    READY = "ready"
    NOT_READY = "not_ready"
    STANDBY = "standby"
    SHUTTING_DOWN = "shutting_down"


class CheckResult(msgspec.Struct, frozen=True):
    """What a check said. One that is not `required` fails without taking the service out."""

    ok: bool
    required: bool
    detail: str


class ReadinessReport(msgspec.Struct, frozen=True):
    """The answer of `/readyz`."""

    status: State
    checks: dict[str, CheckResult]


class _Registered(NamedTuple):
    check: Check
    required: bool


class Readiness:
    """Whether this process should be sent work, from named checks."""

    def __init__(self, is_leading: Callable[[], bool]) -> None:
        self._is_leading = is_leading
        self._checks: dict[str, _Registered] = {}
        self._results: dict[str, CheckResult] = {}
        self._taken_at = float("-inf")
        self._round: asyncio.Task[None] | None = None
        self._shutting_down = False

    def register(self, name: str, check: Check, *, required: bool = True) -> None:
        """Add a check; a name is given once.

        Raises:
            ValueError: the name is taken.
        """
        if name in self._checks:
            raise ValueError(f"there is a readiness check {name} already")
        self._checks[name] = _Registered(check, required)

    def shutting_down(self) -> None:
        """Fail from now on; call it before anything is stopped."""
        self._shutting_down = True

    async def report(self) -> ReadinessReport:
        """Return the state and what each check last said, at most `CACHE_S` ago."""
        if self._shutting_down:
            return ReadinessReport(State.SHUTTING_DOWN, self._results)
        if time.monotonic() - self._taken_at >= CACHE_S:
            if self._round is None:
                self._round = asyncio.create_task(self._ask_all())
            await asyncio.shield(self._round)
        if not self._is_leading():
            return ReadinessReport(State.STANDBY, self._results)
        failing = any(result.required and not result.ok for result in self._results.values())
        return ReadinessReport(State.NOT_READY if failing else State.READY, self._results)

    async def _ask_all(self) -> None:
        try:
            names = list(self._checks)
            results = await asyncio.gather(*(self._ask(name) for name in names))
            self._results = dict(zip(names, results, strict=True))
            self._taken_at = time.monotonic()
        finally:
            self._round = None

    async def _ask(self, name: str) -> CheckResult:
        check, required = self._checks[name]
        try:
            async with asyncio.timeout(CHECK_TIMEOUT_S):
                ok, detail = await check()
        except TimeoutError:
            ok, detail = False, f"no answer within {CHECK_TIMEOUT_S:g} s"
        except Exception as error:
            logger.opt(exception=error).warning("readiness check {} failed", name)
            ok, detail = False, type(error).__name__
        return CheckResult(ok, required, detail)


def build_ops(instruments: Instruments, readiness: Readiness) -> web.Application:
    """Return the application of the ops port."""

    async def metrics(request: web.Request) -> web.Response:
        return await scrape(request, instruments)

    async def livez(request: web.Request) -> web.Response:
        return _json(200, {"status": "alive"})

    async def readyz(request: web.Request) -> web.Response:
        report = await readiness.report()
        return _json(200 if report.status is State.READY else 503, report)

    app = web.Application()
    app.router.add_get("/metrics", metrics)
    app.router.add_get("/livez", livez)
    app.router.add_get("/readyz", readyz)
    return app


def _json(status: int, body: object) -> web.Response:
    return web.Response(
        status=status,
        body=msgspec.json.encode(body),
        content_type="application/json",
        headers={hdrs.CACHE_CONTROL: "no-store"},
    )
