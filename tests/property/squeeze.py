"""Quotes that bring an account to the very point where something is to happen to it."""

from fractions import Fraction

from tests.property.markets import BASE_POINTS, NAMES
from tests.property.oracle_margin import MarginOracle
from tests.property.steps import Squeeze

DEBT = Fraction(-1000)


def squeeze(oracle: MarginOracle, step: Squeeze) -> int | None:
    """Return the bid, for a spread of one point, at which an account reaches a level.

    None: it has no position in the symbol, its equity is unknown, or no price near brings it there.
    """
    name, account = NAMES[step.symbol], oracle.accounts[step.account]
    held = [o for o in oracle.positions(account) if o.symbol == name]
    if not held or name not in oracle.quotes:
        return None
    before, point = oracle.quotes[name], oracle.point(name)
    wanted = equity_at(oracle, step.account, step.level)

    def is_below(bid: int) -> bool | None:
        oracle.quotes[name] = before._replace(bid=bid * point, ask=(bid + 1) * point)
        equity = oracle.equity(account)
        return None if equity is None else equity < wanted

    base = BASE_POINTS[step.symbol]
    low, high = base - base // 5, base + base // 5
    try:
        at_low = is_below(low)
        if at_low is None or at_low == is_below(high):
            return None
        while high - low > 1:
            middle = (low + high) // 2
            if is_below(middle) == at_low:
                low = middle
            else:
                high = middle
    finally:
        oracle.quotes[name] = before
    below, at_least = (low, high) if at_low else (high, low)
    return (at_least if step.rises else below) + step.points


def equity_at(oracle: MarginOracle, number: int, level: str) -> Fraction:
    """Return the equity at which an account reaches a level."""
    account = oracle.accounts[number]
    group = oracle.groups[account.group]
    call = Fraction(group.margin_call_level)
    match level:
        case "margin call":
            return oracle.level(account, call)
        case "stop-out":
            return oracle.level(account, Fraction(group.stop_out_level))
        case "recovery":
            return oracle.level(account, call + Fraction(group.margin_call_hysteresis))
        case "nothing left":
            return Fraction(0)
        case _:
            return DEBT
