"""The formulas: margin, commission and profit of an order, margin of a user, worth of a portfolio.

Amounts in USD. A user's margin in a symbol is that of the larger side, long or short, at the margin
a lot of his dearest order takes.
"""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from tests.bench.before.cache import Fields
from tests.bench.before.market import CENT, Price, Prices, closing_side, to_usd

ZERO = Decimal(0)
_EXIT_ONLY, _ENTRY_ONLY = "exit", "entry"
_MARGIN_CALL_LEVEL = 100


def order_margin(
    lots: Decimal, price: Decimal, leverage: Decimal, settings: Mapping[str, Any], prices: Prices
) -> Decimal:
    value = lots * Decimal(settings["contract_size"]) * price / leverage
    value *= Decimal(settings["margin_factor"])
    return to_usd(value, settings["profit_currency"], prices).quantize(CENT)


def commission(
    lots: Decimal, price: Decimal, settings: Mapping[str, Any], *, is_entry: bool
) -> Decimal:
    if settings["commission_type"] == (_EXIT_ONLY if is_entry else _ENTRY_ONLY):
        return ZERO
    rate = Decimal(settings["commission"])
    if settings["commission_value_type"] == "per_lot":
        return (rate * lots).quantize(CENT)
    return (rate / 100 * lots * Decimal(settings["contract_size"]) * price).quantize(CENT)


def profit(order: Mapping[str, Any], price: Decimal, settings: Mapping[str, Any]) -> Decimal:
    """Return the profit of a position at a price, in the profit currency."""
    move = price - Decimal(order["open_price"])
    if order["order_type"].startswith("SELL"):
        move = -move
    return move * Decimal(order["lots"]) * Decimal(settings["contract_size"])


def hedged_margin(orders: Iterable[Mapping[str, Any]]) -> Decimal:
    """Return the margin of a user's positions in one symbol."""
    dearest = bought = sold = ZERO
    for order in orders:
        lots = Decimal(order["lots"])
        dearest = max(dearest, Decimal(order["margin"]) / lots)
        if order["order_type"].startswith("BUY"):
            bought += lots
        else:
            sold += lots
    return (dearest * max(bought, sold)).quantize(CENT)


def portfolio(
    user: Mapping[str, Any],
    positions: Sequence[Mapping[str, Any]],
    prices: Mapping[str, Price],
    settings: Mapping[tuple[str, str], Mapping[str, Any]],
) -> Fields:
    """Return what a user is worth at his group's prices."""
    total = ZERO
    shown = []
    for order in positions:
        terms = settings[user["group_name"], order["symbol"]]
        price = closing_side(order["order_type"], prices[order["symbol"]])
        gross = to_usd(profit(order, price, terms), terms["profit_currency"], prices)
        net = gross - Decimal(order["commission"])
        total += net
        shown.append({**order, "profit_loss": str(net.quantize(CENT))})
    balance, margin = Decimal(user["wallet_balance"]), Decimal(user["margin"])
    equity = balance + total
    level = equity / margin * 100 if margin > 0 else ZERO
    return {
        "balance": str(balance),
        "equity": str(equity.quantize(CENT)),
        "margin": str(margin),
        "free_margin": str((equity - margin).quantize(CENT)),
        "profit_loss": str(total.quantize(CENT)),
        "margin_level": str(level.quantize(CENT)),
        "margin_call": 0 < level < _MARGIN_CALL_LEVEL,
        "positions_with_pnl": shown,
    }
