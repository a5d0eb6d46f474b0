"""Signs of life of something that should run for ever, and whoever looks after them.

It beats whenever it got something done, and rests while there is nothing to do: what rests cannot
hang. Something that does several things at once has a part for each, so that a lively part does not
cover one that hangs. Beats are counted, not timed: one costs an addition. A watcher looks at fixed
intervals; a process that was suspended for an hour has missed one look, not an hour of beats.
"""

from collections.abc import Awaitable
from typing import TypeVar

Result = TypeVar("Result")


class Pulse:
    """The signs of life of one loop, or of a part of it."""

    __slots__ = ("_is_resting", "_parts", "_quiet_looks", "_seen", "beats")

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Start over, without parts: a new life begins."""
        self.beats = 0
        self._seen = 0
        self._quiet_looks = 0
        self._is_resting = False
        self._parts: list[Pulse] = []

    def beat(self) -> None:
        """Say that something was done."""
        self.beats += 1

    async def rest(self, until: Awaitable[Result]) -> Result:
        """Wait for something that may take for ever, and beat."""
        self._is_resting = True
        try:
            return await until
        finally:
            self._is_resting = False
            self.beats += 1

    def part(self) -> "Pulse":
        """Return the pulse of one of several things done at once; they alone are looked at then."""
        part = Pulse()
        self._parts.append(part)
        return part

    def look(self) -> int:
        """Look once more; return for how many looks in a row there was no sign of life.

        Of several parts the stillest one counts.
        """
        if self._parts:
            return max(part.look() for part in self._parts)
        if self._is_resting or self.beats != self._seen:
            self._seen = self.beats
            self._quiet_looks = 0
        else:
            self._quiet_looks += 1
        return self._quiet_looks
