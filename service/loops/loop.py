"""One background loop under supervision: run, watched, backed off, started again, never silent.

A *repeating* loop does its work once an interval; a run is due an interval after the last began,
but a tenth of it is always left free. One that has something to run for at times only rests until
then, and begins as at the start. A *standing* loop should never end; a run of it is one life,
and after failures it is well again when it has lived for `HEALTHY_AFTER_S`.

Invariants: there are never two runs of a loop at once, whatever happens; each has an empty context
of its own and a trace of its own, being nobody's child; whatever ends one, `stop` excepted, is
counted and followed by another after a wait that grows with the failures in a row, up to a cap,
less up to a tenth at random.

A run past its deadline is cancelled. For a standing loop the deadline is how long it may go without
a sign of life (`Pulse`); what rests gives none and needs none. A run that does not end within
`CANCEL_GRACE_S` of being cancelled is stuck: the loop stands still, and says so, until it has.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import Context
from random import Random
from typing import Any

from loguru import logger

from service.loops.loop_record import Died, LoopRecord, Overran
from service.loops.loop_status import LoopKind, LoopState
from service.loops.rhythm import Clock, Rhythm
from telemetry.limits import Limit
from telemetry.pulse import Pulse
from telemetry.span_ids import SpanIds
from telemetry.spans import NO_SPAN, AnySpan, Span, Tracing

HEALTHY_AFTER_S = 30.0
CANCEL_GRACE_S = 5.0
CANCEL_AGAIN_S = 30.0
LEAST_PAUSE = 0.1
JITTER = 0.1

Run = Callable[[], Awaitable[object]]
Body = asyncio.Task[None]


class Loop:
    """A loop, driven by a task of its own between `start` and `stop`."""

    def __init__(
        self,
        run: Run,
        rhythm: Rhythm,
        pulse: Pulse,
        record: LoopRecord,
        clock: Clock,
        random: Random,
        tracing: Tracing,
        during: asyncio.Event | None = None,
    ) -> None:
        """Take what is set while there is something to run for; None: there always is."""
        self._run = run
        self._during = during
        self._rhythm = rhythm
        self._stands = rhythm.kind is LoopKind.STANDING
        self._pulse = pulse
        self.record = record
        self._clock = clock
        self._random = random
        self._tracing = tracing
        self._failed_run: SpanIds | None = None
        self._driver: asyncio.Task[None] | None = None
        self._body: Body | None = None
        self._hurried = asyncio.Event()

    def start(self) -> None:
        self._driver = asyncio.create_task(self._drive(), context=Context())
        self._driver.add_done_callback(self._is_over)

    def hurry(self) -> None:
        """Have the next run begin at once, or as soon as the one under way has ended."""
        self._hurried.set()

    async def stop(self) -> None:
        """End the loop and its run; one that does not end within `CANCEL_GRACE_S` is left."""
        assert self._driver is not None
        self._driver.cancel()
        await asyncio.wait((self._driver,))
        body = self._body
        if body is not None and not body.done():
            body.cancel()
            if await self._ends_within(body, CANCEL_GRACE_S):
                self._tell_how_it_ended(body)
            else:
                logger.error("loop {} does not end: it is left behind", self.record.title)

    def _is_over(self, driver: "asyncio.Task[None]") -> None:
        self.record.stopped()
        if not driver.cancelled():
            logger.opt(exception=driver.exception()).critical("loop {} is over", self.record.title)

    async def _drive(self) -> None:
        if not self._stands:
            await self._wait(LoopState.STARTING, self._rhythm.interval_s)
        has_died = False
        while True:
            while self._during is not None and not self._during.is_set():
                await self._rest(self._during)
            has_died = await self._run_once(again=has_died)
            interval_s = self.record.interval_s
            if self.record.failures:
                await self._wait(LoopState.BACKING_OFF, interval_s)
            else:
                left_s = interval_s - self.record.lasted_s
                await self._wait(LoopState.IDLE, max(left_s, interval_s * LEAST_PAUSE))

    async def _rest(self, during: asyncio.Event) -> None:
        self.record.rests()
        await during.wait()
        self.record.is_well()  # it was, until now
        self._hurried.clear()
        await self._wait(LoopState.STARTING, self._rhythm.interval_s)

    async def _wait(self, state: LoopState, seconds: float) -> None:
        seconds *= self._random.uniform(1 - JITTER, 1)
        self.record.waits(state, seconds)
        hurried = asyncio.create_task(self._hurried.wait())
        try:
            await self._ends_within(hurried, seconds)
        finally:
            hurried.cancel()
        self._hurried.clear()

    async def _run_once(self, *, again: bool) -> bool:
        """Run once, to the very end; tell whether the loop died of it."""
        self._pulse.reset()
        self.record.begins(again=again)
        span = self._span()
        body = self._body = asyncio.create_task(_awaited(self._run, span), context=Context())
        is_in_time = await self._ends_in_time(body)
        error = self._error_of(body) if is_in_time else self._overrun_of(body)
        if error is None:
            self.record.is_well()
        else:
            self.record.failed(error)
        if not is_in_time:
            await self._end(body)
        self.record.ended(span.trace)
        self._failed_run = span.ids if error is not None and isinstance(span, Span) else None
        if error is None:
            return False
        return self._stands or isinstance(error, Died) or not isinstance(error, Exception)

    def _span(self) -> AnySpan:
        """Return the span of a run; the life of a loop that stands is none."""
        if self._stands:
            return NO_SPAN
        span = self._tracing.root(f"loop {self.record.name}", limit=Limit.LOOP)
        span.note("loop.consecutive_errors", self.record.failures)
        # What has failed before is why it runs when it does.
        span.link(self._failed_run)
        return span

    async def _ends_in_time(self, body: Body) -> bool:
        while not await self._ends_within(body, self._rhythm.look_s):
            quiet_looks = self._pulse.look()
            if quiet_looks >= self._rhythm.looks:
                return False
            lived_s = self.record.lasted_s
            is_proven = not self.record.failures or lived_s >= HEALTHY_AFTER_S
            if self._stands and is_proven and quiet_looks == 0:
                self.record.is_well(lived_s)
        return True

    async def _ends_within(self, body: asyncio.Task[Any], seconds: float) -> bool:
        sleeping = asyncio.create_task(self._clock.sleep(seconds))
        try:
            await asyncio.wait((body, sleeping), return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeping.cancel()
        return body.done()

    def _error_of(self, body: Body) -> BaseException | None:
        if body.cancelled():
            return Died("it was cancelled from within")
        error = body.exception()
        if error is None and self._stands:
            return Died("it ended by itself")
        return error

    def _overrun_of(self, body: Body) -> Overran:
        what = "no sign of life for" if self._stands else "not done within"
        return Overran(f"{what} {self._rhythm.deadline_s:g} s, in {_place(body)}")

    async def _end(self, body: Body) -> None:
        """Cancel a run, and wait until it has ended, however long it takes."""
        self.record.is_cancelling()
        body.cancel()
        if not await self._ends_within(body, CANCEL_GRACE_S):
            self.record.gets_stuck(_place(body))
            while not await self._ends_within(body, CANCEL_AGAIN_S):
                body.cancel()
            self.record.is_stuck_no_longer()
        self._tell_how_it_ended(body)

    def _tell_how_it_ended(self, body: Body) -> None:
        if not body.cancelled() and (error := body.exception()) is not None:
            logger.opt(exception=error).error("loop {} failed as it ended", self.record.title)


async def _awaited(run: Run, span: AnySpan) -> None:
    with span:
        await run()


def _place(body: Body) -> str:
    """Name the functions a run is in, outermost first."""
    names = []
    awaited: object = body.get_coro()
    while isinstance(awaited, Coroutine):
        names.append(getattr(awaited, "__name__", "?"))
        awaited = getattr(awaited, "cr_await", None)
    return " > ".join(names[1:]) or "its first step"
