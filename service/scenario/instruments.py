"""The instruments that generated scenarios and the simulated feed know, most traded first.

Any leading part of the list can convert its profit currencies to USD.
"""

from decimal import Decimal
from typing import NamedTuple

from service.domain.instrument import InstrumentType, Symbol
from service.domain.money import VOLUME_DIGITS, to_scaled

FOREX_LOT = 100_000


class Instrument(NamedTuple):
    """A symbol and how it behaves.

    Attributes:
        price: starting mid price, points.
        spread: usual spread, points.
        move: standard deviation of the change from one quote to the next, points.
        weight: how often it is quoted, against the others.
    """

    symbol: Symbol
    price: int
    spread: int
    move: float
    weight: float


def _instrument(
    name: str,
    currencies: str,
    kind: InstrumentType,
    contract_size: int,
    price: str,
    spread: int,
    move: float,
    weight: float,
) -> Instrument:
    """Describe an instrument; `price` is written with all its digits."""
    base, profit = currencies.split("/")
    digits = len(price.partition(".")[2])
    smallest = to_scaled(Decimal("0.01"), VOLUME_DIGITS)
    largest = to_scaled(Decimal(100), VOLUME_DIGITS)
    symbol = Symbol(
        name,
        digits,
        Decimal(contract_size),
        base,
        profit,
        kind,
        smallest,
        largest,
        smallest,
    )
    return Instrument(symbol, to_scaled(Decimal(price), digits), spread, move, weight)


def _pair(name: str, price: str, spread: int, move: float, weight: float) -> Instrument:
    currencies = f"{name[:3]}/{name[3:]}"
    return _instrument(
        name, currencies, InstrumentType.FOREX, FOREX_LOT, price, spread, move, weight
    )


_METAL, _INDEX = InstrumentType.METAL, InstrumentType.INDEX
_COMMODITY, _CRYPTO = InstrumentType.COMMODITY, InstrumentType.CRYPTO

INSTRUMENTS: tuple[Instrument, ...] = (
    _pair("EURUSD", "1.08450", 6, 1.2, 5),
    _pair("USDJPY", "151.320", 8, 1.8, 4),
    _pair("GBPUSD", "1.26730", 9, 1.6, 4),
    _instrument("XAUUSD", "XAU/USD", _METAL, 100, "2334.50", 22, 6.0, 4),
    _instrument("US500", "US500/USD", _INDEX, 10, "5210.4", 4, 1.3, 3),
    _pair("AUDUSD", "0.65480", 8, 1.1, 2),
    _pair("EURJPY", "164.105", 14, 2.2, 2),
    _instrument("BTCUSD", "BTC/USD", _CRYPTO, 1, "67250.00", 1800, 420.0, 3),
    _pair("USDCAD", "1.35740", 10, 1.2, 2),
    _pair("USDCHF", "0.90260", 10, 1.1, 2),
    _pair("NZDUSD", "0.60140", 11, 1.0, 1),
    _pair("EURGBP", "0.85580", 10, 0.8, 1),
    _pair("GBPJPY", "191.770", 20, 2.8, 2),
    _pair("EURCHF", "0.97880", 13, 0.8, 1),
    _pair("AUDJPY", "99.085", 15, 1.9, 1),
    _instrument("XAGUSD", "XAG/USD", _METAL, 5000, "27.450", 18, 4.0, 2),
    _instrument("US30", "US30/USD", _INDEX, 1, "38910.0", 22, 9.0, 2),
    _instrument("NAS100", "NAS100/USD", _INDEX, 1, "18140.5", 14, 7.0, 3),
    _instrument("GER40", "GER40/EUR", _INDEX, 1, "18230.0", 12, 6.0, 2),
    _instrument("UKOIL", "UKOIL/USD", _COMMODITY, 1000, "87.32", 4, 0.9, 1),
    _instrument("USOIL", "USOIL/USD", _COMMODITY, 1000, "82.95", 4, 0.9, 1),
    _instrument("ETHUSD", "ETH/USD", _CRYPTO, 1, "3310.00", 160, 30.0, 2),
    _instrument("UK100", "UK100/GBP", _INDEX, 1, "7935.5", 12, 3.5, 1),
    _instrument("JP225", "JP225/JPY", _INDEX, 100, "39450", 9, 3.0, 1),
    _pair("EURAUD", "1.65620", 18, 1.9, 1),
    _pair("GBPAUD", "1.93540", 22, 2.3, 1),
    _pair("EURCAD", "1.47210", 18, 1.7, 1),
    _pair("CADJPY", "111.480", 17, 1.7, 1),
    _pair("CHFJPY", "167.650", 19, 2.0, 1),
    _pair("GBPCHF", "1.14390", 17, 1.4, 1),
)


def choose_instruments(count: int) -> tuple[Instrument, ...]:
    """Return the first `count` instruments; past the end of the list, copies such as `EURUSD.2`."""
    chosen = []
    for number in range(count):
        copy, index = divmod(number, len(INSTRUMENTS))
        instrument = INSTRUMENTS[index]
        if copy:
            symbol = instrument.symbol
            named = Symbol(
                f"{symbol.name}.{copy + 1}",
                symbol.digits,
                symbol.contract_size,
                symbol.base_currency,
                symbol.profit_currency,
                symbol.instrument_type,
                symbol.min_volume,
                symbol.max_volume,
                symbol.volume_step,
            )
            instrument = instrument._replace(symbol=named)
        chosen.append(instrument)
    return tuple(chosen)
