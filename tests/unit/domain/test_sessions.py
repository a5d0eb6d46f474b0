"""Trading sessions: when in the week a symbol is traded, and what a gap does."""

from collections.abc import Callable

import pytest

from service.domain.decision import Decision
from service.domain.instrument import SettingsError, TradingState
from service.domain.order import OrderType
from service.domain.quote import QuoteRefusal
from service.domain.rejection import RejectCode
from service.domain.sessions import parse_sessions
from tests.unit.domain.floor import LOT, SECOND, Floor, deal_of, kinds, order_of, utc

FOREX = (
    "America/New_York: Sun 17:05-Mon 16:55, Mon 17:05-Tue 16:55, Tue 17:05-Wed 16:55, "
    "Wed 17:05-Thu 16:55, Thu 17:05-Fri 16:55"
)
XETRA = "Europe/Berlin: Mon-Fri 09:00-17:30"
NIGHT = "UTC: Mon-Fri 22:00-02:00"


@pytest.mark.parametrize(
    ("sessions", "moment", "is_open"),
    [
        (FOREX, "2024-03-10 21:04:59", False),  # Sunday, the day the clocks went forward
        (FOREX, "2024-03-10 21:05:00", True),
        (FOREX, "2024-03-11 00:00:00", True),
        (FOREX, "2024-03-11 20:54:59", True),  # Monday
        (FOREX, "2024-03-11 20:55:00", False),
        (FOREX, "2024-03-11 21:04:59", False),
        (FOREX, "2024-03-11 21:05:00", True),
        (FOREX, "2024-03-08 21:54:59", True),  # Friday before
        (FOREX, "2024-03-08 21:55:00", False),
        (FOREX, "2024-03-09 12:00:00", False),
        (FOREX, "2024-11-03 22:04:59", False),  # Sunday, the day they went back
        (FOREX, "2024-11-03 22:05:00", True),
        (XETRA, "2024-03-29 07:59:59", False),  # Friday, winter in Berlin
        (XETRA, "2024-03-29 08:00:00", True),
        (XETRA, "2024-03-29 16:29:59", True),
        (XETRA, "2024-03-29 16:30:00", False),
        (XETRA, "2024-04-01 07:00:00", True),  # Monday, summer
        (XETRA, "2024-04-01 15:30:00", False),
        (NIGHT, "2024-03-08 23:59:59", True),
        (NIGHT, "2024-03-09 01:59:59", True),  # Friday's runs into Saturday
        (NIGHT, "2024-03-09 02:00:00", False),
        (NIGHT, "2024-03-09 22:00:00", False),
    ],
)
def test_a_quote_passes_in_its_symbol_s_sessions_only(
    sessions: str, moment: str, is_open: bool
) -> None:
    floor = Floor()
    floor.set_symbol("EURUSD", sessions=parse_sessions(sessions))
    floor.now = utc(moment) - SECOND
    quoted = floor.quote("EURUSD", 110_000, 110_010)
    assert quoted == (() if is_open else QuoteRefusal.SESSION_CLOSED)


@pytest.mark.parametrize(
    ("sessions", "start", "hours"),
    [(FOREX, "2024-03-07 00:00:00", 240), (XETRA, "2024-03-28 00:00:00", 168)],
)
def test_one_that_is_asked_every_minute_sees_the_same_as_one_asked_once(
    sessions: str, start: str, hours: int
) -> None:
    floor = Floor()
    floor.set_symbol("EURUSD", sessions=parse_sessions(sessions))
    parsed = parse_sessions(sessions)
    for minute in range(hours * 60):
        floor.now = utc(start) + minute * 60 * SECOND - SECOND
        is_open = floor.quote("EURUSD", 110_000, 110_000) == ()
        assert is_open is parsed.at(floor.now)[0], minute


def test_over_the_end_of_the_week_it_closes_on_monday() -> None:
    floor = Floor()
    floor.set_symbol("EURUSD", sessions=parse_sessions(FOREX))
    floor.now = utc("2024-03-11 20:54:58")
    assert floor.quote("EURUSD", 110_000, 110_000) == ()
    assert floor.quote("EURUSD", 110_000, 110_000) is QuoteRefusal.SESSION_CLOSED


def gapped() -> Floor:
    """Return a floor on a Friday, seconds before the close."""
    floor = Floor()
    floor.set_symbol("EURUSD", sessions=parse_sessions(XETRA))
    floor.now = utc("2024-03-08 16:29:50")
    floor.tick("EURUSD", 110_000, 110_000)
    return floor


@pytest.mark.parametrize(
    ("order_type", "price", "levels", "monday", "fill", "slippage"),
    [
        (OrderType.BUY_STOP, 110_100, (None, None), 110_500, 110_500, 400),
        (OrderType.SELL_STOP, 109_900, (None, None), 109_500, 109_500, 400),
        (OrderType.BUY_LIMIT, 109_900, (None, None), 109_500, 109_500, -400),
        (OrderType.SELL_LIMIT, 110_100, (None, None), 110_500, 110_500, -400),
        (OrderType.BUY, None, (109_900, None), 109_500, 109_500, 400),
        (OrderType.BUY, None, (None, 110_100), 110_500, 110_500, -400),
    ],
)
def test_the_first_quote_after_a_gap_fills_stops_worse_and_limits_better(
    order_type: OrderType,
    price: int | None,
    levels: tuple[int | None, int | None],
    monday: int,
    fill: int,
    slippage: int,
) -> None:
    floor = gapped()
    floor.place(order_type, price, *levels)
    floor.now = utc("2024-03-10 12:00:00")
    assert floor.quote("EURUSD", monday, monday) is QuoteRefusal.SESSION_CLOSED
    assert floor.desk.markets["EURUSD"].bid == 110_000
    floor.now = utc("2024-03-11 08:00:00")
    (decision,) = floor.tick("EURUSD", monday, monday)
    assert (deal_of(decision).price, deal_of(decision).slippage) == (fill, slippage)


def test_the_requested_policy_gives_the_price_asked_for_in_a_gap() -> None:
    floor = gapped()
    floor.place(OrderType.BUY_STOP, 110_100, account=2)
    floor.now = utc("2024-03-11 08:00:00")
    (deal,) = floor.deals("EURUSD", 110_500, 110_500)
    assert (deal.price, deal.slippage) == (110_100, 0)


def test_what_a_client_may_do_while_the_market_is_closed() -> None:
    floor = gapped()
    order = order_of(floor.place(OrderType.BUY)).order_id
    floor.now = utc("2024-03-08 16:30:00")
    assert floor.refusal(lambda: floor.place(OrderType.BUY)) is RejectCode.MARKET_CLOSED
    assert floor.refusal(lambda: floor.close(order)) is RejectCode.MARKET_CLOSED
    pending = order_of(floor.place(OrderType.BUY_LIMIT, 109_000)).order_id
    floor.modify(pending, price=109_500)
    floor.modify(order, stop_loss=109_000)
    floor.commands.cancel(1, pending, floor.now)


@pytest.mark.parametrize(
    ("state", "place", "close", "ticked"),
    [
        (TradingState.ACTIVE, None, None, ["CLOSED STOP_LOSS", "OPENED SELL_STOP"]),
        (TradingState.CLOSE_ONLY, RejectCode.CLOSE_ONLY, None, ["CLOSED STOP_LOSS"]),
        (TradingState.HALTED, RejectCode.TRADING_HALTED, RejectCode.TRADING_HALTED, []),
    ],
)
@pytest.mark.parametrize("of_group", [True, False])
def test_the_trading_states(
    state: TradingState,
    place: RejectCode | None,
    close: RejectCode | None,
    ticked: list[str],
    of_group: bool,
) -> None:
    floor = Floor()
    floor.tick("EURUSD", 110_000, 110_000)
    floor.place(OrderType.BUY, None, 109_000)
    second = order_of(floor.place(OrderType.BUY, volume=2 * LOT)).order_id
    resting = order_of(floor.place(OrderType.SELL_STOP, 109_000)).order_id

    def change(to: TradingState) -> None:
        if of_group:
            floor.set_group(trading_state=to)
        else:
            floor.set_symbol("EURUSD", trading_state=to)

    change(state)
    placed: tuple[Callable[[], Decision], ...] = (
        lambda: floor.place(OrderType.BUY),
        lambda: floor.place(OrderType.BUY_LIMIT, 100_000),
    )
    for command in placed:
        if place is None:
            command()
        else:
            assert floor.refusal(command) is place
    if close is None:
        floor.close(second, volume=LOT)
    else:
        assert floor.refusal(lambda: floor.close(second, volume=LOT)) is close
    floor.modify(resting, take_profit=100_000)
    assert kinds(floor.tick("EURUSD", 109_000, 109_000)) == ticked
    change(TradingState.ACTIVE)
    assert floor.engine.judge_order(resting) is None
    waited = [k for k in ("CLOSED STOP_LOSS", "OPENED SELL_STOP") if k not in ticked]
    assert kinds(floor.tick("EURUSD", 108_900, 108_900)) == waited


@pytest.mark.parametrize(
    "text",
    [
        "Mon-Fri 08:00-16:30",
        "Mars/Phobos: Mon-Fri 08:00-16:30",
        "UTC: ",
        "UTC: Mon 8:00-16:30",
        "UTC: Mon 08:00-25:00",
        "UTC: Mon 08:61-16:00",
        "UTC: Foo 08:00-16:00",
        "UTC: Mon-Fri 08:00-Sat 16:00",
    ],
)
def test_what_cannot_be_read(text: str) -> None:
    with pytest.raises(SettingsError):
        parse_sessions(text)


@pytest.mark.parametrize("text", [FOREX, XETRA, NIGHT])
def test_what_was_written_can_be_read(text: str) -> None:
    sessions = parse_sessions(text)
    assert parse_sessions(str(sessions)) == sessions
