"""The intake: where commands come in to the engine that has the account.

The same on either side of a process boundary: what is asked is data (`service.loops.commands`), and
so is what is answered. A key that was used before returns the first answer and decides nothing.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from service.domain.commands import CommandDesk
from service.domain.decision import Decision
from service.loops.commands import Command, Correct, decide
from service.storage.dealt import Dealt
from service.storage.views import EventView

Decide = Callable[[CommandDesk, int], Decision]


class Taken(NamedTuple):
    """The event of a command; `is_repeated`: of an earlier one with the same key."""

    event: EventView
    is_repeated: bool


class Decider(Protocol):
    """The engine's shell: decides at once, answers when committed."""

    async def command(self, account_id: int, key: str | None, decide: Decide) -> EventView:
        """Decide and commit; a repeated key returns the first answer without calling `decide`."""
        ...


class DealReader(Protocol):
    """Deals as stored; raises `Unreachable`."""

    async def dealt(self, deal_id: int) -> Dealt | None: ...


class Intake:
    """Takes commands for one engine."""

    def __init__(self, trading: Decider, reader: DealReader) -> None:
        self._trading = trading
        self._reader = reader

    async def take(self, account_id: int, key: str | None, command: Command) -> Taken:
        """Decide a command at once and answer when it is committed.

        Raises:
            Rejected, Unavailable, Withdrawn: as of `Trading.command`.
            Unreachable: the deal to correct cannot be read; nothing was decided.
        """
        # Read here and not by whoever asks: the nearer to the decision, the less is out of date.
        dealt = await self._reader.dealt(command.deal_id) if isinstance(command, Correct) else None
        is_decided = False

        def once(desk: CommandDesk, now: int) -> Decision:
            nonlocal is_decided
            is_decided = True
            return decide(command, account_id, dealt, desk, now)

        event = await self._trading.command(account_id, key, once)
        return Taken(event, not is_decided)
