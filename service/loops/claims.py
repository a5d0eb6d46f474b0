"""Claims: which shards this process wants, and which it leaves to others.

`FairShare` is for engines that share the shards: once a beat each says that it lives, sees who has
what, and by the one rule (`service.domain.fair_share`) wants what is free, or hands one over. What
stays free for the whole life of a lease, whosever share it is, anybody takes, and gives none away
for a while: those who should have it cannot. Who is not fit to trade, as no ticks reach him, claims
nothing, and hands over what he has while others are fit: where nobody is, nobody is better off.
`AllOrNone` is for processes each of which is everything: whoever trades the first shard trades the
others, and nobody else any.

A claim is no lease: who holds that, the database decides, and no shard is ever traded by two.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from loguru import logger

from service.domain.fair_share import Give, Take, fair_share, next_move
from service.instruments import Instruments
from service.storage.engines import Engines, Sharing
from telemetry.pulse import Pulse

BEATS_IN_LIFE = 10
MAX_BEAT_S = 0.5
KEEPS_LIVES = 10
# Of a life. For less than that a process that has died is taken for alive, and others lose or hear
# the ticks later than this one.
OTHERS_FIT_FOR = 0.75


class Claimed(Protocol):
    """A shard as far as it can be claimed here: `Leadership`."""

    @property
    def is_wanted(self) -> bool: ...
    @property
    def is_aside(self) -> bool:
        """Whether it is neither traded nor stood by for."""
        ...

    def want(self) -> None: ...
    def hand_over(self) -> None: ...
    async def gained(self) -> None: ...
    async def lost(self) -> None: ...


class FairShare:
    """Wants a fair share of the shards."""

    def __init__(
        self,
        engines: Engines,
        shards: Sequence[Claimed],
        lease_life_s: float,
        instruments: Instruments,
        is_fit: Callable[[], bool] = lambda: True,
    ) -> None:
        """Take whether this process can trade at all what it has."""
        self._engines = engines
        self._shards = shards
        self._is_fit = is_fit
        self._life_s = lease_life_s
        self.interval_s = min(MAX_BEAT_S, lease_life_s / BEATS_IN_LIFE)
        self._free_since: dict[int, float] = {}
        self._keeps_until = 0.0
        self._others_since: float | None = None
        self._leaving = asyncio.Event()
        self._alive = 0
        self._said: int | None = None
        instruments.watch_engines(lambda: self._alive, self._share)

    def _share(self) -> int:
        return fair_share(len(self._shards), self._alive) if self._alive else 0

    async def run_once(self) -> None:
        """Beat: look at who has what, and claim or hand over.

        Raises:
            Unreachable: the database is away; what is claimed stays so.
        """
        if self._leaving.is_set():
            return
        is_fit = self._is_fit()
        sharing = await self._engines.beat(is_fit=is_fit)
        if self._leaving.is_set():
            await self._engines.leave()  # the beat may have come after it
        elif isinstance(sharing, int):
            self._wait_for_division(sharing)
        else:
            self._said = None
            if is_fit:
                self._others_since = None
                self._move(sharing)
            else:
                self._give_way(sharing)

    def _wait_for_division(self, others: int) -> None:
        if others != self._said:
            logger.error(
                "others trade {} shards and this process {}: run the same version everywhere, "
                "or stop all to change the number",
                others,
                len(self._shards),
            )
            self._said = others

    def _give_way(self, sharing: Sharing) -> None:
        """Hand a shard over, where others have been fit for long enough while this one was not."""
        now = time.monotonic()
        self._alive = len(sharing.held) - 1
        if not self._alive:
            self._others_since = None
        elif self._others_since is None:
            self._others_since = now
        elif now - self._others_since > OTHERS_FIT_FOR * self._life_s and not self._is_busy():
            for number in sorted(self._wanted())[-1:]:
                logger.error("no ticks reach this process: handing shard {} over", number)
                self._shards[number].hand_over()

    def _is_busy(self) -> bool:
        return any(not (each.is_wanted or each.is_aside) for each in self._shards)

    def _move(self, sharing: Sharing) -> None:
        me = self._engines.holder
        stored = sharing.held[me]
        for number in self._wanted() - stored - sharing.free:
            self._shards[number].hand_over()  # another was quicker
        mine = stored | self._wanted()
        held = {**sharing.held, me: mine}
        free = sharing.free - mine
        self._alive = len(held)
        for number in self._overdue(free):
            logger.warning("nobody takes shard {}, so this process does", number)
            self._keeps_until = time.monotonic() + KEEPS_LIVES * self._life_s
            self._shards[number].want()
            return
        while isinstance(move := next_move(me, len(self._shards), held, free), Take):
            self._shards[move.shard].want()
            mine, free = mine | {move.shard}, free - {move.shard}
            held[me] = mine
        if isinstance(move, Give) and not self._is_busy() and time.monotonic() >= self._keeps_until:
            logger.info("handing shard {} over: {} engines share them", move.shard, self._alive)
            self._shards[move.shard].hand_over()

    def _wanted(self) -> set[int]:
        return {number for number, each in enumerate(self._shards) if each.is_wanted}

    def _overdue(self, free: frozenset[int]) -> list[int]:
        """Return what has been free for longer than anybody who wanted it had to wait."""
        now = time.monotonic()
        self._free_since = {number: self._free_since.get(number, now) for number in free}
        return [each for each, since in self._free_since.items() if now - since > self._life_s]

    async def leave(self) -> None:
        """Claim nothing more, and let the others have all at once.

        Raises:
            Unreachable: the database is away.
        """
        self._leaving.set()
        await self._engines.leave()


class AllOrNone:
    """Wants all shards once the first is traded here, and none of the others before."""

    def __init__(self, first: Claimed, others: Sequence[Claimed]) -> None:
        self._first = first
        self._others = others
        self.pulse = Pulse()

    async def run(self) -> None:
        """Follow the first shard for ever."""
        while True:
            await self.pulse.rest(self._first.gained())
            for each in self._others:
                each.want()
            await self.pulse.rest(self._first.lost())
            for each in self._others:
                each.hand_over()
