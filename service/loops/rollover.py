"""The rollover: what positions held over 17:00 in New York cost or bring is charged.

Live, who owes is marked before anything else is decided after a rollover (`Trading`), and collected
here in slices, so that ticks go on in between; whoever closes first pays with the closing. Each
position is charged once: the charge is stored with how far it went. Once nobody owes, that is
stored for the shard, behind the charges; a start without it owes nothing for the time before.

A replay charges all at once before its first tick at or past a rollover, as part of that tick, so
that its deals and its ledger do not depend on when it was interrupted.
"""

import asyncio
import time
from collections.abc import Callable

from loguru import logger

from service.domain.decision import Decision
from service.domain.desk import Desk
from service.domain.engine import Engine
from service.domain.order import Order
from service.domain.swap import charge_swap, next_rollover, owe_swaps, settle_swap
from service.loops.trading import Trading
from service.storage.settings_write import SettingsStatement

ROLLOVER_INTERVAL_S = 1.0
SLICE = 200
MAX_BACKLOG = 10_000
_SET_ROLLED_UNTIL = "UPDATE shard_leases SET rolled_until = $2 WHERE shard = $1"


class RolloverFailed(Exception):
    """Some positions could not be charged; the rest was."""


class Rollover:
    """Charges swaps in the background; `clock` is in ns UTC."""

    def __init__(self, trading: Trading, clock: Callable[[], int] = time.time_ns) -> None:
        self._trading = trading
        self._clock = clock
        self._left = 0

    async def run_once(self) -> int:
        """Charge who owes, as long as the writer keeps up; return how many swaps were posted.

        Raises:
            RolloverFailed: some could not be charged; the others were.
            Unavailable: how far swaps are settled could not be stored.
        """
        trading = self._trading
        if not trading.is_writing:
            return 0
        trading.mark_rollover(self._clock())
        desk = trading.desk
        posted = 0
        failed: dict[int, None] = {}
        for number, order_id in enumerate(list(desk.owing)):
            if number % SLICE == 0:
                await asyncio.sleep(0)
                if trading.desk is not desk or trading.backlog > MAX_BACKLOG:
                    break  # the next run goes on
            order = desk.owing.get(order_id)
            if order is not None:
                posted += self._charge(desk, order, failed)
        for account_id in failed:
            await trading.reload_account(account_id)
        if failed:
            raise RolloverFailed(f"{len(failed)} accounts could not be charged: the log says why")
        if trading.desk is desk and trading.is_writing:
            await self._settle(desk)
        return posted

    def _charge(self, desk: Desk, order: Order, failed: dict[int, None]) -> int:
        def charge(engine: Engine) -> list[Decision]:
            charged = charge_swap(engine.desk, order)
            return [] if charged is None else [charged]

        try:
            return len(self._trading.decide(charge))
        except Exception:
            logger.exception("the swap of order {} cannot be charged", order.order_id)
            desk.owing.pop(order.order_id, None)
            failed[order.account.account_id] = None
            return 0

    async def _settle(self, desk: Desk) -> None:
        """Store how far swaps are settled, once nobody owes any more."""
        left = len(desk.owing)
        if left and left != self._left:
            logger.warning("{} positions owe a swap and have no conversion rate yet", left)
        self._left = left
        if left or desk.rolled_until == desk.owed_until:
            return

        def settle(desk: Desk) -> list[SettingsStatement]:
            desk.rolled_until = desk.owed_until
            return [(_SET_ROLLED_UNTIL, (desk.shard.number, desk.rolled_until))]

        await self._trading.change_settings(settle)


class ReplayedRollover:
    """The rollovers of a replay, on the time of its ticks; `due` is the next one, ns UTC."""

    def __init__(self, trading: Trading) -> None:
        self._trading = trading
        self.due = 0

    def pass_by(self, time: int, *, is_settled: bool) -> None:
        """Charge all swaps before a tick of `time` (ns UTC) that has reached `due`.

        `is_settled`: before the replay was interrupted. Then only what came to nothing, of which
        nothing is stored, has to be gone through again.
        """
        is_first, self.due = not self.due, next_rollover(time)
        if is_first:
            return
        desk = self._trading.desk
        owe_swaps(desk, time)
        if is_settled:
            for order in list(desk.owing.values()):
                settle_swap(desk, order)
        else:
            self._trading.decide(_charge_all)


def _charge_all(engine: Engine) -> list[Decision]:
    desk = engine.desk
    charged = [charge_swap(desk, order) for order in list(desk.owing.values())]
    # Part of the tick to come: where only some of it was stored, that tick is judged once more.
    tick = desk.tick + 1
    return [decision._replace(tick=tick) for decision in charged if decision is not None]
