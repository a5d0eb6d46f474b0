"""What the portfolio job finds an account worth is what the domain does, whatever it holds."""

from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from service.domain.instrument import UserType
from service.domain.money import format_scaled
from service.domain.order import OrderStatus, OrderType
from service.domain.times import format_time
from service.loops.holding import group_prices, holding, worth
from service.loops.portfolio import value
from service.storage.views import AccountView, OrderView, format_decimal, format_volume
from tests.trading_desk import NOW, make_desk, quote

SYMBOLS = ("EURUSD", "USDJPY", "EURGBP")
GROUPS = ("gold", "silver")
ACCOUNT = 5

prices = st.integers(1, 60) | st.integers(90_000, 160_000)
amounts = st.decimals(-10_000, 10_000, places=2)
quotes = st.tuples(prices, st.integers(0, 9), st.integers(0, 1_000))
Position = tuple[str, bool, int, int, Decimal]
positions = st.tuples(
    st.sampled_from(SYMBOLS),
    st.booleans(),
    st.integers(1, 300),
    prices,
    st.decimals(0, 500, places=2) | st.integers(1, 10**10).map(lambda n: Decimal(n) / 7),
)


@settings(max_examples=300, deadline=None)
@given(
    group=st.sampled_from(GROUPS),
    balance=amounts,
    market=st.dictionaries(st.sampled_from((*SYMBOLS, "GBPUSD")), quotes),
    held=st.lists(positions, max_size=8),
)
def test_an_account_is_worth_what_the_domain_says(
    group: str,
    balance: Decimal,
    market: dict[str, tuple[int, int, int]],
    held: list[Position],
) -> None:
    desk = make_desk("GBPUSD")
    for symbol, (bid, spread, age) in market.items():
        quote(desk, symbol, bid, bid + spread, NOW - age * 1_000_000)
    orders = [
        position(number, desk.symbols[each[0]].digits, each) for number, each in enumerate(held, 1)
    ]
    view = AccountView(
        account_id=ACCOUNT,
        user_type=UserType.LIVE,
        group=group,
        leverage="100",
        balance=str(balance),
        margin="0.00",
        sequence=3,
    )
    at = group_prices(group, desk)
    account = holding(view, orders, at)
    if account is None:
        assert not held
        return
    found, shown = worth(account, at, "now"), value(view, orders, desk)
    assert (found.equity, found.margin, found.free_margin, found.margin_level) == (
        shown.equity,
        shown.margin,
        shown.free_margin,
        shown.margin_level,
    )
    assert sorted(found.unpriced) == shown.unpriced
    assert found.positions == len(shown.positions) == len(held)
    assert (found.account_id, found.sequence) == (ACCOUNT, 3)
    times = [each.priced_at for each in shown.positions if each.priced_at is not None]
    assert found.priced_at == min(times, default=None)


def position(order_id: int, digits: int, held: Position) -> OrderView:
    """Return an open order as it is shown."""
    symbol, is_long, hundredths, price, margin = held
    return OrderView(
        order_id,
        ACCOUNT,
        None,
        symbol,
        OrderType.BUY if is_long else OrderType.SELL,
        OrderStatus.OPEN,
        format_volume(100 * hundredths + order_id),
        None,
        None,
        None,
        format_time(NOW),
        format_scaled(price, digits),
        format_time(NOW),
        format_decimal(margin),
        "0.00",
        None,
        None,
        "0.00",
        None,
    )
