"""What ticks leave in the metrics: their age, and the time to what they trigger."""

import asyncio
import time

from service.domain.order import OrderType
from service.domain.quote import Quote
from service.instruments import Instruments
from service.loops.ticks import AGE_INTERVAL_NS
from telemetry import catalogue
from tests.adversity.shard import SYMBOL, open_small_book, trading_shard


async def test_triggers_and_ages_are_timed_and_quiet_ticks_are_not(postgres_dsn: str) -> None:
    await open_small_book(postgres_dsn, 2)
    async with trading_shard(postgres_dsn) as shard:
        metrics = shard.instruments.metrics
        ages = metrics.histogram(catalogue.QUOTE_AGE).child()
        triggered = metrics.histogram(catalogue.TICK_TO_TRIGGER).child()
        shard.quote(110_000)
        await shard.place(1, OrderType.BUY, stop_loss=109_500)
        before, quotes = ages.count, metrics.counter(catalogue.QUOTES).child().now
        for _ in range(2):
            await asyncio.sleep(AGE_INTERVAL_NS / 1e9)
            for _ in range(3):
                shard.trading.on_quote(Quote(SYMBOL, 110_000, 110_010, time.time_ns() - 10**9))
        assert metrics.counter(catalogue.QUOTES).child().now - quotes == 6
        assert 2 <= ages.count - before <= 6
        assert ages.total >= 2
        assert triggered.count == 0
        shard.trading.on_quote(Quote(SYMBOL, 109_000, 109_010, time.time_ns()))
        assert triggered.count == 1
        assert 0 < triggered.total < 60
        await shard.drained()
        assert metrics.histogram(catalogue.TICK_TO_COMMIT).child().total >= triggered.total


def test_a_quote_ahead_of_the_clock_is_new() -> None:
    instruments = Instruments()
    instruments.quote_age(-0.5)
    ages = instruments.metrics.histogram(catalogue.QUOTE_AGE).child()
    assert (ages.count, ages.total) == (1, 0)
