"""Whether this process should be sent work, from named checks, and why not.

All checks are asked at once, each bounded by `CHECK_TIMEOUT_S`; what they said is kept for
`CACHE_S`, so that a prober cannot load what it probes, and however many ask, one round runs at a
time. Not ready is whoever fails a required check, a standby and, first of all things, whoever has
begun to shut down. A check that is not required makes it degraded, which is ready.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import NamedTuple

import msgspec
from loguru import logger

CHECK_TIMEOUT_S = 0.5
CACHE_S = 1.0

Check = Callable[[], Awaitable[tuple[bool, str]]]
"""Returns whether it is well and a detail for people; an exception counts as not well."""


class State(StrEnum):
    READY = "ready"
    DEGRADED = "degraded"
    NOT_READY = "not_ready"
    STANDBY = "standby"
    SHUTTING_DOWN = "shutting_down"

    @property
    def is_ready(self) -> bool:
        """Whether work may be sent."""
        return self in (State.READY, State.DEGRADED)


class CheckResult(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a check said. One that is not `required` fails without taking the service out.

    Attributes:
        latency_s: how long it took to say so, None where it was not asked for.
        age_s: how long ago that was, likewise.
    """

    ok: bool
    required: bool
    detail: str
    latency_s: float | None = None
    age_s: float | None = None


class ReadinessReport(msgspec.Struct, frozen=True):
    """The answer of `/readyz`."""

    status: State
    checks: dict[str, CheckResult]


class _Registered(NamedTuple):
    check: Check
    required: bool


class _Answer(NamedTuple):
    result: CheckResult
    latency_s: float
    at_s: float


class Readiness:
    """The checks and what they last said."""

    def __init__(self, is_leading: Callable[[], bool]) -> None:
        self._is_leading = is_leading
        self._checks: dict[str, _Registered] = {}
        self._answers: dict[str, _Answer] = {}
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

    async def report(self, *, verbose: bool = False) -> ReadinessReport:
        """Return the state and what each check last said, at most `CACHE_S` ago.

        `verbose` adds how long each took, and how long ago.
        """
        if not self._shutting_down and time.monotonic() - self._taken_at >= CACHE_S:
            if self._round is None:
                self._round = asyncio.create_task(self._ask_all())
            await asyncio.shield(self._round)
        now = time.monotonic()
        checks = {
            name: _timed(answer, now) if verbose else answer.result
            for name, answer in self._answers.items()
        }
        return ReadinessReport(self._state(), checks)

    def _state(self) -> State:
        if self._shutting_down:
            return State.SHUTTING_DOWN
        if not self._is_leading():
            return State.STANDBY
        failing = [answer.result for answer in self._answers.values() if not answer.result.ok]
        if not failing:
            return State.READY
        return State.NOT_READY if any(each.required for each in failing) else State.DEGRADED

    async def _ask_all(self) -> None:
        try:
            names = list(self._checks)
            answers = await asyncio.gather(*(self._ask(name) for name in names))
            self._answers = dict(zip(names, answers, strict=True))
            self._taken_at = time.monotonic()
        finally:
            self._round = None

    async def _ask(self, name: str) -> _Answer:
        check, required = self._checks[name]
        started = time.monotonic()
        try:
            async with asyncio.timeout(CHECK_TIMEOUT_S):
                ok, detail = await check()
        except TimeoutError:
            ok, detail = False, f"no answer within {CHECK_TIMEOUT_S:g} s"
        except Exception as error:
            logger.opt(exception=error).warning("readiness check {} failed", name)
            ok, detail = False, type(error).__name__
        ended = time.monotonic()
        return _Answer(CheckResult(ok, required, detail), ended - started, ended)


def _timed(answer: _Answer, now_s: float) -> CheckResult:
    ok, required, detail = answer.result.ok, answer.result.required, answer.result.detail
    return CheckResult(
        ok, required, detail, round(answer.latency_s, 6), round(now_s - answer.at_s, 3)
    )
