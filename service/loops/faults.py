"""Faults: accounts whose rules raised, taken back to what is stored one by one (R3.2).

The engine leaves such an account alone and judges everybody else (`Desk.faults`). This loop logs
and counts each fault and loads the account anew: at once the first time, after a growing wait when
it comes again, so that one order that always raises costs little. Until then nothing of the account
is dealt, and its commands are refused with ACCOUNT_FAULTED.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from loguru import logger

from service.domain.desk import Fault
from service.instruments import Instruments
from service.loops.trading import Trading

FAULTS_INTERVAL_S = 0.5
WAIT_FIRST_S = 1.0
WAIT_CAP_S = 60.0
FORGET_AFTER_S = 600.0


@dataclass(slots=True)
class _Case:
    """An account that has faulted: its last fault, how often, and when it is loaded anew."""

    fault: Fault
    count: int
    due_s: float


class Faults:
    """Loads faulted accounts anew; `clock` is monotonic, in seconds."""

    def __init__(
        self,
        trading: Trading,
        instruments: Instruments,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._trading = trading
        self._instruments = instruments
        self._clock = clock
        self._cases: dict[int, _Case] = {}

    async def run_once(self) -> int:
        """Load anew who is due; return how many accounts that were."""
        now = self._clock()
        faults = self._trading.desk.faults
        for account_id, fault in list(faults.items()):
            case = self._cases.get(account_id)
            if case is None or case.fault is not fault:
                self._open_case(account_id, fault, now)
        loaded = 0
        for account_id, case in list(self._cases.items()):
            if account_id in faults:
                if now >= case.due_s and await self._trading.reload_account(
                    account_id, case.fault.order_id
                ):
                    loaded += 1
            elif now > case.due_s + FORGET_AFTER_S:
                del self._cases[account_id]
        return loaded

    def _open_case(self, account_id: int, fault: Fault, now: float) -> None:
        before = self._cases.get(account_id)
        count = 1 if before is None else before.count + 1
        wait_s = 0.0 if count == 1 else min(WAIT_FIRST_S * 2 ** min(count - 2, 10), WAIT_CAP_S)
        self._cases[account_id] = _Case(fault, count, now + wait_s)
        self._instruments.account_faulted()
        logger.opt(exception=fault.error).error(
            "account {} is left alone after fault {} (order {}); it is loaded anew in {:g} s: {}",
            account_id,
            count,
            fault.order_id,
            wait_s,
            fault.error,
        )
