"""What administrators change and ask, of whoever trades the shards it is about.

Settings are those of all shards and changed where shard 0 is traded; the others take a change over
as soon as they see it (`service.loops.settings_follower`), and it is answered when all trade by it.
An account is opened where it will be traded. Nothing is decided here: what is asked travels as data
(`service.loops.requests`).
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from decimal import Decimal
from typing import Protocol

from service.domain.exposure import NetExposure
from service.domain.instrument import Group, GroupSymbol, Symbol, TradingState, UserType
from service.domain.shard import shard_of
from service.loops.answers import ANSWER_TIMEOUT_S, Unavailable
from service.loops.bus import Bus
from service.loops.requests import (
    Author,
    Change,
    ChangeSettings,
    CreateAccount,
    Exposure,
    ListExposure,
    SetGroup,
    SetGroupState,
    SetSymbol,
    SetSymbolState,
    SetTerms,
    SettingsStored,
)
from service.storage.errors import Unreachable
from service.storage.rows import (
    group_from,
    group_row,
    group_symbol_from,
    group_symbol_row,
    symbol_from,
    symbol_row,
)
from service.storage.settings_version import SETTINGS_SHARD

LOOK_INTERVAL_S = 0.05


CatchUp = Callable[[], Awaitable[None]]


class Versions(Protocol):
    """Which shards have taken over which settings; raises `Unreachable`."""

    async def behind(self, version: int) -> Sequence[int]:
        """Return the shards that have not stored a version yet."""
        ...


class Administration:
    """What administrators change on the shards of a bus.

    All raise `Rejected` (the change contradicts itself, nothing changed), `Unavailable` (nothing
    changed unless it says so) and `Withdrawn`. What is changed is returned as it is now.
    """

    def __init__(self, bus: Bus, versions: Versions, catch_up: CatchUp | None = None) -> None:
        """Take what has this process see changed settings, where it does not trade by them."""
        self._bus = bus
        self._versions = versions
        self._catch_up = catch_up

    async def set_symbol(self, symbol: Symbol, author: Author) -> Symbol:
        """Add or change a symbol; its digits cannot change, its trading state stays."""
        stored = await self._change(SetSymbol(symbol_row(symbol)), author)
        assert isinstance(stored, SetSymbol)
        return symbol_from(stored.row)

    async def set_group(self, group: Group, author: Author) -> Group:
        """Add or change a group; its trading state stays."""
        stored = await self._change(SetGroup(group_row(group)), author)
        assert isinstance(stored, SetGroup)
        return group_from(stored.row)

    async def set_terms(self, settings: GroupSymbol, author: Author) -> GroupSymbol:
        """Add or change a group's terms on a symbol."""
        stored = await self._change(SetTerms(group_symbol_row(settings)), author)
        assert isinstance(stored, SetTerms)
        return group_symbol_from(stored.row)

    async def set_symbol_state(self, name: str, state: TradingState, author: Author) -> Symbol:
        """Let a symbol be traded, closed only, or halt it; at once in shard 0, then elsewhere."""
        stored = await self._change(SetSymbolState(name, state), author)
        assert isinstance(stored, SetSymbol)
        return symbol_from(stored.row)

    async def set_group_state(self, name: str, state: TradingState, author: Author) -> Group:
        """Let a group trade, close only, or halt it; at once in shard 0, then elsewhere."""
        stored = await self._change(SetGroupState(name, state), author)
        assert isinstance(stored, SetGroup)
        return group_from(stored.row)

    async def create_account(
        self,
        account_id: int,
        user_type: UserType,
        group: str,
        leverage: Decimal,
        balance: Decimal,
        author: Author,
    ) -> None:
        """Open an account with a first deposit of `balance` USD, in whole cents, >= 0."""
        request = CreateAccount(account_id, user_type, group, leverage, balance, author)
        await self._bus.ask(shard_of(account_id, self._bus.shards).number, request)

    async def exposure(self) -> dict[tuple[str, str], NetExposure]:
        """Return what all clients hold, by group and symbol."""
        held: dict[tuple[str, str], NetExposure] = {}
        answers = await asyncio.gather(*map(self._exposure_of, range(self._bus.shards)))
        for answer in answers:
            for group, symbol, longs, shorts in answer.rows:
                before = held.get((group, symbol), NetExposure(0, 0))
                held[group, symbol] = NetExposure(
                    before.long_volume + longs, before.short_volume + shorts
                )
        return held

    async def _exposure_of(self, shard: int) -> Exposure:
        try:
            answer = await self._bus.ask(shard, ListExposure())
        except Unavailable as error:
            raise Unavailable(
                f"shard {shard} of {self._bus.shards} does not tell: {error.detail}",
                error.retry_after_s,
            ) from error
        assert isinstance(answer, Exposure)
        return answer

    async def _change(self, change: Change, author: Author) -> SetSymbol | SetGroup | SetTerms:
        answer = await self._bus.ask(SETTINGS_SHARD, ChangeSettings(change, author))
        assert isinstance(answer, SettingsStored)
        if self._bus.shards > 1:
            await self._taken_over(answer.version)
        if self._catch_up is not None:
            with suppress(Unreachable):  # it is looked for again and again anyway
                await self._catch_up()
        return answer.stored

    async def _taken_over(self, version: int) -> None:
        """Wait until all shards trade by a version, for at most `ANSWER_TIMEOUT_S`."""
        deadline_s = time.monotonic() + ANSWER_TIMEOUT_S
        while True:
            try:
                behind = await self._versions.behind(version)
            except Unreachable as error:
                raise Unavailable(
                    "changed and stored, but the database is away: it is not known which shards "
                    "trade by it yet; all will"
                ) from error
            if not behind:
                return
            if time.monotonic() >= deadline_s:
                named = ", ".join(str(shard) for shard in behind)
                raise Unavailable(
                    f"changed and stored, but not traded by yet in shards {named}: it will be as "
                    "soon as somebody trades them",
                    5,
                )
            await asyncio.sleep(LOOK_INTERVAL_S)
