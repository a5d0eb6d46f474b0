"""Accounts taken back to what is stored: after a decision that failed, or where a sweep says so.

Memory is replaced in one step with what was queued for the account, so that nothing is written that
was decided on the memory that is gone. What the last quotes trigger is judged anew.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence

from loguru import logger

from service.domain.account import Account
from service.domain.decision import Decision
from service.domain.engine import Engine
from service.domain.order import OrderState
from service.instruments import Instruments
from service.loops.answers import Answers, Withdrawn
from service.loops.settings_changes import SettingsChanges
from service.storage.database import Database
from service.storage.errors import Diverged, Fenced, Unreachable, is_conflict
from service.storage.loader import load_account
from service.storage.settings_write import set_triggers
from service.storage.writer import Writer

RELOAD_RETRY_S = 0.5
RELOAD_TRIES = 10
STORED_TIMEOUT_S = 5.0


class Reloading:
    """Reloads accounts, and tells whose decisions that takes back."""

    def __init__(
        self,
        database: Database,
        instruments: Instruments,
        answers: Answers,
        settings_changes: SettingsChanges,
    ) -> None:
        self._database = database
        self._instruments = instruments
        self._answers = answers
        self._settings_changes = settings_changes

    async def after_failure(
        self, engine: Engine, writer: Writer, decision: Decision, error: Exception
    ) -> None:
        """Reload the account of a decision that failed alone, while the writer waits for it."""
        account_id = decision.account.account_id
        logger.error(
            "decision {} of account {} failed: {}", decision.decision_id, account_id, error
        )
        account, orders = await self._stored(engine, account_id)
        self._instruments.decision_failed(is_conflict=is_conflict(error))
        self._refuse((decision,))
        failed_order_id = None if decision.order is None else decision.order.order_id
        self._take(engine, writer, account, orders, failed_order_id)

    async def at_rest(
        self,
        engine: Engine,
        writer: Writer,
        is_current: Callable[[], bool],
        account_id: int,
        failed_order_id: int | None,
    ) -> bool:
        """Reload an account once nothing of it is on its way to be stored.

        Returns:
            False where something always was, or `is_current` is no longer: nothing changed.

        Raises:
            AssertionError: it is not stored.
        """
        accounts = engine.desk.accounts
        for _ in range(RELOAD_TRIES):
            before = accounts.get(account_id)
            sequence = None if before is None else before.sequence
            try:
                async with asyncio.timeout(STORED_TIMEOUT_S):
                    await writer.put_settings(())  # done when all decided before is stored
            except (TimeoutError, Fenced, Diverged):
                return False
            account, orders = await self._stored(engine, account_id)
            if not is_current():
                return False
            now = accounts.get(account_id)
            if now is before and (now is None or now.sequence == sequence):
                self._take(engine, writer, account, orders, failed_order_id)
                self._store_triggers(engine, writer, orders)
                return True
        return False

    async def _stored(self, engine: Engine, account_id: int) -> tuple[Account, list[OrderState]]:
        while True:
            try:
                async with self._database.read("load") as connection:
                    return await load_account(connection, engine.desk, account_id)
            except Unreachable:
                await asyncio.sleep(RELOAD_RETRY_S)

    def _take(
        self,
        engine: Engine,
        writer: Writer,
        account: Account,
        orders: Sequence[OrderState],
        failed_order_id: int | None,
    ) -> None:
        withdrawn = writer.withdraw(account.account_id)
        writer.put(engine.reload(account, orders, failed_order_id), 0)
        self._instruments.decisions_withdrawn(len(withdrawn))
        self._refuse(withdrawn)

    def _store_triggers(self, engine: Engine, writer: Writer, states: Iterable[OrderState]) -> None:
        """Store the triggers that follow from prices and terms, where others are stored."""
        live = [(state, engine.desk.orders.get(state.order_id)) for state in states]
        moved = [
            order
            for state, order in live
            if order is not None
            and order.account.account_id not in engine.desk.faults  # where it is half changed
            and order.status is state.status
            and (order.trigger, order.stop_loss_trigger, order.take_profit_trigger)
            != (state.trigger, state.stop_loss_trigger, state.take_profit_trigger)
        ]
        if moved:
            self._settings_changes.queue(writer, [set_triggers(moved)])

    def _refuse(self, decisions: Iterable[Decision]) -> None:
        told = Withdrawn("the account was loaded anew: look at it and try again")
        self._answers.refuse([decision.decision_id for decision in decisions], told)
