"""The bus between feed, engines and gateways: quotes one way, commands the other.

A gateway knows the shard of an account and nothing of who trades it; a feed knows nobody at all.
`Bus` is all that either sees. What is committed does not travel here: it is relayed from the outbox
(`service.loops.publisher`), which loses nothing.

`MemoryBus` is that of one process, where feed, engines and gateway call each other: nothing is
copied or queued, so nothing is lost or late, and a quote costs what its engines cost.
"""

from collections.abc import Callable
from typing import Protocol

from service.domain.quote import Quote
from service.domain.shard import AccountShard, shard_of
from service.loops.answers import Unavailable
from service.loops.commands import Command
from service.loops.intake import Taken

TakeQuote = Callable[[Quote], None]


class TakesCommands(Protocol):
    """Where the commands of a shard come in; raises as `Intake.take` does."""

    async def take(self, account_id: int, key: str | None, command: Command) -> Taken: ...


class Bus(Protocol):
    """The way of quotes and commands to the engines."""

    def serve(self, shard: AccountShard, intake: TakesCommands, take_quote: TakeQuote) -> None:
        """Have the commands of a shard taken by `intake`, and every quote by `take_quote`."""
        ...

    def quotes(self) -> TakeQuote:
        """Return what a feed is to call with every quote."""
        ...

    async def take(self, account_id: int, key: str | None, command: Command) -> Taken:
        """Have a command decided by the engine that has the account, and committed.

        Raises:
            Rejected: the engine refused it; nothing changed.
            Unavailable: nobody takes it now; or what became of it is not known, then the same key
                gives the answer later.
            Withdrawn: it was decided but could not be stored; nothing changed.
        """
        ...


class MemoryBus:
    """The bus of a process that is feed, engine and gateway at once, for `shards` shards."""

    def __init__(self, shards: int) -> None:
        self._shards = shards
        self._intakes: dict[AccountShard, TakesCommands] = {}
        self._take_quote: dict[AccountShard, TakeQuote] = {}

    def serve(self, shard: AccountShard, intake: TakesCommands, take_quote: TakeQuote) -> None:
        """Have the commands of a shard taken by `intake`, and every quote by `take_quote`.

        Raises:
            ValueError: it is no shard of this bus.
        """
        if shard.of != self._shards or not 0 <= shard.number < shard.of:
            raise ValueError(f"{shard} is none of {self._shards} shards")
        self._intakes[shard] = intake
        self._take_quote[shard] = take_quote

    def quotes(self) -> TakeQuote:
        """Return what a feed is to call with every quote; engines that come later miss them."""
        engines = list(self._take_quote.values())
        if len(engines) == 1:
            return engines[0]

        def take(quote: Quote) -> None:
            for engine in engines:
                engine(quote)

        return take

    async def take(self, account_id: int, key: str | None, command: Command) -> Taken:
        """Have a command decided by the engine that has the account, and committed."""
        intake = self._intakes.get(shard_of(account_id, self._shards))
        if intake is None:
            raise Unavailable("nobody trades this account now: try again")
        return await intake.take(account_id, key, command)
