"""Quotes as the loops before and after the report are told of them."""

from collections.abc import Iterable, Mapping
from decimal import Decimal

from service.domain.instrument import Symbol
from service.domain.quote import Quote
from tests.bench.before.market import Price


def prices_of(quotes: Iterable[Quote], symbols: Mapping[str, Symbol]) -> dict[str, Price]:
    """Return the prices of quotes, which are in points, by symbol."""
    return {
        quote.symbol: Price(
            Decimal(quote.bid).scaleb(-symbols[quote.symbol].digits),
            Decimal(quote.ask).scaleb(-symbols[quote.symbol].digits),
        )
        for quote in quotes
    }
