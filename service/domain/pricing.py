"""What a fill costs: its price by the group's policy, its slippage and its commission."""

from decimal import Decimal

from service.domain.instrument import CommissionValueType, FillPolicy
from service.domain.money import EXACT, VOLUME_UNITS_PER_LOT, ZERO, to_cents
from service.domain.order import Order, OrderKind

MAX_LOT_COMMISSIONS = 10_000
# Reading a member off its enum costs as much as a call in Python 3.11.
_MARKET, _LIMIT = OrderKind.MARKET, OrderKind.LIMIT
_REQUESTED = FillPolicy.REQUESTED
_PER_LOT = CommissionValueType.PER_LOT


def fill_price(
    order: Order, kind: OrderKind, requested: int | None, group_price: int, *, buys: bool
) -> tuple[int, int]:
    """Return the fill price in points and its slippage (positive: worse for the client).

    `market`: stops fill at the group price, limits at the group price but never worse than asked.
    `requested`: at the price asked for. Without a requested price: at the group price.
    """
    if requested is None or kind is _MARKET:
        return group_price, 0
    if order.terms.group.fill_policy is _REQUESTED:
        return requested, 0
    price = group_price
    if kind is _LIMIT:
        price = min(price, requested) if buys else max(price, requested)
    return price, price - requested if buys else requested - price


def commission_at(order: Order, price: int, volume: int | None = None) -> Decimal | None:
    """Return the commission of a deal at `price` points in USD, in cents; None: no rate.

    `volume` None: of all that is open.

    Per lot: `commission * lots` USD. Percent: of lots * contract_size * price, converted as a loss.
    """
    settings = order.terms.settings
    if not settings.commission:
        return ZERO
    if volume is None:
        volume = order.volume
    if settings.commission_value_type is _PER_LOT:
        known = order.terms.lot_commissions
        commission = known.get(volume)
        if commission is None:
            if len(known) >= MAX_LOT_COMMISSIONS:
                known.clear()
            lots = EXACT.divide(volume, VOLUME_UNITS_PER_LOT)
            commission = known[volume] = to_cents(EXACT.multiply(settings.commission, lots))
        return commission
    market = order.terms.market
    notional = EXACT.multiply(market.profit_scale, price * volume)
    charge = market.rate.loss(EXACT.multiply(notional, settings.commission).scaleb(-2, EXACT))
    return None if charge is None else to_cents(charge)
