"""Margin calls and stop-outs: what becomes of an account whose equity no longer bears its margin.

Margin level = equity / margin * 100. Below the group's `margin_call_level` the account is called
once, until it has recovered to `margin_call_hysteresis` above it. Below `stop_out_level`, or
without any equity, positions are closed at the group's price: the largest loss whose market may be
dealt, and was quoted in this session, first, until the level is back or nothing more can be closed.
Equity <= 0 with open positions is the worst case, not an exception. An account that cannot be
priced is not judged.
"""

from decimal import Decimal

from service.domain.account import Account, position_profit
from service.domain.dealing import close_order
from service.domain.decision import Decision, EventKind
from service.domain.desk import Desk
from service.domain.instrument import TradingState
from service.domain.money import EQUAL_WITHIN, EXACT
from service.domain.order import CloseReason
from service.domain.record import NO_POSTINGS, record_account

_HALTED = TradingState.HALTED


def judge_margin(desk: Desk, account: Account, time: int) -> list[Decision]:
    """Judge an account at the last quotes, on a tick of `time` (ns UTC)."""
    group = account.group
    equity = account.equity() if account.exposures else None
    if equity is None or group.trading_state is _HALTED:
        return []
    decisions = []
    if not account.in_margin_call and _is_below(account, equity, group.margin_call_level):
        account.in_margin_call = True
        decisions.append(record_account(desk, EventKind.MARGIN_CALLED, account, NO_POSTINGS, time))
    if _is_below(account, equity, group.stop_out_level):
        decisions += _stop_out(desk, account, time)
    if account.in_margin_call and account.exposures:
        equity = account.equity()
        recovered = EXACT.add(group.margin_call_level, group.margin_call_hysteresis)
        if equity is not None and not _is_below(account, equity, recovered):
            account.in_margin_call = False
            decisions.append(
                record_account(desk, EventKind.MARGIN_RESTORED, account, NO_POSTINGS, time)
            )
    return decisions


def _is_below(account: Account, equity: Decimal, level: Decimal) -> bool:
    """Tell whether there is no equity, or less than `level` percent of the margin."""
    if equity <= EQUAL_WITHIN:
        return True
    needed = EXACT.multiply(account.margin, level).scaleb(-2, EXACT)
    return EXACT.subtract(needed, equity) > EQUAL_WITHIN


def _stop_out(desk: Desk, account: Account, time: int) -> list[Decision]:
    # What closes changes balance and margin, never the profit of the others on this tick.
    by_loss = sorted(
        (profit, order_id, order)
        for exposure in account.exposures.values()
        if exposure.terms.may_close and exposure.terms.market.is_live(time)
        for order_id, order in exposure.positions.items()
        if (profit := position_profit(order)) is not None
    )
    decisions: list[Decision] = []
    for _, _, order in by_loss:
        equity = account.equity()
        if equity is None or not _is_below(account, equity, account.group.stop_out_level):
            break
        decision = close_order(desk, order, CloseReason.STOP_OUT, time)
        if decision is not None:
            decisions.append(decision)
    return decisions
