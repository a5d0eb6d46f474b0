"""Reconciliation: does memory hold what is stored? (R5.3)

A run compares the next slices of the live accounts, and of the demo ones, with what PostgreSQL has:
accounts, and their live orders, field by field. So all are gone round in laps, whatever their
number, at the same cost for each run: a hundred thousand orders in ten runs. What has decisions in
flight is left for the next lap, and so is a shard whose triggers are stored as of older settings
than it trades by, as where a new leader has loaded newer ones. What differs is a defect or somebody
else's hand in the database, which is the truth: it is counted, logged with what differs, and the
account is taken back to what is stored.

Accounts are taken one by one: one that fails is an error of the run, and the rest goes on. Cost: a
lap begins with a walk over all orders in slices, about a microsecond each; a slice of a thousand
orders takes the event loop some 5 ms and the database some 50.
"""

import asyncio
from collections.abc import Iterable

from loguru import logger

from service.domain.account import Account
from service.domain.desk import Desk
from service.domain.instrument import UserType
from service.domain.order import OrderState
from service.domain.record import order_state
from service.instruments import Instruments
from service.loops.trading import Trading
from service.storage.database import Database
from service.storage.differences import (
    END_OF_ACCOUNTS,
    AccountRange,
    Difference,
    find_differences,
)
from service.storage.settings_version import version_of

SLICE_ACCOUNTS = 1_000
SLICE_ORDERS = 1_000
SLICES_PER_RUN = 5
WALK_SLICE = 5_000


class ReconciliationFailed(Exception):
    """Some accounts could not be taken back to what is stored; the rest was."""


class Lap:
    """Once around the accounts of a user type, in the order of their ids.

    It knows the live orders of the moment it began; those placed since are left for the next. A
    slice is at least one account.
    """

    def __init__(self, desk: Desk, user_type: UserType) -> None:
        self.desk = desk
        self.user_type = user_type
        self._orders_below = desk.next_order_id
        self._account_ids = sorted(
            account.account_id
            for account in desk.accounts.values()
            if account.user_type is user_type
        )
        self._orders: dict[int, list[int]] = {}
        self._next = 0
        self._after = 0

    async def begin(self) -> None:
        """Find out which orders are whose, giving way to others in between."""
        order_ids = list(self.desk.orders)
        for number, order_id in enumerate(order_ids):
            if number % WALK_SLICE == 0:
                await asyncio.sleep(0)
            order = self.desk.orders.get(order_id)
            if order is not None and order.account.user_type is self.user_type:
                self._orders.setdefault(order.account.account_id, []).append(order_id)

    @property
    def is_over(self) -> bool:
        return self._after == END_OF_ACCOUNTS

    def take(self) -> tuple[AccountRange, list[Account], Iterable[OrderState]]:
        """Return the next slice: a range of accounts, and what memory holds of it now."""
        desk = self.desk
        held: list[Account] = []
        order_ids: list[int] = []
        while self._next < len(self._account_ids) and len(held) < SLICE_ACCOUNTS:
            account_id = self._account_ids[self._next]
            held.append(desk.accounts[account_id])
            order_ids += self._orders.pop(account_id, ())
            self._next += 1
            if len(order_ids) >= SLICE_ORDERS:
                break
        is_last = self._next == len(self._account_ids)
        after, self._after = self._after, END_OF_ACCOUNTS if is_last else held[-1].account_id
        live = [desk.orders[order_id] for order_id in order_ids if order_id in desk.orders]
        accounts = AccountRange(self.user_type, after, self._after, self._orders_below, desk.shard)
        return accounts, held, [order_state(order, None) for order in live]


class Reconciliation:
    """Compares memory with the database, and repairs memory."""

    def __init__(self, database: Database, trading: Trading, instruments: Instruments) -> None:
        self._database = database
        self._trading = trading
        self._instruments = instruments
        self._laps: dict[UserType, Lap] = {}

    async def run_once(self) -> int:
        """Compare the next slices of each user type; return how many differences there were.

        Raises:
            Unreachable: the database is away.
            ReconciliationFailed: accounts could not be repaired; the others were.
        """
        found = 0
        for user_type in UserType:
            for _ in range(SLICES_PER_RUN):
                found += await self._compare_slice(user_type)
                if self._is_round(user_type):
                    break
        return found

    async def run_lap(self) -> int:
        """Compare everything once, while trading; return how many differences there were."""
        found = 0
        for user_type in UserType:
            self._laps.pop(user_type, None)
            while self._trading.is_writing:
                found += await self._compare_slice(user_type)
                if self._is_round(user_type):
                    break
        return found

    def _is_round(self, user_type: UserType) -> bool:
        lap = self._laps.get(user_type)
        return lap is not None and lap.is_over

    async def _compare_slice(self, user_type: UserType) -> int:
        trading, changes = self._trading, self._trading.settings_changes
        if not trading.is_writing:
            return 0
        lap = self._laps.get(user_type)
        if lap is None or lap.is_over or lap.desk is not trading.desk:
            lap = Lap(trading.desk, user_type)
            await lap.begin()
            self._laps[user_type] = lap
        async with self._database.read("reconcile") as connection:
            stored = await version_of(connection, lap.desk.shard.number)
            if changes.in_flight or stored < lap.desk.settings_version:
                return 0  # triggers and accounts are on their way
            changes_before = changes.count
            # Nothing may happen between what is taken and what is asked.
            found = await find_differences(connection, *lap.take())
        if changes.count != changes_before or trading.desk is not lap.desk:
            return 0
        if not trading.is_leading:
            return 0  # whoever leads now has stored what this memory does not know
        return await self._repair([each for each in found if self._stands(each)])

    def _stands(self, difference: Difference) -> bool:
        """Tell whether memory is still what was compared, so that the difference is one."""
        desk = self._trading.desk
        if difference.account_id in desk.faults:
            return False  # half changed, and loaded anew in any case
        account = desk.accounts.get(difference.account_id)
        sequence = None if account is None else account.sequence
        if sequence != difference.sequence:
            return False
        is_held = difference.order_id in desk.orders
        return difference.kind != "missing_in_memory" or not is_held

    async def _repair(self, differences: list[Difference]) -> int:
        failed = 0
        for difference in differences:
            logger.error(
                "memory is not what is stored: {} order {} of account {}: {}",
                difference.kind,
                difference.order_id,
                difference.account_id,
                difference.detail,
            )
            self._instruments.reconciled(difference.kind)
        for account_id in dict.fromkeys(each.account_id for each in differences):
            try:
                await self._trading.reload_account(account_id)
            except Exception:
                logger.exception("account {} cannot be loaded anew", account_id)
                failed += 1
        if failed:
            raise ReconciliationFailed(f"{failed} accounts cannot be loaded anew: the log says why")
        return len(differences)
