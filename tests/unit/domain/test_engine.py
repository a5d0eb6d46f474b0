"""What a tick does: which orders it fires, in what order, and when not."""

from decimal import Decimal

import pytest

from service.domain.decision import DealEvent, EventKind
from service.domain.order import CancelReason, CloseReason, OrderStatus, OrderType
from service.domain.quote import Quote, QuoteRefusal
from service.domain.record import order_state
from service.domain.rejection import RejectCode, Rejected
from tests.unit.domain.floor import SECOND, Floor, deal_of, order_of


@pytest.mark.parametrize(
    ("order_type", "short_of", "reaching"),
    [
        # bid, ask one point short of the price 110000, and exactly at it; the other side is far
        (OrderType.BUY_LIMIT, (109_000, 110_001), (109_000, 110_000)),
        (OrderType.BUY_STOP, (109_000, 109_999), (109_000, 110_000)),
        (OrderType.SELL_LIMIT, (109_999, 111_000), (110_000, 111_000)),
        (OrderType.SELL_STOP, (110_001, 111_000), (110_000, 111_000)),
    ],
)
def test_a_pending_order_fires_at_its_price_and_not_a_point_before(
    order_type: OrderType, short_of: tuple[int, int], reaching: tuple[int, int]
) -> None:
    floor = Floor()
    order = floor.rest(order_type, 110_000)
    assert floor.tick("EURUSD", *short_of) == []
    (decision,) = floor.tick("EURUSD", *reaching)
    assert decision.kind is EventKind.OPENED
    assert order_of(decision).order_id == order
    assert deal_of(decision).reason is order_type
    assert deal_of(decision).price == 110_000


@pytest.mark.parametrize(
    ("order_type", "short_of", "reaching"),
    [
        # with a markup of 3: a group buys at ask + 2 and sells at bid - 1
        (OrderType.BUY_LIMIT, (109_000, 109_999), (109_000, 109_998)),
        (OrderType.BUY_STOP, (109_000, 109_997), (109_000, 109_998)),
        (OrderType.SELL_LIMIT, (110_000, 111_000), (110_001, 111_000)),
        (OrderType.SELL_STOP, (110_002, 111_000), (110_001, 111_000)),
    ],
)
def test_a_markup_moves_the_quote_that_fires(
    order_type: OrderType, short_of: tuple[int, int], reaching: tuple[int, int]
) -> None:
    floor = Floor()
    floor.rest(order_type, 110_000)
    floor.set_terms("market", "EURUSD", markup=3)
    assert floor.tick("EURUSD", *short_of) == []
    (deal,) = floor.deals("EURUSD", *reaching)
    assert deal.price == 110_000
    assert (deal.group_sell, deal.group_buy) == (reaching[0] - 1, reaching[1] + 2)


@pytest.mark.parametrize(
    ("markup", "up", "down"), [(0, 0, 0), (1, 1, 0), (2, 1, 1), (3, 2, 1), (7, 4, 3)]
)
def test_an_odd_markup_costs_the_buyer_the_odd_point(markup: int, up: int, down: int) -> None:
    floor = Floor()
    floor.set_terms("market", "EURUSD", markup)
    floor.tick("EURUSD", 110_000, 110_010)
    terms = floor.desk.terms["market", "EURUSD"]
    assert (terms.buy, terms.sell) == (110_010 + up, 110_000 - down)


@pytest.mark.parametrize(
    ("order_type", "level", "short_of", "reaching", "reason"),
    [
        (OrderType.BUY, "stop_loss", (109_901, 110_000), (109_900, 110_000), "STOP_LOSS"),
        (OrderType.BUY, "take_profit", (110_099, 111_000), (110_100, 111_000), "TAKE_PROFIT"),
        (OrderType.SELL, "stop_loss", (110_000, 110_099), (110_000, 110_100), "STOP_LOSS"),
        (OrderType.SELL, "take_profit", (109_000, 109_901), (109_000, 109_900), "TAKE_PROFIT"),
    ],
)
def test_a_level_closes_at_the_closing_side_exactly(
    order_type: OrderType,
    level: str,
    short_of: tuple[int, int],
    reaching: tuple[int, int],
    reason: str,
) -> None:
    floor = Floor()
    price = 109_900 if (order_type is OrderType.BUY) == (level == "stop_loss") else 110_100
    levels = (price, None) if level == "stop_loss" else (None, price)
    order = floor.rest(order_type, None, *levels)
    floor.tick("EURUSD", 110_000, 110_000)
    assert floor.tick("EURUSD", *short_of) == []
    (decision,) = floor.tick("EURUSD", *reaching)
    assert order_of(decision).order_id == order
    assert (deal_of(decision).event, deal_of(decision).reason) == (DealEvent.CLOSE, reason)
    assert floor.desk.orders == {}


def test_closes_come_before_openings_and_the_oldest_first() -> None:
    floor = Floor()
    opening = [floor.rest(OrderType.SELL_STOP, 109_900 + n) for n in range(3)]
    closing = [floor.rest(OrderType.BUY, stop_loss=109_902 - n) for n in range(3)]
    floor.tick("EURUSD", 110_000, 110_000)
    decided = [order_of(d).order_id for d in floor.tick("EURUSD", 109_900, 109_900)]
    assert decided == closing + opening


def test_a_close_frees_the_margin_for_an_opening_of_the_same_tick() -> None:
    floor = Floor()
    floor.add_account(3, balance="1200")
    opening = floor.rest(OrderType.BUY_STOP, 110_100, account=3)
    closing = floor.rest(OrderType.BUY, take_profit=110_100, account=3)
    floor.tick("EURUSD", 110_000, 110_000)
    decided = floor.tick("EURUSD", 110_100, 110_100)
    assert [(order_of(d).order_id, d.kind) for d in decided] == [
        (closing, EventKind.CLOSED),
        (opening, EventKind.OPENED),
    ]


@pytest.mark.parametrize("order_type", [OrderType.BUY, OrderType.SELL])
def test_where_tolerance_reaches_both_levels_the_stop_loss_counts(order_type: OrderType) -> None:
    floor = Floor()
    floor.set_symbol("EURUSD", trigger_tolerance_points=5)
    sign = 1 if order_type is OrderType.BUY else -1
    floor.rest(order_type, None, 110_000 - 2 * sign, 110_000 + 2 * sign)
    floor.tick("EURUSD", 110_000, 110_000)
    (deal,) = floor.deals("EURUSD", 110_000, 110_000)
    assert deal.reason is CloseReason.STOP_LOSS


def test_tolerance_fires_that_many_points_early_and_no_more() -> None:
    floor = Floor()
    floor.set_symbol("EURUSD", trigger_tolerance_points=2)
    floor.rest(OrderType.BUY_LIMIT, 110_000)
    assert floor.deals("EURUSD", 110_003, 110_003) == []
    (deal,) = floor.deals("EURUSD", 110_002, 110_002)
    assert (deal.price, deal.slippage) == (110_000, 0)  # never worse than asked


def test_a_position_is_judged_from_the_next_tick_of_its_own_symbol() -> None:
    floor = Floor()
    floor.rest(OrderType.BUY_STOP, 110_000, stop_loss=109_990)
    (opened,) = floor.tick("EURUSD", 109_980, 110_005)
    assert opened.kind is EventKind.OPENED
    assert floor.tick("USDJPY", 150_000, 150_010) == []
    assert floor.engine.judge_order(order_of(opened).order_id) is None
    (closed,) = floor.tick("EURUSD", 109_980, 110_005)
    assert deal_of(closed).reason is CloseReason.STOP_LOSS


def test_levels_given_with_a_pending_order_stay_on_it() -> None:
    floor = Floor()
    floor.rest(OrderType.BUY_LIMIT, 110_000, 109_000, 111_000)
    (opened,) = floor.tick("EURUSD", 109_990, 109_999)
    assert (order_of(opened).stop_loss, order_of(opened).take_profit) == (109_000, 111_000)
    (deal,) = floor.deals("EURUSD", 111_000, 111_010)
    assert deal.reason is CloseReason.TAKE_PROFIT


def test_a_resting_market_order_fills_on_the_first_tick_of_its_symbol() -> None:
    floor = Floor()
    floor.rest(OrderType.SELL)
    assert floor.tick("USDJPY", 150_000, 150_010) == []
    (deal,) = floor.deals("EURUSD", 109_990, 110_000)
    assert (deal.reason, deal.price, deal.slippage) == (OrderType.SELL, 109_990, 0)


def test_a_price_moved_away_and_back_fires_once() -> None:
    floor = Floor()
    floor.tick("EURUSD", 110_000, 110_010)
    order = order_of(floor.place(OrderType.BUY_STOP, 110_100)).order_id
    for price in (110_200, 110_100, 110_300, 110_100):
        floor.modify(order, price=price)
    assert [d.kind for d in floor.tick("EURUSD", 110_300, 110_300)] == [EventKind.OPENED]
    assert floor.tick("EURUSD", 110_300, 110_300) == []


def test_a_removed_level_no_longer_fires() -> None:
    floor = Floor()
    order = floor.rest(OrderType.BUY, None, 109_900, 110_100)
    floor.tick("EURUSD", 110_000, 110_000)
    floor.modify(order, stop_loss=None)
    assert floor.tick("EURUSD", 109_000, 109_000) == []
    floor.modify(order, take_profit=None)
    assert floor.tick("EURUSD", 111_000, 111_000) == []


def test_an_order_that_cannot_be_converted_is_cancelled() -> None:
    floor = Floor()
    floor.rest(OrderType.BUY, symbol="EURJPY")
    (deal,) = floor.deals("EURJPY", 165_000, 165_010)
    assert (deal.event, deal.reason) == (DealEvent.CANCEL, CancelReason.NO_RATE)
    assert (deal.volume, deal.price, deal.slippage) == (None, None, None)
    assert (deal.group_sell, deal.group_buy) == (None, None)


def test_changed_terms_move_what_rests_for_that_group_only() -> None:
    floor = Floor()
    moved = floor.rest(OrderType.BUY_LIMIT, 110_000, account=1)
    kept = floor.rest(OrderType.BUY_LIMIT, 110_000, account=2)
    floor.set_terms("market", "EURUSD", markup=10)
    decided = [order_of(d).order_id for d in floor.tick("EURUSD", 109_990, 109_996)]
    assert decided == [kept]
    decided = [order_of(d).order_id for d in floor.tick("EURUSD", 109_990, 109_995)]
    assert decided == [moved]


@pytest.mark.parametrize(
    ("symbol", "bid", "ask", "age", "refusal"),
    [
        ("XAUUSD", 1, 2, 0, QuoteRefusal.UNKNOWN_SYMBOL),
        ("EURUSD", 0, 110_000, 0, QuoteRefusal.NOT_POSITIVE),
        ("EURUSD", -2, -1, 0, QuoteRefusal.NOT_POSITIVE),
        ("EURUSD", 110_001, 110_000, 0, QuoteRefusal.CROSSED),
        ("EURUSD", 110_000, 110_000, 2 * SECOND, QuoteRefusal.OUT_OF_ORDER),
        ("EURUSD", 110_000, 110_000, -SECOND - 1, QuoteRefusal.FUTURE),
        ("USDJPY", 150_000, 150_000, 10 * SECOND + 1, QuoteRefusal.STALE),
    ],
)
def test_a_refused_quote_triggers_nothing_and_changes_no_price(
    symbol: str, bid: int, ask: int, age: int, refusal: QuoteRefusal
) -> None:
    floor = Floor()
    floor.tick("EURUSD", 120_000, 120_000)
    order = floor.rest(OrderType.BUY_LIMIT, 115_000)
    at = floor.now + SECOND
    assert floor.engine.on_quote(Quote(symbol, bid, ask, at - age), at) is refusal
    market = floor.desk.markets["EURUSD"]
    assert (market.bid, market.ask, market.time) == (120_000, 120_000, floor.now)
    assert list(floor.desk.orders) == [order]


def test_an_equal_time_passes() -> None:
    floor = Floor()
    floor.tick("EURUSD", 110_000, 110_000)
    floor.now -= SECOND
    assert floor.tick("EURUSD", 110_001, 110_001) == []
    assert floor.desk.markets["EURUSD"].bid == 110_001


def test_a_reloaded_account_stands_as_stored_and_is_judged_anew() -> None:
    floor = Floor()
    kept = floor.rest(OrderType.BUY, account=2)
    order = floor.rest(OrderType.BUY_LIMIT, 110_000, stop_loss=109_000)
    stored = order_state(floor.desk.orders[order], None)
    floor.tick("EURUSD", 110_000, 110_000)
    account = floor.desk.accounts[1]
    assert account.margin == 1100
    fresh = floor.add_account(1)
    assert floor.engine.reload(fresh, [stored], failed_order_id=order) == []
    assert floor.desk.accounts[1].margin == 0
    assert floor.desk.orders[order].status is OrderStatus.PENDING
    assert floor.desk.accounts[2].margin == 1100
    assert floor.tick("EURUSD", 108_000, 110_001) == []  # the lost position's stop loss is gone
    (decision,) = floor.tick("EURUSD", 109_990, 109_990)
    assert (order_of(decision).order_id, decision.kind) == (order, EventKind.OPENED)
    assert decision.account.margin == Decimal("1099.9")
    assert set(floor.desk.orders) == {kept, order}


def test_what_crosses_in_a_reloaded_account_is_judged_anew_at_once() -> None:
    floor = Floor()
    failed = floor.rest(OrderType.BUY_LIMIT, 110_000)
    younger = floor.rest(OrderType.BUY_LIMIT, 110_000)
    waiting = floor.rest(OrderType.BUY_LIMIT, 100_000)
    stored = [order_state(floor.desk.orders[number], None) for number in (failed, younger, waiting)]
    floor.tick("EURUSD", 110_000, 110_000)
    (decision,) = floor.engine.reload(floor.add_account(1), stored, failed_order_id=failed)
    assert (order_of(decision).order_id, decision.kind) == (younger, EventKind.OPENED)
    (decision,) = floor.tick("EURUSD", 110_000, 110_000)
    assert order_of(decision).order_id == failed


def test_nothing_is_dealt_where_the_markup_leaves_no_price() -> None:
    """A group price of zero or less: triggers wait, commands are refused."""
    floor = Floor()
    floor.set_terms("market", "EURUSD", markup=220_001)
    order = floor.rest(OrderType.SELL)
    assert floor.tick("EURUSD", 110_000, 110_000) == []
    assert floor.engine.desk.trigger_counts.deferred == 1
    assert floor.engine.judge_order(order) is None
    with pytest.raises(Rejected) as refused:
        floor.place(OrderType.SELL)
    assert refused.value.code is RejectCode.NO_QUOTE
    (decision,) = floor.tick("EURUSD", 110_001, 110_001)
    assert (order_of(decision).order_id, order_of(decision).open_price) == (order, 1)


@pytest.mark.parametrize("where", ["judged", "gone"])
def test_the_sweep_repairs_only_what_is_crossed(where: str) -> None:
    floor = Floor()
    order = floor.rest(OrderType.BUY_LIMIT, 110_000)
    assert floor.engine.judge_order(order) is None  # not quoted yet
    floor.tick("EURUSD", 109_999, 110_001)
    assert floor.engine.judge_order(order) is None
    floor.tick("EURUSD", 109_999, 110_000)
    assert floor.engine.judge_order(order if where == "judged" else 99) is None


def test_crossed_entries_are_counted_by_what_they_were() -> None:
    floor = Floor()
    floor.tick("EURUSD", 110_000, 110_010)
    counts = floor.desk.trigger_counts
    assert (counts.fired, counts.band, counts.gone) == (0, 0, 0)
    withdrawn = floor.rest(OrderType.BUY_LIMIT, 109_500)
    floor.rest(OrderType.BUY_LIMIT, 109_500)
    floor.commands.cancel(1, withdrawn, floor.now)
    floor.tick("EURUSD", 109_500, 109_500)
    assert (counts.fired, counts.band, counts.gone) == (1, 0, 1)
    floor.tick("EURUSD", 100, 110)
    assert (counts.fired, counts.band, counts.gone) == (1, 1, 1)
