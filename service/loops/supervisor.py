"""The supervisor: every background loop of the process, and how each of them is.

Loops are added to a group, in which they end together, in the order their owner chose; adding one
is one line. Several that do the same, each for a part, have one name and titles of their own. What
a loop is and what becomes of its failures: service/loops/loop.py.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from random import Random

from service.instruments import Instruments
from service.loops.loop import Loop, Run
from service.loops.loop_record import LoopRecord, export_worst, titled
from service.loops.loop_status import LoopKind, LoopStatus
from service.loops.rhythm import SYSTEM_CLOCK, Clock, Rhythm
from telemetry.pulse import Pulse

RUN_DEADLINE_S = 30.0
SILENCE_DEADLINE_S = 30.0
RESTART_FIRST_S = 0.5
RESTART_CAP_S = 30.0
INTERVAL_GROWTH = 3.0

Hurry = Callable[[], None]


class Supervisor:
    """Runs loops and tells how they are; `random` jitters their waits."""

    def __init__(
        self, instruments: Instruments, random: Random, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self._instruments = instruments
        self._random = random
        self._clock = clock
        self._loops: dict[str, Loop] = {}
        self._records: dict[str, list[LoopRecord]] = {}

    def statuses(self) -> list[LoopStatus]:
        """Return how every loop is, in the order they were added."""
        return [loop.record.status for loop in self._loops.values()]

    @asynccontextmanager
    async def group(self) -> AsyncIterator["LoopGroup"]:
        """Open a group: what is added to it ends with it."""
        group = LoopGroup(self)
        try:
            yield group
        finally:
            await asyncio.gather(*(loop.stop() for loop in group.loops))

    def add(
        self,
        name: str,
        part: str,
        run: Run,
        rhythm: Rhythm,
        pulse: Pulse,
        during: asyncio.Event | None = None,
    ) -> Loop:
        """Start a loop; `part` tells it from others of its name, "" where there are none.

        It runs only while `during` is set.

        Raises:
            ValueError: there is one already.
        """
        title = titled(name, part)
        if title in self._loops:
            raise ValueError(f"there is a loop {title} already")
        metrics = self._instruments.metrics
        record = LoopRecord(name, part, rhythm, self._clock, metrics)
        records = self._records.setdefault(name, [])
        records.append(record)
        export_worst(name, records, metrics)
        tracing = self._instruments.tracing
        loop = Loop(run, rhythm, pulse, record, self._clock, self._random, tracing, during)
        self._loops[title] = loop
        loop.start()
        return loop


class LoopGroup:
    """Loops that end together."""

    def __init__(
        self, supervisor: Supervisor, part: str = "", during: asyncio.Event | None = None
    ) -> None:
        self._supervisor = supervisor
        self._part = part
        self._during = during
        self.loops: list[Loop] = []

    def of_part(self, part: str, during: asyncio.Event | None = None) -> "LoopGroup":
        """Return this group for the loops of a part: its names may be those of other parts.

        What repeats there runs only while `during` is set, and costs nothing else.
        """
        group = LoopGroup(self._supervisor, part, during)
        group.loops = self.loops
        return group

    def repeat(
        self,
        name: str,
        run_once: Run,
        *,
        interval_s: float,
        max_interval_s: float | None = None,
        deadline_s: float = RUN_DEADLINE_S,
    ) -> Hurry:
        """Run something once an interval, first after an interval.

        Args:
            max_interval_s: what the interval grows to while runs fail; `INTERVAL_GROWTH` intervals
                if not given.
            deadline_s: a run that takes longer is cancelled, and has failed.

        Returns:
            What has the next run begin at once.

        Raises:
            ValueError: the name is taken, or these times make no sense.
        """
        cap_s = interval_s * INTERVAL_GROWTH if max_interval_s is None else max_interval_s
        rhythm = Rhythm(LoopKind.REPEATING, interval_s, cap_s, deadline_s)
        loop = self._supervisor.add(name, self._part, run_once, rhythm, Pulse(), self._during)
        self.loops.append(loop)
        return loop.hurry

    def keep(
        self, name: str, run: Run, pulse: Pulse, *, deadline_s: float = SILENCE_DEADLINE_S
    ) -> None:
        """Keep something running that should never end.

        Args:
            pulse: where it gives signs of life; without one for `deadline_s` it is ended and
                started again.

        Raises:
            ValueError: the name is taken, or the deadline makes no sense.
        """
        rhythm = Rhythm(LoopKind.STANDING, RESTART_FIRST_S, RESTART_CAP_S, deadline_s)
        self.loops.append(self._supervisor.add(name, self._part, run, rhythm, pulse))
