"""Committed accounts: valued as the engine values them, and never ahead of what was told."""

from dataclasses import replace
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.api.committed_account import CommittedAccount
from service.api.messages import PortfolioUpdate
from service.domain.account import position_profit
from service.domain.commands import CommandDesk
from service.domain.decision import Decision
from service.domain.desk import Desk
from service.domain.instructions import PlaceOrder
from service.domain.money import format_money
from service.domain.order import Order, OrderStatus, OrderType
from service.domain.quote import QuoteGuard
from service.loops.portfolio import value
from service.storage.views import EventView, event_view
from tests.trading_desk import GOLD, NOW, SILVER, committed, make_desk, place, quote

SYMBOLS = ("EURUSD", "USDJPY", "EURGBP")
QUOTES = {"EURUSD": (110_000, 110_010), "USDJPY": (150_000, 150_010), "EURGBP": (86_000, 86_012)}


@pytest.fixture
def desk() -> Desk:
    desk = make_desk()
    for symbol in ("EURUSD", "USDJPY"):
        quote(desk, symbol, *QUOTES[symbol])
    return desk


def reading(desk: Desk, account_id: int = GOLD) -> CommittedAccount:
    """Return an account as it is read from the database with all committed."""
    return CommittedAccount(*committed(desk, account_id))


def told(desk: Desk, decision: Decision) -> EventView:
    """Return the event of a decision as it comes off the wire."""
    symbols = {name: market.symbol for name, market in desk.markets.items()}
    payload = msgspec.json.encode(event_view(decision, symbols))
    return msgspec.json.decode(payload, type=EventView)


def assert_worth_the_same(account: CommittedAccount, desk: Desk) -> PortfolioUpdate:
    """Compare with the engine's own account and with the cached orders' value, field by field."""
    portfolio = account.portfolio(desk)
    assert portfolio is not None
    own = desk.accounts[portfolio.account_id]
    equity, free_margin = own.equity(), own.free_margin()
    assert portfolio.sequence == own.sequence == account.view.sequence
    assert account.view.in_margin_call == own.in_margin_call
    assert portfolio.balance == format_money(own.balance)
    assert portfolio.equity == (None if equity is None else format_money(equity))
    assert portfolio.margin == format_money(own.margin)
    assert portfolio.free_margin == (None if free_margin is None else format_money(free_margin))
    assert {each.order_id: each.profit for each in portfolio.positions} == {
        order.order_id: None if profit is None else format_money(profit)
        for order, profit in ((each, position_profit(each)) for each in positions(desk, own))
    }
    static = value(*committed(desk, portfolio.account_id), desk)
    for name in ("balance", "equity", "margin", "free_margin", "margin_level", "sequence"):
        assert getattr(portfolio, name) == getattr(static, name), name
    assert sorted(portfolio.unpriced) == sorted(static.unpriced)
    assert {(each.order_id, each.price, each.profit) for each in portfolio.positions} == {
        (each.order_id, each.price, each.profit) for each in static.positions
    }
    return portfolio


def positions(desk: Desk, account: object) -> list[Order]:
    return [
        order
        for order in desk.orders.values()
        if order.account is account and order.status is OrderStatus.OPEN
    ]


def test_figures_by_hand(desk: Desk) -> None:
    place(desk, GOLD, "EURUSD", OrderType.BUY, 10_000)  # at 1.10010
    place(desk, GOLD, "USDJPY", OrderType.SELL, 5_000)  # at 150.000
    account = reading(desk)
    quote(desk, "EURUSD", 110_110, 110_120)
    quote(desk, "USDJPY", 150_290, 150_300)
    portfolio = assert_worth_the_same(account, desk)
    # 100,000 * 0.00100 = 100.00; 50,000 * -0.300 JPY / 150.290 (a loss) = -99.81
    assert {(each.price, each.profit) for each in portfolio.positions} == {
        ("1.10110", "100.00"),
        ("150.300", "-99.81"),
    }
    assert portfolio.equity == "10000.19"
    # 100,000 * 1.10010 / 100, and 50,000 * 150.000 JPY / 100 / 150.000
    assert portfolio.margin == "1600.10"
    assert portfolio.free_margin == "8400.09"
    assert portfolio.margin_level == "624.97"


def test_an_account_without_positions_is_worth_its_balance(desk: Desk) -> None:
    place(desk, GOLD, "EURUSD", OrderType.BUY_LIMIT, 10_000, 109_000)
    account = reading(desk)
    portfolio = assert_worth_the_same(account, desk)
    assert (portfolio.equity, portfolio.margin_level, portfolio.positions) == ("10000.00", None, [])
    assert account.symbols(desk) == set()


def test_what_cannot_be_priced_is_told_as_such(desk: Desk) -> None:
    quote(desk, "EURGBP", *QUOTES["EURGBP"])
    place(desk, GOLD, "EURUSD", OrderType.BUY, 1_000)
    account = reading(desk)
    elsewhere = make_desk()
    quote(elsewhere, "USDJPY", *QUOTES["USDJPY"])
    portfolio = account.portfolio(elsewhere)
    assert portfolio is not None
    assert (portfolio.equity, portfolio.free_margin, portfolio.margin_level) == (None, None, None)
    assert portfolio.unpriced == [each.order_id for each in portfolio.positions]
    assert (portfolio.balance, portfolio.positions[0].profit) == ("10000.00", None)


def test_a_desk_without_the_groups_terms_cannot_tell(desk: Desk) -> None:
    place(desk, GOLD, "EURUSD", OrderType.BUY, 1_000)
    account = reading(desk)
    assert account.portfolio(Desk()) is None
    assert account.symbols(Desk()) == set()
    assert_worth_the_same(account, desk)


def test_what_is_decided_shows_once_it_is_told(desk: Desk) -> None:
    account = reading(desk)
    command = PlaceOrder(GOLD, "EURUSD", OrderType.BUY, 10_000, None)
    decision = CommandDesk(desk, QuoteGuard()).place(command, NOW)
    before = account.portfolio(desk)
    assert before is not None
    assert (before.sequence, before.positions, before.margin) == (0, [], "0.00")
    account.follow(told(desk, decision))
    after = assert_worth_the_same(account, desk)
    assert (after.sequence, len(after.positions)) == (1, 1)


def test_the_rates_that_convert_a_profit_are_watched(desk: Desk) -> None:
    place(desk, GOLD, "USDJPY", OrderType.BUY, 1_000)
    place(desk, SILVER, "EURUSD", OrderType.BUY, 1_000)
    account = reading(desk)
    assert account.symbols(desk) == {"USDJPY"}
    assert reading(desk, SILVER).symbols(desk) == {"EURUSD"}
    template = desk.markets["USDJPY"].symbol
    new = replace(template, name="USDJPY.fast")
    desk.set_symbol(new)
    assert account.symbols(desk) == {"USDJPY", "USDJPY.fast"}


MOVES = st.tuples(st.sampled_from(SYMBOLS[:2]), st.integers(-400, 400), st.integers(0, 20))
PLACED = st.tuples(
    st.sampled_from(SYMBOLS[:2]),
    st.sampled_from([OrderType.BUY, OrderType.SELL]),
    st.integers(1, 50).map(lambda lots: lots * 100),
)
STEPS = st.lists(
    st.one_of(
        PLACED.map(lambda each: ("place", each)),
        MOVES.map(lambda each: ("move", each)),
        st.integers(0, 30).map(lambda each: ("close", each)),
        st.integers(-900, 900).map(lambda each: ("fund", each)),
        st.just(("desk", None)),
    ),
    max_size=25,
)


@given(STEPS, st.sampled_from([GOLD, SILVER]))
def test_events_keep_an_account_as_a_fresh_reading_has_it(
    steps: list[tuple[str, object]], account_id: int
) -> None:
    desk = make_desk()
    for symbol in SYMBOLS[:2]:
        quote(desk, symbol, *QUOTES[symbol])
    account = reading(desk, account_id)
    for step, detail in steps:
        commands = CommandDesk(desk, QuoteGuard())
        own = positions(desk, desk.accounts[account_id])
        if step == "move":
            assert isinstance(detail, tuple)
            symbol, points, spread = detail
            bid = QUOTES[symbol][0] + points
            quote(desk, symbol, bid, bid + spread)
        elif step == "place":
            assert isinstance(detail, tuple)
            symbol, order_type, volume = detail
            command = PlaceOrder(account_id, symbol, order_type, volume, None)
            account.follow(told(desk, commands.place(command, NOW)))
        elif step == "fund" and detail:
            assert isinstance(detail, int)
            account.follow(told(desk, commands.fund(account_id, Decimal(detail), NOW)))
        elif step == "close" and own:
            assert isinstance(detail, int)
            order = own[detail % len(own)]
            part = 100 if detail % 2 and order.volume > 100 else None
            decision = commands.close(account_id, order.order_id, NOW, volume=part)
            account.follow(told(desk, decision))
        elif step == "desk":
            account.renew(*committed(desk, account_id))
        assert_worth_the_same(account, desk)
        fresh = reading(desk, account_id)
        assert account.view == fresh.view
        assert sorted(account.orders, key=lambda order: order.order_id) == fresh.orders
