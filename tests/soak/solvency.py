"""What must be true of margins once every market was quoted and nothing else goes on."""

from decimal import Decimal

from service.domain.account import Account, position_profit
from service.domain.desk import Desk
from service.domain.instrument import TradingState
from service.domain.money import EQUAL_WITHIN

_HUNDRED = Decimal(100)


def insolvent(desk: Desk, now: int) -> list[str]:
    """Return the accounts that should have been stopped out, called or let off.

    Every market must have been quoted twice since the last command, so that each account was judged
    at prices that are the last ones. `now` is the market's time, ns UTC.
    """
    found = []
    judged = {
        name
        for name, market in desk.markets.items()
        if market.time == now and market.symbol.trading_state is not TradingState.HALTED
    }
    for account in desk.accounts.values():
        is_called = account.in_margin_call
        if not account.exposures:
            if is_called:
                found.append(f"account {account.account_id} has no positions and is called")
            continue
        equity = _equity(account)
        if equity is None or account.equity() is None:
            found.append(f"account {account.account_id} cannot be priced")
            continue
        counted = account.equity()
        if counted is None or abs(counted - equity) > EQUAL_WITHIN:
            found.append(f"account {account.account_id}: equity {counted}, summed up {equity}")
        group = account.group
        if group.trading_state is TradingState.HALTED or not judged & account.exposures.keys():
            continue
        level = account.margin / _HUNDRED
        slack = EQUAL_WITHIN
        where = f"account {account.account_id}, equity {equity:.6f}, margin {account.margin:.6f}"
        if (equity <= 0 or equity < level * group.stop_out_level - slack) and (
            closable := _closable(desk, account, now)
        ):
            found.append(f"{where}: not stopped out of {closable}")
        if equity < level * group.margin_call_level - slack and not is_called:
            found.append(f"{where}: not called")
        recovered = group.margin_call_level + group.margin_call_hysteresis
        if is_called and equity > slack and equity > level * recovered + slack:
            found.append(f"{where}: still called")
    return found


def _equity(account: Account) -> Decimal | None:
    """Sum the profits of all positions up, one by one."""
    equity = account.balance
    for exposure in account.exposures.values():
        for order in exposure.positions.values():
            profit = position_profit(order)
            if profit is None:
                return None
            equity += profit
    return equity


def _closable(desk: Desk, account: Account, now: int) -> list[int]:
    return [
        order_id
        for exposure in account.exposures.values()
        if exposure.terms.may_close and exposure.terms.market.is_in_session(now)
        for order_id in exposure.positions
    ]
