"""How a background loop fares: kept for people, exported as metrics, and logged ever more rarely.

Of failures in a row the 1st, 2nd, 4th, 8th, ... are logged, with a traceback unless it would say
nothing more: the database is away, a deadline was missed. Every series exists from the start. Loops
of one name, each of which does a part, add up in what is counted; of what goes up and down the
worst is exported.
"""

from collections.abc import Sequence

from loguru import logger

from service.domain.times import format_time
from service.loops.loop_status import LoopState, LoopStatus, describe_error
from service.loops.rhythm import Clock, Rhythm
from service.storage.errors import Unreachable
from telemetry import catalogue
from telemetry.metrics import Metrics
from telemetry.thresholds import LOOP_ERRORS_LIMIT


class Overran(Exception):
    """A run missed its deadline."""


class Died(Exception):
    """A run ended in a way that no run should."""


class LoopRecord:
    """The record of the loop of that name, or of a part of what the name stands for.

    Attributes:
        name: as metrics and traces know it; `title`: as people do, with its part.
        last_success: Unix time, None before the first.
    """

    def __init__(
        self, name: str, part: str, rhythm: Rhythm, clock: Clock, metrics: Metrics
    ) -> None:
        self.name = name
        self.title = titled(name, part)
        self._rhythm = rhythm
        self._clock = clock
        self._state = LoopState.STARTING
        self.failures = 0
        self._began = 0.0
        self._first_error = 0.0
        self._last_error: str | None = None
        self._last_duration_s: float | None = None
        self._recovered_s: float | None = None
        self._last_run: float | None = None
        self.last_success: float | None = None
        self._next_run: float | None = None
        self._run_count = self._error_count = self._restart_count = 0
        self._runs = metrics.counter(catalogue.LOOP_RUNS).child(name)
        self._errors = metrics.counter(catalogue.LOOP_ERRORS).child(name)
        self._streaks = metrics.counter(catalogue.LOOP_ERROR_STREAKS).child(name)
        self._restarts = metrics.counter(catalogue.LOOP_RESTARTS).child(name)
        self._overruns = metrics.counter(catalogue.LOOP_OVERRUNS).child(name)
        self._abandoned = metrics.counter(catalogue.LOOP_ABANDONED).child(name)
        self._seconds = metrics.histogram(catalogue.LOOP_S).child(name)
        self._recovery = metrics.histogram(catalogue.LOOP_RECOVERY).child(name)

    @property
    def is_stuck(self) -> bool:
        """Whether a run was told to end and has not."""
        return self._state is LoopState.STUCK

    @property
    def interval_s(self) -> float:
        """The interval after the failures in a row there are now."""
        return self._rhythm.interval_after(self.failures)

    @property
    def lasted_s(self) -> float:
        """How long ago the last run began."""
        return self._clock.now() - self._began

    @property
    def status(self) -> LoopStatus:
        return LoopStatus(
            name=self.title,
            kind=self._rhythm.kind,
            state=self._state,
            interval_s=self.interval_s,
            last_run_at=_written(self._last_run),
            last_success_at=_written(self.last_success),
            last_duration_s=self._last_duration_s,
            runs=self._run_count,
            errors=self._error_count,
            consecutive_errors=self.failures,
            last_error=self._last_error,
            restarts=self._restart_count,
            recovered_s=self._recovered_s,
            next_run_at=_written(self._next_run),
        )

    @property
    def well_at(self) -> float:
        """When it was well last, Unix time; 0 before the first, while it rests always now."""
        return self._clock.unix() if self._state is LoopState.RESTING else self.last_success or 0.0

    def rests(self) -> None:
        """Take that there is nothing to run for, which is no failure."""
        self.is_well()
        self._state = LoopState.RESTING
        self._next_run = None

    def waits(self, state: LoopState, seconds: float) -> None:
        self._state = state
        self._next_run = self._clock.unix() + seconds

    def begins(self, *, again: bool) -> None:
        """Take a run that begins; `again` if the one before it had died."""
        self._state = LoopState.RUNNING
        self._began = self._clock.now()
        self._last_run = self._clock.unix()
        self._next_run = None
        self._run_count += 1
        self._runs.value += 1
        self._restart_count += again
        self._restarts.value += again

    def ended(self, trace: str | None = None) -> None:
        """Take the end of a run; `trace` is the id of its trace, if that is exported."""
        self._last_duration_s = self.lasted_s
        self._seconds.observe(self._last_duration_s, trace)

    def is_well(self, for_s: float = 0.0) -> None:
        """Take that all is well, and has been for so many seconds."""
        if self.failures:
            self._recovered_s = max(0.0, self._clock.now() - for_s - self._first_error)
            self._recovery.observe(self._recovered_s)
            logger.info(
                "loop {} is well again after {} failures in a row, {:.1f} s after the first",
                self.title,
                self.failures,
                self._recovered_s,
            )
            self.failures = 0
        self.last_success = self._clock.unix()

    def failed(self, error: BaseException) -> None:
        self.failures += 1
        if self.failures == 1:
            self._first_error = self._clock.now()
        self._error_count += 1
        self._errors.value += 1
        self._streaks.value += self.failures == LOOP_ERRORS_LIMIT + 1
        self._overruns.value += isinstance(error, Overran)
        self._last_error = describe_error(error)
        if self.failures & (self.failures - 1) == 0:
            cause = None if isinstance(error, Unreachable | Overran | Died) else error
            logger.opt(exception=cause).error(
                "loop {} failed {} times in a row: {}", self.title, self.failures, self._last_error
            )

    def is_cancelling(self) -> None:
        self._state = LoopState.CANCELLING

    def gets_stuck(self, place: str) -> None:
        """Take that a run was told to end and has not, and where it is."""
        self._state = LoopState.STUCK
        self._abandoned.value += 1
        logger.critical(
            "loop {} is stuck in {}: it stands still until that ends", self.title, place
        )

    def is_stuck_no_longer(self) -> None:
        self._state = LoopState.CANCELLING
        logger.warning("loop {} is stuck no longer", self.title)

    def stopped(self) -> None:
        self._state = LoopState.STOPPED
        self._next_run = None


def titled(name: str, part: str) -> str:
    """Return what people call the loop of a name and part; "": it has no parts."""
    return f"{name}/{part}" if part else name


def export_worst(name: str, records: Sequence[LoopRecord], metrics: Metrics) -> None:
    """Export how the worst of the loops of a name fares, asked for at scrape."""
    failures = metrics.gauge(catalogue.LOOP_CONSECUTIVE_ERRORS).child(name)
    failures.read = lambda: max(each.failures for each in records)
    interval = metrics.gauge(catalogue.LOOP_INTERVAL).child(name)
    interval.read = lambda: max(each.interval_s for each in records)
    stuck = metrics.gauge(catalogue.LOOP_STUCK).child(name)
    stuck.read = lambda: any(each.is_stuck for each in records)
    success = metrics.gauge(catalogue.LOOP_LAST_SUCCESS).child(name)
    success.read = lambda: min(each.well_at for each in records)


def _written(unix_s: float | None) -> str | None:
    return None if unix_s is None else format_time(int(unix_s * 1e9))
