"""Make scenario folders of any size from a seed: the same arguments give the same bytes.

Orders of all six types lie in and just outside the range in which their symbols trade, many with
stop loss and take profit, so that a good share triggers. Groups differ in markup (whole points, odd
ones too), fill policy and commission. Accounts have money for all their orders, but every eleventh
has so little that orders are cancelled for want of margin.
"""

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from service.domain.instrument import (
    CommissionType,
    CommissionValueType,
    FillPolicy,
    InstrumentType,
    Symbol,
    UserType,
)
from service.domain.money import VOLUME_DIGITS, format_scaled
from service.domain.order import OrderKind, OrderType
from service.domain.quote import Quote
from service.domain.times import format_time
from service.scenario.instruments import choose_instruments
from service.scenario.order_lines import ORDER_COLUMNS
from service.scenario.settings import (
    ACCOUNT_COLUMNS,
    GROUP_COLUMNS,
    SYMBOL_COLUMNS,
    TERMS_COLUMNS,
)
from service.scenario.tape import Tape
from service.scenario.ticks import TICK_COLUMNS
from service.scenario.trading_range import TradingRange, survey, survey_file

FIRST_TICK_NS = 1_700_000_000_000_000_000
MEAN_TICK_INTERVAL_NS = 20_000_000
_GROUP_NAMES = ("standard", "gold", "raw")
_GROUP_MARKUPS = (12, 7, 0)
_REACH_POINTS = 30
_POINTS_PER_PIP = 10
_POOR_EVERY = 11
_BEYOND_SHARE = 0.02
_MARKET_SHARE = 0.03
_PROTECTED_SHARE = 0.6
_LEVERAGES = (30, 50, 100, 200, 500)
_VOLUMES = (1, 2, 5, 5, 10, 10, 10, 20, 25, 50, 100)
_COMMISSIONS = tuple((kind, value) for kind in CommissionType for value in CommissionValueType)

Cells = Sequence[str | int]  # of one line


@dataclass(frozen=True, slots=True)
class _Traded:
    symbol: Symbol
    range: TradingRange


def make_scenario(
    folder: Path,
    *,
    seed: int,
    accounts: int,
    groups: int,
    orders: int,
    symbols: int,
    ticks: int,
    ticks_file: Path | None = None,
) -> None:
    """Write a scenario folder, replacing the files of one that is there.

    Args:
        symbols: how many; of a `ticks_file` at most as many as it has.
        ticks: how many quotes to write; 0 writes no ticks.csv.
        ticks_file: place the orders near this file's market, and write no ticks.csv.

    Raises:
        ValueError: a count is too small, or the ticks file has no tick; nothing is written.
        ScenarioError: the ticks file is missing, empty or has other columns.
    """
    if min(accounts, groups, symbols) < 1 or min(orders, ticks) < 0:
        raise ValueError("accounts, groups and symbols must be at least 1, orders and ticks 0")
    random = Random(f"{seed}/settings")
    if ticks_file is not None:
        traded = [_Traded(*found) for found in survey_file(ticks_file, symbols)]
        folder.mkdir(parents=True, exist_ok=True)
    else:
        folder.mkdir(parents=True, exist_ok=True)
        instruments = choose_instruments(symbols)
        ranges: dict[str, TradingRange] = {}
        if ticks:
            quotes = _quotes(Tape(instruments, Random(f"{seed}/ticks")), ticks)
            digits = {i.symbol.name: i.symbol.digits for i in instruments}
            ranges = survey(_record(folder / "ticks.csv", quotes, digits))
        traded = [
            _Traded(i.symbol, ranges.get(i.symbol.name) or TradingRange.around(i))
            for i in instruments
        ]
    if ticks_file is not None or not ticks:
        (folder / "ticks.csv").unlink(missing_ok=True)
    names = [*_GROUP_NAMES, *(f"group-{number}" for number in range(4, groups + 1))][:groups]
    _write(folder / "symbols.csv", SYMBOL_COLUMNS, _symbol_rows(traded))
    _write(folder / "groups.csv", GROUP_COLUMNS, _group_rows(names))
    _write(folder / "group_symbols.csv", TERMS_COLUMNS, _terms_rows(names, traded, random))
    account_rows = _account_rows(names, accounts, orders / accounts, random)
    _write(folder / "accounts.csv", ACCOUNT_COLUMNS, account_rows)
    _write(folder / "orders.csv", ORDER_COLUMNS, _order_rows(orders, accounts, traded, random))


def _write(path: Path, columns: Cells, rows: Iterable[Cells]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def _quotes(tape: Tape, count: int) -> Iterator[Quote]:
    time = float(FIRST_TICK_NS)
    for _ in range(count):
        tick = tape.advance()
        time += tick.pause * MEAN_TICK_INTERVAL_NS
        yield Quote(tick.symbol, tick.bid, tick.ask, int(time))


def _record(path: Path, quotes: Iterable[Quote], digits: Mapping[str, int]) -> Iterator[Quote]:
    """Write quotes as ticks while they pass."""
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(",".join(TICK_COLUMNS) + "\n")
        for quote in quotes:
            name, bid, ask, time = quote
            prices = f"{format_scaled(bid, digits[name])},{format_scaled(ask, digits[name])}"
            file.write(f"{format_time(time)},{name},{prices}\n")
            yield quote


def _symbol_rows(traded: Iterable[_Traded]) -> Iterator[Cells]:
    for symbol in (one.symbol for one in traded):
        lots = (symbol.min_volume, symbol.max_volume, symbol.volume_step)
        yield (
            symbol.name,
            symbol.digits,
            format(symbol.contract_size, "f"),
            symbol.base_currency,
            symbol.profit_currency,
            symbol.instrument_type,
            *(_lots(volume) for volume in lots),
        )


def _group_rows(names: Iterable[str]) -> Iterator[Cells]:
    policies = tuple(FillPolicy)
    for number, name in enumerate(names):
        stop_out = (50, 30, 20)[number % 3]
        protected = "true" if number % 4 < 3 else "false"
        yield (name, 100, stop_out, protected, policies[number % len(policies)])


def _terms_rows(names: Iterable[str], traded: Iterable[_Traded], random: Random) -> Iterator[Cells]:
    for number, name in enumerate(names):
        for one in traded:
            symbol = one.symbol
            if number < len(_GROUP_MARKUPS):
                markup = _GROUP_MARKUPS[number]
            else:
                markup = random.randint(0, 21)
            kind, value = _COMMISSIONS[number % len(_COMMISSIONS)]
            per_lot = value is CommissionValueType.PER_LOT
            yield (
                name,
                symbol.name,
                format_scaled(markup, 1),
                format_scaled(_POINTS_PER_PIP, symbol.digits),
                kind,
                value,
                f"{random.randint(4, 14) / 2:.2f}" if per_lot else f"0.00{random.randint(1, 6)}",
                f"-{random.randint(1, 90) / 10:.1f}",
                f"{random.randint(-40, 40) / 10:.1f}",
                "" if symbol.instrument_type is not InstrumentType.CRYPTO else 5,
            )


def _account_rows(
    names: Sequence[str], accounts: int, orders_each: float, random: Random
) -> Iterator[Cells]:
    """Give rich accounts some 3,000 to 12,000 USD for each order, the poor ones a pittance."""
    for account_id in range(1, accounts + 1):
        user_type = UserType.DEMO if account_id % 3 == 0 else UserType.LIVE
        group = names[(account_id - 1) % len(names)]
        if account_id % _POOR_EVERY == 0:
            cents = random.randint(5_00, 200_00)
        else:
            cents = random.randint(300_000, 1_200_000) * max(2, round(orders_each))
        leverage = random.choice(_LEVERAGES)
        yield (account_id, user_type, group, leverage, format_scaled(cents, 2))


def _order_rows(
    orders: int, accounts: int, traded: Sequence[_Traded], random: Random
) -> Iterator[Cells]:
    for number in range(1, orders + 1):
        one = random.choice(traded)
        digits = one.symbol.digits
        order_type, price, base = _aim(one.range, random)
        stop_loss, take_profit = _protect(one.range, order_type, base, random)
        yield (
            f"o{number}",
            random.randint(1, accounts),
            one.symbol.name,
            order_type,
            _lots(random.choice(_VOLUMES) * one.symbol.volume_step),
            *(
                "" if level is None else format_scaled(level, digits)
                for level in (price, stop_loss, take_profit)
            ),
        )


def _aim(prices: TradingRange, random: Random) -> tuple[OrderType, int | None, int]:
    """Choose an order's type, its price, and the price that its stop loss is set by."""
    is_buy = random.random() < 0.5
    market = prices.ask if is_buy else prices.bid
    if random.random() < _MARKET_SHARE:
        return (OrderType.BUY if is_buy else OrderType.SELL), None, market
    lowest = max(1, prices.low - _REACH_POINTS)
    price = random.randint(lowest, prices.high + _REACH_POINTS)
    is_below = price < market
    if random.random() < _BEYOND_SHARE:
        is_below = not is_below
    kind = OrderKind.LIMIT if is_below == is_buy else OrderKind.STOP
    return OrderType(f"{'BUY' if is_buy else 'SELL'}_{kind.name}"), price, price


def _protect(
    prices: TradingRange, order_type: OrderType, base: int, random: Random
) -> tuple[int | None, int | None]:
    """Choose stop loss and take profit around `base`; either may be left out."""
    furthest = max(2 * _REACH_POINTS, (prices.high - prices.low) // 2)
    sign = 1 if order_type.is_buy else -1
    levels = []
    for side in (-sign, sign):
        distance = random.randint(_REACH_POINTS // 3, furthest)
        level = base + side * distance
        levels.append(level if random.random() < _PROTECTED_SHARE and level > 0 else None)
    return levels[0], levels[1]


def _lots(volume: int) -> str:
    text = format_scaled(volume, VOLUME_DIGITS)
    return text[:-2] if text.endswith("00") else text
