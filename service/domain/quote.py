"""Quotes and the guards they pass before anything may trigger.

A refused quote changes nothing but the jump candidate, and no guard can latch: a jump is accepted
once `JUMP_CONFIRMATIONS` consecutive quotes agree on the new level.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

JUMP_CONFIRMATIONS = 3


class Quote(NamedTuple):
    """A market tick: raw bid and ask in points, time in nanoseconds UTC."""

    symbol: str
    bid: int
    ask: int
    time: int


class QuoteRefusal(StrEnum):
    """Why a quote was refused. `MALFORMED` is given by feeds for what cannot be read at all."""

    MALFORMED = "malformed"
    UNKNOWN_SYMBOL = "unknown_symbol"
    NOT_POSITIVE = "not_positive"
    CROSSED = "crossed"
    OUT_OF_ORDER = "out_of_order"
    FUTURE = "future"
    STALE = "stale"
    JUMP = "jump"
    SESSION_CLOSED = "session_closed"


@dataclass(frozen=True, slots=True)
class QuoteGuard:
    """Limits a quote must keep. Times in nanoseconds.

    Attributes:
        max_age_ns: oldest quote that may trigger, against the clock.
        max_future_ns: how far ahead of the clock a quote may be.
        check_jumps: off in a replay, where the past is taken as it was.
    """

    max_age_ns: int = 10_000_000_000
    max_future_ns: int = 1_000_000_000
    check_jumps: bool = True


REPLAY_GUARD = QuoteGuard(check_jumps=False)
