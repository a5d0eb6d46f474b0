"""The span of a tick, made when it is over and only of one that decided something or was slow."""

import time

from telemetry.limits import Limit
from telemetry.spans import Span, Tracing

TICK_LIMIT_NS = Limit.TICK.ns


def deciding_tick(tracing: Tracing, received_ns: int, decisions: int) -> Span | None:
    """Return the span of a tick that came in at `received_ns` (Unix time) and is over.

    It is ended by whoever commits what it decided; whether it was slow is told at once.
    """
    if not tracing.is_on:
        return None
    span = _tick(tracing, received_ns, decisions)
    span.judge()
    return span


def slow_tick(tracing: Tracing, received_ns: int) -> None:
    """Trace a tick, as above, that has decided nothing and was slow (`TICK_LIMIT_NS`)."""
    _tick(tracing, received_ns, 0).end()


def _tick(tracing: Tracing, received_ns: int, decisions: int) -> Span:
    span = tracing.begin("tick", limit=Limit.TICK, start_ns=received_ns)
    span.end_ns = time.time_ns()
    span.note("decisions", decisions)
    return span
