"""The bus between feed, engines and gateways: quotes one way, requests the other.

A gateway knows the shard of an account and nothing of who trades it; a feed knows nobody at all.
`Bus` is all that either sees. What is committed does not travel here: it is relayed from the outbox
(`service.loops.publisher`), which loses nothing.

`MemoryBus` is that of one process, where feed, engines and gateway call each other: nothing is
copied or queued, so nothing is lost or late, and a quote costs what its engines cost.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Protocol

from service.domain.quote import Quote
from service.domain.shard import AccountShard, shard_of
from service.loops.answers import Unavailable
from service.loops.commands import Command
from service.loops.requests import Answer, Request, TakeCommand, Taken

TakeQuote = Callable[[Quote], None]


class TakeArrived(Protocol):
    """Takes a quote that a feed got at `arrived_ns` (Unix time), if that is not now."""

    def __call__(self, quote: Quote, arrived_ns: int | None = None, /) -> None: ...


class TakesRequests(Protocol):
    """Where the requests of a shard come in; raises as `Intake.answer` does."""

    async def led(self) -> None:
        """Wait until the shard is traded here."""
        ...

    async def answer(self, request: Request) -> Answer: ...


class Bus(ABC):
    """The way of quotes and requests to the engines of `shards` shards."""

    def __init__(self, shards: int) -> None:
        self.shards = shards

    @abstractmethod
    def serve(
        self, shard: AccountShard, intake: TakesRequests, take_quote: TakeArrived | None
    ) -> None:
        """Have the requests of a shard answered by `intake`, and every quote taken.

        None: who has others of the process's shards takes quotes for this one too.

        Raises:
            ValueError: it is no shard of this bus.
        """

    @abstractmethod
    def quotes(self) -> TakeQuote:
        """Return what a feed is to call with every quote."""

    @abstractmethod
    async def ask(self, shard: int, request: Request) -> Answer:
        """Have whoever trades a shard answer.

        Raises:
            Rejected: it was refused; nothing changed.
            Unavailable: nobody takes it now; or what became of it is not known, then the same key
                gives the answer of a command later.
            Withdrawn: it was decided but could not be stored; nothing changed.
        """

    async def take(self, account_id: int, key: str | None, command: Command) -> Taken:
        """Have a command decided by the engine that has the account, and committed.

        Raises:
            Rejected, Unavailable, Withdrawn: as of `ask`.
        """
        request = TakeCommand(account_id, key, command)
        answer = await self.ask(shard_of(account_id, self.shards).number, request)
        assert isinstance(answer, Taken)
        return answer

    def _require_own(self, shard: AccountShard) -> None:
        if shard.of != self.shards or not 0 <= shard.number < shard.of:
            raise ValueError(f"{shard} is none of {self.shards} shards")


class MemoryBus(Bus):
    """The bus of a process that is feed, engine and gateway at once."""

    def __init__(self, shards: int) -> None:
        super().__init__(shards)
        self._intakes: dict[int, TakesRequests] = {}
        self._take_quote: dict[int, TakeArrived] = {}

    def serve(
        self, shard: AccountShard, intake: TakesRequests, take_quote: TakeArrived | None
    ) -> None:
        """Have the requests of a shard answered by `intake`, and every quote taken; as `Bus.serve`.

        Raises:
            ValueError: it is no shard of this bus.
        """
        self._require_own(shard)
        self._intakes[shard.number] = intake
        if take_quote is not None:
            self._take_quote[shard.number] = take_quote

    def quotes(self) -> TakeQuote:
        """Return what a feed is to call with every quote; engines that come later miss them."""
        engines = list(self._take_quote.values())
        if len(engines) == 1:
            return engines[0]

        def take(quote: Quote) -> None:
            for engine in engines:
                engine(quote)

        return take

    async def ask(self, shard: int, request: Request) -> Answer:
        """Have whoever trades a shard answer; raises as of `Bus.ask`, and what else it raises."""
        intake = self._intakes.get(shard)
        if intake is None:
            raise Unavailable("nobody trades this account now: try again")
        return await intake.answer(request)
