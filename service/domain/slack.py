"""How far prices may move before an account's margin level crosses the next level that matters.

The next level is the margin call, or during one the stop-out below and the recovery above. The
widths follow from how much equity there is between, the slack:

- prices: every symbol may move by the same share `delta` of its price. Net of the other leg, a move
  of all of them loses at most delta * N, N = sum of |long - short| notional in USD;
- spreads: a hedged leg loses by the spread, not by the price. A fifth of the slack goes to spreads
  that widen by a share of the price, over S = sum of the hedged notional;
- rates: those that convert profit may move by up to `MAX_RATE_DELTA`, or as far as a tenth of the
  slack goes over Q = sum of |gains| + |losses| in USD.

What is left of the slack over N is delta, at most `MAX_DELTA`. Where profit is converted, N, S and
Q are taken times 1 / (1 - MAX_RATE_DELTA), which covers a price and an inverse rate moving
together, and N includes 2.2 times `MAX_RATE_DELTA` plus the spread of the rate, of the hedged
notional, whose legs convert on two sides.

Towards recovery a hedged leg gains by a spread that narrows: by all of it at most, and at most by
delta of the bid and delta of the ask together. The better of both bounds counts: the slack less all
spreads over N, or the slack over N plus the hedged notional at the bid and at the ask.

Volumes, prices and gains are exact integers; the rest is floats with a guard, towards narrower.
"""

from typing import NamedTuple

from service.domain.account import Account
from service.domain.instrument import TradingState

MAX_DELTA = 0.25
MAX_RATE_DELTA = 0.05
_CONVERTED = 1 / (1 - MAX_RATE_DELTA)
_TWO_SIDES = 2.2 * MAX_RATE_DELTA
_SPREAD_SHARE = 0.2
_RATE_SHARE = 0.1
_RELATIVE_GUARD = 1e-9
_GUARD_USD = 1e-6
_HALTED = TradingState.HALTED
# What of a market moves an account: a net long by the bid, a net short by the ask, a hedged volume
# by the spread, a converted profit by both sides.
BID, ASK, SPREAD, RATE = 1, 2, 4, 8


class Widths(NamedTuple):
    """By which share of it each price may move: for the worse, in a margin call for the better too.

    `price` <= 0: the account is to be examined at every tick.
    """

    price: float
    rate: float
    spread: float
    price_up: float | None = None
    rate_up: float = 0.0


NO_WIDTHS = Widths(0.0, 0.0, 0.0)


def widths_of(account: Account) -> tuple[Widths | None, dict[str, int]]:
    """Return the widths of an account's bands, and what of which markets they are set on.

    None where a position cannot be priced, then with the markets that may change that.
    """
    sides: dict[str, int] = {}
    group = account.group
    if not account.exposures or group.trading_state is _HALTED:
        return NO_WIDTHS, sides
    profit = net = hedged = hedged_spread = converted = 0.0
    unpriced: dict[str, int] = {}
    for name, exposure in account.exposures.items():
        terms = exposure.terms
        market = terms.market
        bid, unit = market.bid, market.point_value
        long_volume, short_volume = exposure.long_volume, exposure.short_volume
        rate = market.rate
        if not terms.is_priced:
            unpriced[name] = RATE
            continue
        if rate.is_account_currency:
            profit += exposure.points() * unit
            two_sides = 0.0
        else:
            factors = rate.factors()
            for each in rate.markets:
                converter = each.symbol.name
                if factors is None:
                    unpriced[converter] = RATE
                else:
                    sides[converter] = sides.get(converter, 0) | RATE
            if factors is None:
                continue
            gain, loss = factors
            gains, losses = exposure.gains_and_losses()
            profit += (gains * gain + losses * loss) * unit
            # A loss converts at the dearer side.
            unit *= loss * _CONVERTED
            converted += (gains - losses) * unit
            two_sides = (loss - gain) / loss + _TWO_SIDES
        side = 0
        if long_volume > short_volume:
            net += (long_volume - short_volume) * bid * unit
            side = BID
        elif short_volume > long_volume:
            net += (short_volume - long_volume) * market.ask * unit
            side = ASK
        if long_volume and short_volume:
            both = min(long_volume, short_volume) * unit
            hedged += both * bid
            hedged_spread += both * (market.ask - bid)
            net += two_sides * both * market.ask
            side |= (BID | ASK | SPREAD) if two_sides else SPREAD
        sides[name] = sides.get(name, 0) | side
    if unpriced or not sides:
        return None, unpriced
    return _widths(account, profit, net, hedged, hedged_spread, converted), sides


def _widths(
    account: Account,
    profit: float,
    net: float,
    hedged: float,
    hedged_spread: float,
    converted: float,
) -> Widths:
    """Share the slack out; all in USD."""
    group = account.group
    balance, margin = float(account.balance), float(account.margin) / 100
    equity = balance + profit
    guard = _GUARD_USD + _RELATIVE_GUARD * (abs(balance) + net + hedged + converted)
    if not account.in_margin_call:
        slack = equity - margin * float(group.margin_call_level) - guard
        return Widths(*_share(slack, net, hedged, converted))
    down = equity - margin * float(group.stop_out_level) - guard
    recovered = float(group.margin_call_level + group.margin_call_hysteresis)
    up = margin * recovered - equity - guard
    if up <= 0:
        return NO_WIDTHS
    # A spread can narrow to nothing, or not further than bid and ask move.
    price_up, rate_up, _ = max(
        _share(up - hedged_spread, net, 0.0, converted),
        _share(up, net + 2 * hedged + hedged_spread, 0.0, converted),
    )
    return Widths(*_share(down, net, hedged, converted), price_up, rate_up)


def _share(slack: float, net: float, hedged: float, converted: float) -> tuple[float, float, float]:
    """Return by which shares prices, rates and spreads may move for at most `slack` in USD."""
    if slack <= 0:
        return 0.0, 0.0, 0.0
    rate = spread = MAX_RATE_DELTA
    rest = slack
    if converted:
        rate = min(MAX_RATE_DELTA, _RATE_SHARE * slack / converted)
        rest -= rate * converted
    if hedged:
        spread = min(MAX_DELTA, _SPREAD_SHARE * slack / hedged)
        rest -= spread * hedged
    return min(MAX_DELTA, rest / net) if net else MAX_DELTA, rate, spread
