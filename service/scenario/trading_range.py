"""Where prices were in a tick file: what generated orders are placed around."""

import csv
from collections.abc import Iterable, Sequence
from decimal import Decimal
from pathlib import Path

from service.domain.instrument import InstrumentType, Symbol
from service.domain.money import VOLUME_DIGITS, to_scaled
from service.domain.quote import Quote
from service.scenario.instruments import FOREX_LOT, INSTRUMENTS, Instrument
from service.scenario.ticks import read_ticks

_ASSUMED_MOVES = 60
_MAX_DIGITS = 8


class TradingRange:
    """First quote, lowest bid and highest ask of a symbol, points."""

    __slots__ = ("ask", "bid", "high", "low")

    def __init__(self, bid: int, ask: int) -> None:
        self.bid = self.low = bid
        self.ask = self.high = ask

    def widen(self, bid: int, ask: int) -> None:
        """Take in a later quote."""
        self.low = min(self.low, bid)
        self.high = max(self.high, ask)

    @classmethod
    def around(cls, instrument: Instrument) -> "TradingRange":
        """Return the range that an instrument's walk is likely to cover soon."""
        bid = instrument.price - instrument.spread // 2
        reach = round(instrument.move * _ASSUMED_MOVES)
        trading_range = cls(bid, bid + instrument.spread)
        trading_range.widen(bid - reach, bid + instrument.spread + reach)
        return trading_range


def survey(quotes: Iterable[Quote]) -> dict[str, TradingRange]:
    """Return the ranges of all symbols, from the quotes that are sane."""
    ranges: dict[str, TradingRange] = {}
    for name, bid, ask, _ in quotes:
        if 0 < bid <= ask:
            if name in ranges:
                ranges[name].widen(bid, ask)
            else:
                ranges[name] = TradingRange(bid, ask)
    return ranges


def survey_file(path: Path, most: int) -> list[tuple[Symbol, TradingRange]]:
    """Return at most `most` symbols of a tick file, by name, with their ranges.

    A known instrument keeps its settings; another takes the decimals of its prices as its digits,
    and is a currency pair if its name has six letters.

    Raises:
        ScenarioError: the file is missing, empty, or has other columns.
        ValueError: it has no usable tick.
    """
    digits = _find_digits(path)
    known = {instrument.symbol.name: instrument.symbol for instrument in INSTRUMENTS}
    symbols = {
        name: known[name]
        if name in known and known[name].digits >= count
        else _infer_symbol(name, count)
        for name, count in sorted(digits.items())[:most]
    }
    ranges = survey(read_ticks(path, symbols, lambda _: None))
    found = [(symbol, ranges[name]) for name, symbol in symbols.items() if name in ranges]
    if not found:
        raise ValueError(f"{path.name} has no tick to set orders by: lines are time,symbol,bid,ask")
    return found


def _find_digits(path: Path) -> dict[str, int]:
    """Return the most decimals that prices of each symbol are written with."""
    digits: dict[str, int] = {}
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        for fields in _rows(file.read().splitlines()[1:]):
            _, name, bid, ask = fields
            for text in (bid, ask):
                _, _, fraction = text.partition(".")
                if text.replace(".", "", 1).isdecimal() and len(fraction) <= _MAX_DIGITS:
                    digits[name] = max(digits.get(name, 0), len(fraction))
    return digits


def _rows(lines: Sequence[str]) -> Iterable[list[str]]:
    return (fields for fields in csv.reader(lines, quoting=csv.QUOTE_NONE) if len(fields) == 4)


def _infer_symbol(name: str, digits: int) -> Symbol:
    smallest = to_scaled(Decimal("0.01"), VOLUME_DIGITS)
    largest = to_scaled(Decimal(100), VOLUME_DIGITS)
    letters = name.upper()
    if len(letters) == 6 and letters.isascii() and letters.isalpha():
        return Symbol(
            name,
            digits,
            Decimal(FOREX_LOT),
            letters[:3],
            letters[3:],
            InstrumentType.FOREX,
            smallest,
            largest,
            smallest,
        )
    kind = InstrumentType.INDEX
    return Symbol(name, digits, Decimal(1), "XXX", "USD", kind, smallest, largest, smallest)
