"""What traders are shown, as JSON: one shape for cache, events, REST and WebSocket.

Prices, volumes (lots) and money are decimal strings, times ISO 8601 UTC. The same types validate
what is read back from the cache and from the outbox, where what was stored before a field was known
lacks it.
"""

from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache

import msgspec

from service.domain.decision import Deal, DealEvent, Decision, EventKind
from service.domain.instrument import Symbol, UserType
from service.domain.money import VOLUME_DIGITS, format_money, format_scaled, parse_scaled
from service.domain.order import (
    OrderState,
    OrderStatus,
    OrderType,
)
from service.domain.times import format_time


class OrderView(msgspec.Struct, frozen=True):
    """An order. `reason` tells why it was closed or cancelled.

    `profit` and `swap` are what was posted so far, `volume` is what is still open. A stop-limit
    order rests at `price` until `activated_at`, then at `limit_price`. A trailing stop follows the
    price at `trailing_distance_points`, in 10^-digits of the symbol.
    """

    order_id: int
    account_id: int
    client_order_id: str | None
    symbol: str
    type: OrderType
    status: OrderStatus
    volume: str
    price: str | None
    stop_loss: str | None
    take_profit: str | None
    placed_at: str
    open_price: str | None
    opened_at: str | None
    margin: str | None
    commission: str | None
    close_price: str | None
    closed_at: str | None
    profit: str | None
    reason: str | None
    limit_price: str | None = None
    activated_at: str | None = None
    trailing_distance_points: int | None = None
    expires_at: str | None = None
    swap: str | None = None


class AccountView(msgspec.Struct, frozen=True, kw_only=True):
    """An account as committed. `sequence` is that of its last event.

    `in_margin_call`: its margin level fell below its group's, and has not recovered since.
    """

    account_id: int
    user_type: UserType
    group: str
    leverage: str
    balance: str
    margin: str
    sequence: int
    in_margin_call: bool = False


class DealView(msgspec.Struct, frozen=True):
    """An opening, a closing of all or a part, a cancellation, or the correction of a deal.

    A cancellation has no volume, price or slippage; a correction names the deal that it `corrects`.
    """

    deal_id: int
    order_id: int
    symbol: str
    event: DealEvent
    reason: str
    volume: str | None
    price: str | None
    slippage_points: int | None
    profit: str
    commission: str
    balance_after: str
    time: str
    corrects: int | None = None


class EventView(msgspec.Struct, frozen=True):
    """What happened to an account, as stored in the outbox and published.

    `sequence` is per account and gapless; `balance`, `margin` and `in_margin_call` are those after
    it. What happened to the account alone has no order.
    """

    account_id: int
    sequence: int
    kind: EventKind
    balance: str
    margin: str
    order: OrderView | None
    deal: DealView | None
    in_margin_call: bool = False


# A burst repeats the same prices and volumes thousands of times.
_remember = lru_cache(maxsize=1 << 14)


format_price = _remember(format_scaled)


def format_decimal(value: Decimal) -> str:
    """Write a decimal plainly, without exponent and trailing zeros."""
    text = str(value)
    if "E" in text:
        text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def order_view(state: OrderState, symbol: Symbol) -> OrderView:
    """Show an order."""
    digits = symbol.digits
    price, stop_loss, take_profit = state.price, state.stop_loss, state.take_profit
    open_price, close_price = state.open_price, state.close_price
    limit_price, activated_time = state.limit_price, state.activated_time
    # By position, here and below: keywords take five times as long, on every decision.
    return OrderView(
        state.order_id,
        state.account_id,
        state.client_order_id,
        state.symbol,
        state.order_type,
        state.status,
        format_volume(state.volume),
        None if price is None else format_price(price, digits),
        None if stop_loss is None else format_price(stop_loss, digits),
        None if take_profit is None else format_price(take_profit, digits),
        format_time(state.placed_time),
        None if open_price is None else format_price(open_price, digits),
        None if state.open_time is None else format_time(state.open_time),
        None if state.margin is None else format_decimal(state.margin),
        None if state.commission is None else format_money(state.commission),
        None if close_price is None else format_price(close_price, digits),
        None if state.close_time is None else format_time(state.close_time),
        None if state.profit is None else format_money(state.profit),
        state.reason,
        None if limit_price is None else format_price(limit_price, digits),
        None if activated_time is None else format_time(activated_time),
        state.trailing_distance,
        None if state.expires_at is None else format_time(state.expires_at),
        None if state.swap is None else format_money(state.swap),
    )


def order_state(view: OrderView, symbol: Symbol) -> OrderState:
    """Return the order a live view shows; the normalised triggers are left to the desk.

    Times are as exact as they are shown, to the millisecond.
    """
    digits = symbol.digits

    def points(price: str | None) -> int | None:
        return None if price is None else parse_scaled(price, digits)

    def time(moment: str | None) -> int | None:
        return None if moment is None else parse_time(moment)

    def money(amount: str | None) -> Decimal | None:
        return None if amount is None else Decimal(amount)

    return OrderState(
        view.order_id,
        view.account_id,
        view.client_order_id,
        view.symbol,
        view.type,
        view.status,
        parse_scaled(view.volume, VOLUME_DIGITS),
        points(view.price),
        points(view.stop_loss),
        points(view.take_profit),
        None,
        None,
        None,
        parse_time(view.placed_at),
        points(view.open_price),
        time(view.opened_at),
        None,
        money(view.margin),
        money(view.commission),
        None,
        None,
        money(view.profit),
        None,
        points(view.limit_price),
        time(view.activated_at),
        view.trailing_distance_points,
        time(view.expires_at),
        money(view.swap),
    )


def parse_time(text: str) -> int:
    """Read an ISO 8601 time as nanoseconds UTC; one without an offset is taken as UTC.

    Raises:
        ValueError: not an ISO 8601 time.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    whole = moment.replace(microsecond=0)
    return int(whole.timestamp()) * 1_000_000_000 + moment.microsecond * 1_000


@_remember
def format_volume(volume: int) -> str:
    """Write a volume in 1/10,000 lot as lots, with two decimals or as many as it needs."""
    text = format_scaled(volume, VOLUME_DIGITS)
    return text[:-2] if text.endswith("00") else text


def deal_view(deal_id: int, order: OrderState, deal: Deal, symbol: Symbol) -> DealView:
    """Show a deal."""
    return DealView(
        deal_id,
        order.order_id,
        order.symbol,
        deal.event,
        deal.reason,
        None if deal.volume is None else format_volume(deal.volume),
        None if deal.price is None else format_price(deal.price, symbol.digits),
        deal.slippage,
        format_money(deal.profit),
        format_money(deal.commission),
        format_money(deal.balance_after),
        format_time(deal.time),
        deal.corrects,
    )


def event_view(decision: Decision, symbols: dict[str, Symbol]) -> EventView:
    """Show a decision as the event its account is told."""
    order = deal = None
    if decision.order is not None:
        symbol = symbols[decision.order.symbol]
        order = order_view(decision.order, symbol)
        if decision.deal is not None:
            deal = deal_view(decision.decision_id, decision.order, decision.deal, symbol)
    return EventView(
        decision.account.account_id,
        decision.account.sequence,
        decision.kind,
        format_money(decision.account.balance),
        format_decimal(decision.account.margin),
        order,
        deal,
        decision.account.in_margin_call,
    )
