"""The portfolio job: what every account with positions is worth, group by group (R5.1, R7).

For a group it makes one read of prices and terms, and for each `ACCOUNTS_IN_PIPELINE` of its
accounts one read of their static orders and one write of their valuations: 3 round trips to Redis.
What the cache lacks is read in one statement and filled with that same write: 4 round trips. There
is no limit on accounts.

What an account holds is kept, for up to `KEPT_ACCOUNTS` some 2 kB each, with the version of the
entry it was made of: Redis is asked in every run, and sends an entry only if it is another one.
Values are those of `service.loops.holding`: exact, and the domain's own.

It trades with nobody: what it finds is shown to administrators. It works in slices of `SLICE_S`, so
that ticks go on. An account that cannot be valued fails alone: it is counted, the others go on, and
the run fails in the end.
"""

import asyncio
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from service.domain.desk import Desk
from service.domain.times import format_time
from service.instruments import Instruments
from service.loops.group_market import priced_group
from service.loops.holding import GroupPrices, Holding, group_prices, holding, worth
from service.loops.portfolio import LiveOrdersReader
from service.storage.cache import (
    ACCOUNTS_IN_PIPELINE,
    Cache,
    StaticOrders,
    Ticket,
    Version,
)
from service.storage.errors import Unreachable
from service.storage.valuation import Valuation
from telemetry.vocabulary import VALUATIONS

KEPT_ACCOUNTS = 100_000
# Longer than most ticks take to be judged, shorter than anybody notices.
SLICE_S = 0.002
RUNS_BELIEVED = 3
LISTED_AT_ONCE = 5_000
_REDIS_AWAY = "Redis does not answer: no portfolio is written"


class NotValued(Exception):
    """Accounts failed to be valued; the others were."""


class _Kept(msgspec.Struct, frozen=True, gc=False):
    """What an account holds, and which entry of the cache says so."""

    version: Version
    held: Holding


class PortfolioJob:
    """Values the accounts of the desk of whoever trades; a standby's desk has none."""

    def __init__(
        self,
        desk: Callable[[], Desk],
        cache: Cache,
        reader: LiveOrdersReader,
        instruments: Instruments,
        interval_s: float,
    ) -> None:
        """Take how often it is run: what it writes outlives `RUNS_BELIEVED` runs, and no more."""
        self._desk = desk
        self._cache = cache
        self._reader = reader
        self._instruments = instruments
        self._expiry_s = math.ceil(RUNS_BELIEVED * interval_s)
        self._valued: set[int] = set()
        self._kept: dict[int, _Kept] = {}

    async def run_once(self) -> int:
        """Value all accounts with positions once and return how many.

        Raises:
            Unreachable: Redis is away, or it lacks accounts and the database is away.
            NotValued: some accounts cannot be valued.
        """
        desk = self._desk()
        if not desk.accounts:  # a standby's: they are another's to value, and to remove
            self._valued.clear()
            self._kept.clear()
            return 0
        before, self._valued = self._valued, set()
        failures: list[tuple[int, Exception]] = []
        try:
            for group, account_ids in (await _by_group(desk)).items():
                await self._value_group(group, account_ids, desk, failures)
        except BaseException:
            self._valued |= before  # not all were looked at: forget nobody
            raise
        gone = list(before - self._valued)
        for start in range(0, len(gone), ACCOUNTS_IN_PIPELINE):
            part = gone[start : start + ACCOUNTS_IN_PIPELINE]
            await self._write((), part)
            for account_id in part:
                self._kept.pop(account_id, None)
        if failures:
            account_id, error = failures[0]
            raise NotValued(
                f"{len(failures)} accounts cannot be valued, account {account_id}: {error!r}"
            ) from error
        return len(self._valued)

    async def _value_group(
        self,
        group: str,
        account_ids: Sequence[int],
        desk: Desk,
        failures: list[tuple[int, Exception]],
    ) -> None:
        read = await self._cache.groups.market(group)
        if read is None:
            raise Unreachable(_REDIS_AWAY)
        priced = priced_group(desk.groups[group], read, desk)
        for source, count in priced.sources.items():
            self._instruments.portfolio_prices(source, count)
        prices = group_prices(group, priced.desk)
        for start in range(0, len(account_ids), ACCOUNTS_IN_PIPELINE):
            part = account_ids[start : start + ACCOUNTS_IN_PIPELINE]
            await self._value_part(part, prices, failures)

    async def _value_part(
        self,
        account_ids: Sequence[int],
        prices: GroupPrices,
        failures: list[tuple[int, Exception]],
    ) -> None:
        kept, group = self._kept, prices.group
        known = {each: kept[each].version for each in account_ids if each in kept}
        changes = await self._cache.changed_static_orders(account_ids, known)
        held = {each: kept[each].held for each in changes.same if kept[each].held.group == group}
        found = {each: orders for each, orders in changes.found.items() if orders[0].group == group}
        versions = {each: changes.versions[each] for each in found}
        lacking = [each for each in account_ids if each not in held and each not in found]
        cached = {*changes.same, *changes.found}
        elsewhere = [each for each in lacking if each in cached]
        if elsewhere:  # cached before they changed groups
            await self._cache.remove_accounts(elsewhere)
        ticket, read = None, {}
        if lacking:
            ticket = await self._cache.open_fill(lacking)
            if ticket is None:
                raise Unreachable(_REDIS_AWAY)
            read = await self._reader.live_orders(lacking)
            # Who is of another group by now is on its way there: the next run finds it.
            found |= {each: orders for each, orders in read.items() if orders[0].group == group}
        valuations = await self._value(held, found, versions, prices, failures)
        await self._write(valuations, (), ticket, read.values())
        self._valued.update(each.account_id for each in valuations)

    async def _value(
        self,
        held: Mapping[int, Holding],
        found: Mapping[int, StaticOrders],
        versions: Mapping[int, Version],
        prices: GroupPrices,
        failures: list[tuple[int, Exception]],
    ) -> list[Valuation]:
        """Value accounts of which is known what they hold, and those whose orders were found."""
        now = format_time(time.time_ns())
        valuations = []
        counts = dict.fromkeys(VALUATIONS, 0)
        since = time.perf_counter()
        for account_id in (*held, *found):
            try:
                account = held.get(account_id)
                if account is None:
                    account = holding(*found[account_id], prices)
                valued = None if account is None else worth(account, prices, now)
            except Exception as error:  # one account's fault is not the others'
                failures.append((account_id, error))
                counts["failed"] += 1
                continue
            if account is None or valued is None:
                counts["flat"] += 1
            else:
                counts["unpriced" if valued.unpriced else "valued"] += 1
                valuations.append(valued)
                if account_id in versions:
                    self._keep(account, versions[account_id])
            if time.perf_counter() - since > SLICE_S:
                await asyncio.sleep(0)
                since = time.perf_counter()
        for result, count in counts.items():
            self._instruments.portfolio_accounts(result, count)
        return valuations

    def _keep(self, account: Holding, version: Version) -> None:
        """Remember what an entry of the cache says."""
        kept, account_id = self._kept, account.account_id
        if account_id in kept or len(kept) < KEPT_ACCOUNTS:
            kept[account_id] = _Kept(version, account)

    async def _write(
        self,
        valuations: Iterable[Valuation],
        gone: Iterable[int],
        ticket: Ticket | None = None,
        read: Iterable[StaticOrders] = (),
    ) -> None:
        if not await self._cache.write_valuations(valuations, gone, ticket, read, self._expiry_s):
            raise Unreachable(_REDIS_AWAY)


async def _by_group(desk: Desk) -> dict[str, list[int]]:
    """List the accounts with positions; live and demo are of one kind here."""
    groups: dict[str, list[int]] = {}
    for number, account in enumerate(list(desk.accounts.values()), 1):
        if account.exposures:
            groups.setdefault(account.group.name, []).append(account.account_id)
        if number % LISTED_AT_ONCE == 0:
            await asyncio.sleep(0)
    return groups
