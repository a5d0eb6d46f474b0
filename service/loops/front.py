"""What a process shows of the shards it has: one face, whichever of them it trades at the moment.

Settings and last prices are the same in every desk, so that one stands for all: that of the lowest
shard led, else of the market that is followed meanwhile, or of the lowest shard that is. What is
asked of an account is its own shard's.
"""

import asyncio
from collections.abc import Sequence

from service.domain.desk import Desk
from service.domain.instrument import Symbol
from service.loops.leadership import Leadership
from service.loops.market_desk import MarketDesk
from service.loops.trading import Trading


class Front:
    """The shards of a process, from number 0 on, seen as one."""

    def __init__(
        self,
        tradings: Sequence[Trading],
        leaderships: Sequence[Leadership],
        idle: MarketDesk | None = None,
    ) -> None:
        """Take what is followed while nothing is traded, if something is."""
        self._tradings = tradings
        self._leaderships = leaderships
        self._idle = idle

    @property
    def desk(self) -> Desk:
        """Settings and last prices; of accounts and orders those of one shard."""
        tradings = self._tradings
        for trading in tradings:
            if trading.is_leading:
                return trading.desk
        if self._idle is not None and self._idle.is_informed:
            return self._idle.desk
        for trading, leadership in zip(tradings, self._leaderships, strict=True):
            if leadership.is_informed:
                return trading.desk
        return tradings[0].desk

    def symbols(self) -> dict[str, Symbol]:
        """Return the symbols by name, for reading."""
        return self.desk.symbols

    async def informed(self) -> None:
        """Wait until the symbols are known, on a standby too."""
        knowing: list[Leadership | MarketDesk] = list(self._leaderships)
        if self._idle is not None:
            knowing.append(self._idle)
        waiting = [asyncio.create_task(each.informed()) for each in knowing]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waiting:
                each.cancel()

    def leads(self, shard: int) -> bool:
        """Tell whether this process trades a shard, and its lease was renewed in time."""
        return self._tradings[shard].has_lease

    @property
    def is_leading(self) -> bool:
        """Whether any shard is traded here."""
        return any(trading.is_leading for trading in self._tradings)

    @property
    def has_lease(self) -> bool:
        """Whether the leases of all shards that are traded here were renewed in time."""
        return all(trading.has_lease for trading in self._led())

    def sequence(self, account_id: int) -> int | None:
        """Return the sequence of what was last decided for an account, None: unknown here."""
        return self._tradings[account_id % len(self._tradings)].sequence(account_id)

    @property
    def backlog(self) -> int:
        """Decisions that are not committed yet."""
        return sum(trading.backlog for trading in self._tradings)

    async def check_writer(self) -> tuple[bool, str]:
        """Tell whether decisions are being committed wherever they are made, and how many wait."""
        led = self._led()
        is_writing = bool(led) and all(trading.is_writing for trading in led)
        return is_writing, f"{self.backlog} decisions wait"

    def _led(self) -> list[Trading]:
        return [trading for trading in self._tradings if trading.is_leading]
