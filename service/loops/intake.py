"""The intake: where requests come in to the engine of a shard.

The same on either side of a process boundary: what is asked is data (`service.loops.requests`), and
so is what is answered. A key that was used before returns the first answer and decides nothing.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from service.domain.commands import CommandDesk
from service.domain.decision import Decision
from service.domain.desk import Desk
from service.domain.exposure import net_exposure
from service.loops.answers import Unavailable
from service.loops.commands import Correct, decide
from service.loops.requests import (
    Answer,
    ChangeSettings,
    CreateAccount,
    Done,
    Exposure,
    ListExposure,
    Request,
    SettingsStored,
    TakeCommand,
    Taken,
)
from service.loops.settings_desk import change_settings, open_account
from service.storage.dealt import Dealt
from service.storage.settings_version import SETTINGS_SHARD, set_version
from service.storage.settings_write import SettingsStatement
from service.storage.views import EventView

Decide = Callable[[CommandDesk, int], Decision]


class Decider(Protocol):
    """The engine's shell: changes its desk at once, answers when committed."""

    leading: asyncio.Event
    """Set while the desk's shard is traded."""

    @property
    def desk(self) -> Desk: ...

    @property
    def has_lease(self) -> bool:
        """Whether it is this process that trades the desk's shard."""
        ...

    async def command(self, account_id: int, key: str | None, decide: Decide) -> EventView:
        """Decide and commit; a repeated key returns the first answer without calling `decide`."""
        ...

    async def change_settings(self, apply: Callable[[Desk], Sequence[SettingsStatement]]) -> None:
        """Have `apply` change the desk, and store it."""
        ...


class DealReader(Protocol):
    """Deals as stored; raises `Unreachable`."""

    async def dealt(self, deal_id: int) -> Dealt | None: ...


class Intake:
    """Answers requests with one engine."""

    def __init__(self, trading: Decider, reader: DealReader) -> None:
        self._trading = trading
        self._reader = reader

    async def led(self) -> None:
        """Wait until the shard is traded here."""
        await self._trading.leading.wait()

    async def answer(self, request: Request) -> Answer:
        """Do what is asked at once and answer when it is committed.

        Raises:
            Rejected, Unavailable, Withdrawn: as of `Trading.command`; or another shard should
                have been asked, then Unavailable.
            Unreachable: the deal to correct cannot be read; nothing was decided.
        """
        match request:
            case TakeCommand():
                return await self._take(request)
            case ChangeSettings():
                return await self._change_settings(request)
            case CreateAccount():
                self._require_own(request.account_id)
                await self._trading.change_settings(lambda desk: open_account(request, desk))
                return Done()
            case ListExposure():
                return self._exposure()

    async def _take(self, request: TakeCommand) -> Taken:
        account_id, command = request.account_id, request.command
        self._require_own(account_id)
        # Read here and not by whoever asks: the nearer to the decision, the less is out of date.
        dealt = await self._reader.dealt(command.deal_id) if isinstance(command, Correct) else None
        is_decided = False

        def once(desk: CommandDesk, now: int) -> Decision:
            nonlocal is_decided
            is_decided = True
            return decide(command, account_id, dealt, desk, now)

        event = await self._trading.command(account_id, request.key, once)
        return Taken(event, not is_decided)

    async def _change_settings(self, request: ChangeSettings) -> SettingsStored:
        self._require_own(SETTINGS_SHARD)
        answers: list[SettingsStored] = []

        def apply(desk: Desk) -> Sequence[SettingsStatement]:
            statements, stored = change_settings(request.change, request.author, desk)
            desk.settings_version += 1
            answers.append(SettingsStored(desk.settings_version, stored))
            return [*statements, set_version(desk.shard.number, desk.settings_version)]

        await self._trading.change_settings(apply)
        return answers[0]

    def _exposure(self) -> Exposure:
        if not self._trading.has_lease:
            raise Unavailable("nobody trades this shard now: try again")
        held = net_exposure(self._trading.desk)
        return Exposure([(*key, *volumes) for key, volumes in held.items()])

    def _require_own(self, account_id: int) -> None:
        shard = self._trading.desk.shard
        if not shard.owns(account_id):
            raise Unavailable(f"account {account_id} is not in shard {shard.number}: try again")
