"""What counts as slow, and how often that is told."""

from collections.abc import Callable
from enum import Enum

from telemetry import thresholds

TOLD_PER_S = 1.0
TOLD_AT_ONCE = 10.0


class Limit(Enum):
    """How long a kind of work may take, before it is traced whatever the sampling ratio."""

    TICK = ("tick", thresholds.TICK_PROCESSING_LIMIT_S)
    MESSAGE = ("message", thresholds.WEBSOCKET_PROCESSING_LIMIT_S)
    QUERY = ("query", thresholds.DATABASE_QUERY_LIMIT_S)
    COMMIT = ("commit", thresholds.COMMIT_LIMIT_S)
    LOOP = ("loop", thresholds.LOOP_RUN_LIMIT_S)

    def __init__(self, label: str, seconds: float) -> None:
        self.label = label
        self.seconds = seconds
        self.ns = int(seconds * 1_000_000_000)


class TokenBucket:
    """Allows `TOLD_AT_ONCE` at a time, and `TOLD_PER_S` in the long run."""

    __slots__ = ("_clock", "_filled_at", "_tokens")

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._filled_at = clock()
        self._tokens = TOLD_AT_ONCE

    def take(self) -> bool:
        now = self._clock()
        gained = (now - self._filled_at) * TOLD_PER_S
        self._tokens = min(TOLD_AT_ONCE, self._tokens + gained)
        self._filled_at = now
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True
