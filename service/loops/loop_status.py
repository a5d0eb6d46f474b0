"""What is known of a background loop: its state and how it fared, as shown to people."""

import re
from enum import StrEnum

import msgspec

ERROR_LENGTH = 200
# An address as libraries quote it may hold a password.
_CREDENTIALS = re.compile(r"://\S*@|\b(password|passwd|pwd|secret|token)\s*[=:]\s*\S+", re.I)


class LoopKind(StrEnum):
    REPEATING = "repeating"
    STANDING = "standing"


class LoopState(StrEnum):
    """Where a loop stands.

    STARTING: its first run is still to come. RESTING: there is nothing to run for now, as the shard
    is not traded here. RUNNING: a run, or the life of a standing loop, is
    under way. IDLE: it waits out its interval after a good run. BACKING_OFF: it waits after a
    failed one. CANCELLING: its run has overrun the deadline or gave no sign of life, and was told
    to end. STUCK: that run did not end; nothing is started until it has. STOPPED: it is over,
    with the service.
    """

    STARTING = "starting"
    RESTING = "resting"
    RUNNING = "running"
    IDLE = "idle"
    BACKING_OFF = "backing_off"
    CANCELLING = "cancelling"
    STUCK = "stuck"
    STOPPED = "stopped"


_ILL = frozenset({LoopState.BACKING_OFF, LoopState.CANCELLING, LoopState.STUCK, LoopState.STOPPED})


class LoopStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A background loop. Times are ISO 8601 UTC; null: not yet.

    Attributes:
        interval_s: between runs as things are now, errors included; of a standing loop the wait
            before it is started again, 0 while it is well.
        last_run_at: when the last run, or life, began.
        runs: runs begun, `errors` of which failed; `restarts`: how often it had died.
        recovered_s: how long its last row of errors lasted, from the first to what went well.
    """

    name: str
    kind: LoopKind
    state: LoopState
    interval_s: float
    last_run_at: str | None
    last_success_at: str | None
    last_duration_s: float | None
    runs: int
    errors: int
    consecutive_errors: int
    last_error: str | None
    restarts: int
    recovered_s: float | None
    next_run_at: str | None

    @property
    def is_ill(self) -> bool:
        """Whether it fails, hangs or is gone; after errors, until a run went well."""
        return self.consecutive_errors > 0 or self.state in _ILL


def describe_error(error: BaseException) -> str:
    """Return an error as one line of at most `ERROR_LENGTH` characters, without credentials."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    text = " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(":")
    text = _CREDENTIALS.sub("***", text)
    return text if len(text) <= ERROR_LENGTH else text[: ERROR_LENGTH - 1] + "…"
