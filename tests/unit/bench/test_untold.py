"""Trading without telemetry: the same decisions, and nothing told."""

import time

import pytest

from service.domain.quote import Quote
from service.instruments import Instruments
from service.loops.trading import Trading
from telemetry import catalogue
from telemetry.spans import Span, Tracing
from tests.bench import untold
from tests.bench.brokerage import INSTRUMENTS
from tests.bench.feed_desk import FeedDesk, Shell
from tests.bench.feed_turns import Turn, ticks_of
from tests.unit.telemetry.test_metrics import samples

TURN = Turn(400, triggering=0.05, seed=3)


class Outlet:
    def take(self, span: Span) -> None: ...


def take(kind: type[Trading]) -> tuple[list[object], Shell]:
    """Return what a turn's quotes decide, and the shell that took them."""
    desk = FeedDesk("ws://never.connected")
    shell = desk.shell(Instruments(tracing=Tracing(Outlet(), 1.0)), kind)
    with desk.dealing(shell, TURN) as writer:
        for tick in ticks_of(TURN):
            name = INSTRUMENTS[tick.number].symbol.name
            shell.trading.on_quote(Quote(name, tick.bid, tick.ask, time.time_ns()))
        shell.trading.on_quote(Quote("NOSUCH", 1, 2, time.time_ns()))
        queued = [each for batch in writer.take_all() for each in batch.queued]
    for each in queued:
        assert (each.cause is None, each.received_ns == 0) == ((kind is not Trading,) * 2)
    decided = [each.decision for each in queued]
    return [(d.order and d.order.order_id, d.kind, d.expected, d.postings) for d in decided], shell


def seen(shell: Shell) -> tuple[bool, int, float]:
    metrics = shell.instruments.metrics
    return (
        metrics.histogram(catalogue.QUOTE_AGE).child().count > 0,
        metrics.histogram(catalogue.TICK_TO_TRIGGER).child().count,
        samples(metrics)[f"{catalogue.QUOTES_REFUSED.name}{{reason=unknown_symbol}}"],
    )


def test_it_decides_the_same_and_tells_nothing() -> None:
    decided, telling = take(Trading)
    decided_silently, silent = take(untold.without_telemetry())
    assert decided == decided_silently
    assert len(decided) == TURN.dips()
    assert seen(telling) == (True, TURN.dips(), 1)
    assert seen(silent) == (False, 0, 0)


def test_a_product_that_has_changed_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = untold.Left("_take", "    self._ticks += 1\n", "")
    monkeypatch.setattr(untold, "LEFT_OUT", (*untold.LEFT_OUT, gone))
    with pytest.raises(untold.Rotten, match="not once"):
        untold.without_telemetry()
    monkeypatch.setattr(untold, "LEFT_OUT", untold.LEFT_OUT[1:2])
    with pytest.raises(untold.Rotten, match="still tells by"):
        untold.without_telemetry()
