"""How often who may ask: token buckets, an account's and an address's, commands and reads apart.

A bucket is one number, the time at which it is full again (GCRA): what is refused takes nothing,
and a bucket that is full again is forgotten, so that memory follows those who asked within the
last `BURST_S` and never more than `MAX_BUCKETS` of them. An administrator is never limited by
what others do: no bucket counts what comes with an administrator's token.
"""

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from service.api.errors import ApiError, TransportCode

BURST_S = 5.0
MAX_BUCKETS = 100_000
_FORGET_AT_ONCE = 2

Key = TypeVar("Key", int, str)
Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class RateLimits:
    """Commands and reads a second; `BURST_S` seconds' worth may come at once.

    A message on an open stream counts as a read of its account.
    """

    account_commands_per_s: float = math.inf
    account_reads_per_s: float = math.inf
    address_commands_per_s: float = math.inf
    address_reads_per_s: float = math.inf


class Buckets(Generic[Key]):
    """A token bucket for each key; `clock` is monotonic, in seconds."""

    def __init__(self, per_s: float, clock: Clock = time.monotonic) -> None:
        self.per_s = per_s
        self._clock = clock
        self._full_at: OrderedDict[Key, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._full_at)

    def take(self, key: Key) -> float:
        """Take one; return 0, or the seconds until there is one, where there is none."""
        now = self._clock()
        full_at = max(self._full_at.get(key, now), now) + 1 / self.per_s
        wait_s = full_at - now - max(BURST_S, 1 / self.per_s)
        if wait_s > 1e-9:
            return wait_s
        self._full_at[key] = full_at
        self._full_at.move_to_end(key)
        self._forget(now)
        return 0.0

    def _forget(self, now: float) -> None:
        # Two for each that comes: whoever is gone for long is soon forgotten.
        for _ in range(_FORGET_AT_ONCE):
            oldest = next(iter(self._full_at))
            if self._full_at[oldest] > now and len(self._full_at) <= MAX_BUCKETS:
                return
            del self._full_at[oldest]
            if not self._full_at:
                return


class Rates:
    """The buckets of accounts and addresses."""

    def __init__(self, limits: RateLimits, clock: Clock = time.monotonic) -> None:
        self._commands = _Kind(
            "commands", limits.account_commands_per_s, limits.address_commands_per_s, clock
        )
        self._reads = _Kind("reads", limits.account_reads_per_s, limits.address_reads_per_s, clock)

    def account(self, account_id: int, *, is_command: bool) -> None:
        """Count what an account asks. Raises ApiError: RATE_LIMITED."""
        kind = self._commands if is_command else self._reads
        _refuse(kind.accounts, account_id, kind.name, "an account")

    def address(self, address: str | None, *, is_command: bool) -> None:
        """Count what comes from an address, None for one without. Raises ApiError: RATE_LIMITED."""
        kind = self._commands if is_command else self._reads
        if address is not None:
            _refuse(kind.addresses, address, kind.name, "an address")


class _Kind:
    def __init__(self, name: str, account_per_s: float, address_per_s: float, clock: Clock) -> None:
        self.name = name
        self.accounts = Buckets[int](account_per_s, clock)
        self.addresses = Buckets[str](address_per_s, clock)


def _refuse(buckets: Buckets[Key], key: Key, kind: str, whose: str) -> None:
    wait_s = buckets.take(key)
    if wait_s:
        raise ApiError(
            TransportCode.RATE_LIMITED,
            f"{whose} may send {buckets.per_s:g} {kind} a second: "
            f"wait {math.ceil(wait_s * 10) / 10:g} s, and ask less often",
            headers={"Retry-After": str(math.ceil(wait_s))},
        )
