"""A group's market as the portfolio job values by it: one read of prices and terms (R7.1, R7.2).

Prices come from the cache; what it does not have is the last known price of this process, which
keeps its time; what was never quoted is no price, and never zero: positions in it are unpriced.
Terms the cache does not have are those of this process.
"""

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from service.domain.desk import Desk
from service.domain.instrument import Group
from service.domain.market import Market, Terms, find_rate
from service.domain.money import parse_scaled
from service.domain.quote import Quote
from service.storage.group_cache import GroupMarket
from service.storage.group_views import (
    GroupSymbolView,
    PriceView,
    group_symbol_view,
    settings_of,
    symbol_of,
)
from service.storage.views import parse_time


class PricedGroup(NamedTuple):
    """A desk without accounts on which one group's positions can be valued.

    `sources` counts its symbols by where their price came from: cache, last_known, none.
    """

    desk: Desk
    sources: Mapping[str, int]


def priced_group(group: Group, read: GroupMarket, desk: Desk) -> PricedGroup:
    """Build a group's market from what the cache knows, filled up from a desk in memory.

    Pairs the group does not trade are there too, at their raw quotes: for conversion.
    """
    own = Desk()
    own.groups[group.name] = group
    symbols = _symbols(group.name, read, desk)
    prices = read.prices or {}
    sources: Counter[str] = Counter()
    for name, live in desk.markets.items():
        view = symbols.get(name)
        market = Market(live.symbol if view is None else symbol_of(view))
        own.markets[name] = market
        price = None
        if view is not None:
            own.terms[group.name, name] = terms = Terms(
                settings_of(group.name, view), group, market
            )
            price = prices.get(name)
            if price is not None:
                market.take(_quote(price, terms))
        if price is None and live.is_quoted:
            market.take(Quote(name, live.bid, live.ask, live.time))
        if view is not None:
            source = "none" if not market.is_quoted else "last_known" if price is None else "cache"
            sources[source] += 1
    for market in own.markets.values():
        market.rate = find_rate(market.symbol.profit_currency, own.markets)
    return PricedGroup(own, sources)


def _symbols(group: str, read: GroupMarket, desk: Desk) -> dict[str, GroupSymbolView]:
    symbols = {view.symbol: view for view in read.symbols or ()}
    for name in desk.markets.keys() - symbols.keys():
        terms = desk.terms.get((group, name))
        if terms is not None:
            symbols[name] = group_symbol_view(terms)
    return symbols


def _quote(price: PriceView, terms: Terms) -> Quote:
    """Return the raw quote that a group's price was made of."""
    digits = terms.market.symbol.digits
    return Quote(
        price.symbol,
        parse_scaled(price.sell, digits) + terms.sell_markup,
        parse_scaled(price.buy, digits) - terms.buy_markup,
        parse_time(price.time),
    )
