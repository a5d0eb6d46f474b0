"""(f) What a tick costs with 100 to 10,000 exposed accounts per symbol.

Measured: `Engine.on_quote` with the guards of production on walking markets (each symbol by its own
usual step, conversion rates included), with 100, 1,000 and 10,000 accounts that hold positions in
each of 30 symbols: 150,000 accounts in the largest. An account holds one to three symbols, one in
four is hedged. Leverage is what a European retail client gets; margin levels are 100 % and a gamma
distribution with mean 800 %, which thins out towards the margin call as books do where accounts
leave. Every margin call and stop-out the walk brings is decided within the measured time. The
engines stand in one process and take turns with the same quotes, each round another one first.

Against: the same engine without any account, which is the price of the guards and comparisons. As a
stress, 10,000 accounts a symbol at 200:1 on everything, crypto and oil included, where the same
walk brings hundreds of times as many margin events. For what the price bands are worth, looking at
every exposed account of the symbol on every tick is reckoned from the cost of one exact equity.

Target: at least 100,000 ticks/s with 10,000 exposed accounts per symbol.
"""

import gc
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from random import Random
from types import MappingProxyType
from typing import NamedTuple

from tqdm import tqdm

from service.domain.engine import Engine
from service.domain.instrument import InstrumentType, UserType
from service.domain.money import to_cents
from service.domain.order import Order, OrderType
from service.domain.quote import Quote, QuoteGuard, QuoteRefusal
from tests.bench.brokerage import (
    GROUPS,
    INSTRUMENTS,
    LOT,
    OPENED_NS,
    TICK_INTERVAL_NS,
    BenchAccount,
    desk_with_settings,
    open_at,
    seat,
)
from tests.bench.report import Report, turns

ROUNDS = 9
QUOTES_A_TURN = 20_000
MIN_TICKS_PER_S = 100_000
SYMBOLS_HELD = (1, 2, 3)
EXAMINED = 200
LARGEST = 10_000


class Book(NamedTuple):
    """An engine's accounts: how many hold each symbol, at what leverage, margin factors by type."""

    accounts: int
    leverage: int = 30
    factors: Mapping[InstrumentType, str] = MappingProxyType({})


# 30:1 on major currencies, 20:1 on gold and indices, 10:1 on commodities, 2:1 on crypto: the limits
# of the European regulator for retail clients (ESMA decision 2018/796).
RETAIL = MappingProxyType(
    {
        InstrumentType.METAL: "1.5",
        InstrumentType.INDEX: "1.5",
        InstrumentType.COMMODITY: "3",
        InstrumentType.CRYPTO: "15",
    }
)
BOOKS = {
    "no accounts": Book(0),
    "100 accounts a symbol": Book(100, factors=RETAIL),
    "1,000 accounts a symbol": Book(1_000, factors=RETAIL),
    "10,000 accounts a symbol": Book(LARGEST, factors=RETAIL),
    "10,000 accounts a symbol, 200:1": Book(LARGEST, 200),
}


def run(report: Report) -> None:
    """Measure all books, and the examination of every account."""
    loading = tqdm(BOOKS.items(), "loading engines", leave=False)
    engines = {name: _engine(book) for name, book in loading}
    decided: Counter[str] = Counter()
    walk = _Walk()
    gc.collect()
    gc.freeze()
    contenders = tuple(engines)
    quotes: list[Quote] = []
    bar = tqdm(turns(contenders, ROUNDS), total=ROUNDS * len(contenders), leave=False)
    for number, name in bar:
        if name == contenders[number % len(contenders)]:
            quotes = walk.quotes(QUOTES_A_TURN)
        seconds, decisions = _time_engine(engines[name], quotes)
        report.add(f"{name}, ns/tick", seconds / len(quotes) * 1e9)
        decided[name] += decisions
    for _ in range(ROUNDS):
        nanoseconds = _time_examination(engines["100 accounts a symbol"])
        report.add("examining an account, ns", nanoseconds)
    gc.unfreeze()
    for name, book in BOOKS.items():
        rates = [1e9 / cost for cost in report.rounds[f"{name}, ns/tick"]]
        at_least = MIN_TICKS_PER_S if book.accounts == LARGEST else None
        report.figure(name, rates, "ticks/s", at_least=at_least)
        if book.accounts:
            report.ratio("  cost : no accounts", f"{name}, ns/tick", "no accounts, ns/tick")
            report.figure("  margin calls and stop-outs", [decided[name]], "decisions")
    examined = [1e9 / cost / LARGEST for cost in report.rounds["examining an account, ns"]]
    report.figure(f"were all {LARGEST:,} examined on every tick", examined, "ticks/s")
    without = report.rounds["no accounts, ns/tick"]
    retail = {book.accounts: name for name, book in BOOKS.items() if book.factors}
    report.curve(
        "Cost of a tick with accounts exposed to it",
        "accounts with positions in the symbol",
        "a tick, ns",
        {
            "engine": {size: report.rounds[f"{name}, ns/tick"] for size, name in retail.items()},
            "engine without accounts": dict.fromkeys(retail, without),
        },
        is_linear_y=True,
    )


class _Walk:
    """Markets that walk: the same seed, the same quotes."""

    def __init__(self) -> None:
        self._random = Random(1)
        self._mids = [instrument.price for instrument in INSTRUMENTS]
        self._time = OPENED_NS

    def quotes(self, count: int) -> list[Quote]:
        random, mids = self._random, self._mids
        quotes = []
        for _ in range(count):
            number = random.randrange(len(INSTRUMENTS))
            symbol, _, spread, move, _ = INSTRUMENTS[number]
            mids[number] += round(random.gauss(0, move))
            bid = mids[number] - spread // 2
            self._time += TICK_INTERVAL_NS
            quotes.append(Quote(symbol.name, bid, bid + spread, self._time))
        return quotes


def _engine(book: Book) -> Engine:
    """Return an engine whose accounts hold what the module's text says."""
    desk = desk_with_settings()
    for terms in list(desk.terms.values()):
        factor = book.factors.get(terms.market.symbol.instrument_type, "1")
        desk.set_terms(replace(terms.settings, margin_factor=Decimal(factor)))
    engine = Engine(desk, QuoteGuard())
    for instrument in INSTRUMENTS:
        bid = instrument.price - instrument.spread // 2
        quote = Quote(instrument.symbol.name, bid, bid + instrument.spread, OPENED_NS)
        assert engine.admit(quote, OPENED_NS) is None
    random = Random(book.accounts)
    count = book.accounts * len(INSTRUMENTS) * len(SYMBOLS_HELD) // sum(SYMBOLS_HELD)
    for account_id in range(1, count + 1):
        group = f"group-{account_id % GROUPS}"
        seat(desk, iter([BenchAccount(account_id, UserType.LIVE, group, Decimal(book.leverage))]))
        account = desk.accounts[account_id]
        for instrument in random.sample(INSTRUMENTS, random.choice(SYMBOLS_HELD)):
            is_hedged = random.random() < 0.25
            first = random.choice((OrderType.BUY, OrderType.SELL))
            second = OrderType.SELL if first is OrderType.BUY else OrderType.BUY
            for order_type in (first, second) if is_hedged else (first,):
                terms = desk.terms[account.group.name, instrument.symbol.name]
                order = Order(
                    desk.next_order_id,
                    account,
                    terms,
                    order_type,
                    random.randint(1, 100) * LOT // 100,
                    None,
                    None,
                    None,
                    None,
                    OPENED_NS,
                )
                desk.next_order_id += 1
                open_at(order, terms.buy if order_type.is_buy else terms.sell)
                desk.orders[order.order_id] = order
                desk.add_position(order)
        level = 100 + random.gammavariate(2, 400)
        profit = account.profit()
        assert profit is not None
        account.balance = to_cents(account.margin * Decimal(level) / 100 - profit)
    engine.begin()
    return engine


def _time_engine(engine: Engine, quotes: Sequence[Quote]) -> tuple[float, int]:
    on_quote, now = engine.on_quote, quotes[-1].time
    decisions = 0
    started = time.perf_counter()
    for quote in quotes:
        outcome = on_quote(quote, now)
        if outcome:
            assert not isinstance(outcome, QuoteRefusal), outcome
            decisions += len(outcome)
    return time.perf_counter() - started, decisions


def _time_examination(engine: Engine) -> float:
    """Return nanoseconds for the exact equity of one account, profits valued anew."""
    accounts = list(engine.desk.accounts.values())[:EXAMINED]
    started = time.perf_counter_ns()
    for account in accounts:
        account.equity()
    return (time.perf_counter_ns() - started) / len(accounts)
