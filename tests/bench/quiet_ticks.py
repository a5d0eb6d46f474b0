"""(a) What a tick costs that triggers nothing, with 1 thousand to 1 million resting orders.

Measured: `Engine.on_quote` with the guards of production, called once a quote on one core, as the
feed does. Three engines that differ in nothing but their resting orders stand in one process and
take turns with the same quotes, each round another one first, so that all see the same processor,
caches and neighbours. The garbage collector is frozen after loading, as in production.

Against: `bare`, the same guards (without the jump guard) and four comparisons written in one loop
without a call. No engine in this language can be faster; how near ours is, is told, not judged.

Targets: the cost of a tick grows by at most 1.2 times from 1 thousand to 1 million orders, and one
core takes at least 500,000 ticks/s.
"""

import gc
import time
from collections.abc import Sequence

from tqdm import tqdm

from service.domain.engine import Engine
from service.domain.quote import Quote, QuoteGuard
from tests.bench.brokerage import (
    OPENED_NS,
    TICK_INTERVAL_NS,
    accounts_for,
    desk_with_settings,
    quiet_quotes,
    resting_orders,
    seat,
)
from tests.bench.report import Report, turns

SIZES = (1_000, 100_000, 1_000_000)
ROUNDS = 31
QUOTES_A_TURN = 50_000
MAX_GROWTH = 1.2
MIN_TICKS_PER_S = 500_000


def run(report: Report) -> None:
    """Measure all sizes and the bare loop."""
    engines = {size: _engine(size) for size in tqdm(SIZES, "loading engines", leave=False)}
    bare = {name: _BareMarket() for name in engines[SIZES[0]].desk.markets}
    guard = QuoteGuard()
    gc.collect()
    gc.freeze()
    quotes: list[Quote] = []
    contenders = (None, *SIZES)
    bar = tqdm(turns(contenders, ROUNDS), total=ROUNDS * len(contenders), leave=False)
    for number, size in bar:
        if size == contenders[number % len(contenders)]:
            first_time = OPENED_NS + number * QUOTES_A_TURN * TICK_INTERVAL_NS
            quotes = quiet_quotes(QUOTES_A_TURN, first_time, seed=number)
        if size is None:
            seconds = _time_bare(bare, guard, quotes)
        else:
            seconds = _time_engine(engines[size], quotes)
        report.add(_series(size), seconds / len(quotes) * 1e9)
    gc.unfreeze()
    _conclude(report)


def _engine(size: int) -> Engine:
    desk = desk_with_settings()
    seat(desk, accounts_for(size))
    engine = Engine(desk, QuoteGuard())
    engine.load(resting_orders(desk, size))
    return engine


def _time_engine(engine: Engine, quotes: Sequence[Quote]) -> float:
    on_quote, now = engine.on_quote, quotes[-1].time
    answered = 0
    started = time.perf_counter()
    for quote in quotes:
        if on_quote(quote, now):
            answered += 1
    seconds = time.perf_counter() - started
    assert not answered, "quiet quotes must neither trigger nor be refused"
    return seconds


class _BareMarket:
    """A market without books: the last quote, and the four prices next to fire."""

    __slots__ = ("ask", "ask_above", "ask_below", "bid", "bid_above", "bid_below", "time")

    def __init__(self) -> None:
        self.bid = self.ask = self.time = 0
        self.ask_below = self.bid_below = 1
        self.ask_above = self.bid_above = 1 << 62


def _time_bare(
    markets: dict[str, _BareMarket], guard: QuoteGuard, quotes: Sequence[Quote]
) -> float:
    now = quotes[-1].time
    oldest, newest = now - guard.max_age_ns, now + guard.max_future_ns
    answered = 0
    started = time.perf_counter()
    for symbol, bid, ask, quoted in quotes:
        market = markets.get(symbol)
        if market is None or bid <= 0 or bid > ask:
            answered += 1
            continue
        if quoted < market.time or quoted < oldest or quoted > newest:
            answered += 1
            continue
        market.bid = bid
        market.ask = ask
        market.time = quoted
        if (
            ask <= market.ask_below
            or ask >= market.ask_above
            or bid <= market.bid_below
            or bid >= market.bid_above
        ):
            answered += 1
    seconds = time.perf_counter() - started
    assert not answered, "quiet quotes must neither trigger nor be refused"
    return seconds


def _series(size: int | None) -> str:
    return "bare loop, ns/tick" if size is None else f"{size:,} orders, ns/tick"


def _conclude(report: Report) -> None:
    smallest = _series(SIZES[0])
    for size in (*SIZES, None):
        rates = [1e9 / cost for cost in report.rounds[_series(size)]]
        name = "bare guards and peeks" if size is None else f"{size:,} resting orders"
        at_least = None if size is None else MIN_TICKS_PER_S
        report.figure(name, rates, "ticks/s", at_least=at_least)
    for size in SIZES[1:]:
        name = f"cost of a tick, {size:,} : {SIZES[0]:,} orders"
        report.ratio(name, _series(size), smallest, at_most=MAX_GROWTH)
    report.ratio("cost of a tick, engine : bare", smallest, _series(None))
    report.curve(
        "Cost of a tick that triggers nothing",
        "resting orders",
        "a tick, ns",
        {
            "engine": {size: report.rounds[_series(size)] for size in SIZES},
            "bare guards and peeks": {size: report.rounds[_series(None)] for size in SIZES},
        },
        is_linear_y=True,
    )
