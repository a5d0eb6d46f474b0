"""Commands as data: all that a gateway asks of the engine that has the account.

A closed set, so that a command can travel: `encode_command` and `decode_command` are its form on
the way, `decide` is the only place that knows what each does to a desk. Prices and volumes are
decimals as the client wrote them: how many decimals a symbol has is the engine's to know, since
another process's copy of it may be old.

Limit: integers have 64 bits; whoever makes a command sees to that.
"""

from decimal import Decimal
from typing import TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from service.domain.commands import CommandDesk
from service.domain.corrections import CorrectDeal
from service.domain.decision import Audit, Decision
from service.domain.instructions import ModifyOrder, PlaceOrder
from service.domain.instrument import Symbol
from service.domain.order import OrderType
from service.domain.rejection import RejectCode, Rejected
from service.domain.scales import points, volume_units
from service.storage.dealt import Dealt

MaybePrice = Decimal | UnsetType | None
Value = TypeVar("Value")


class _Command(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="do", tag=str.lower):
    """Base of all commands; what they are for is `service.domain.commands.CommandDesk`."""


class Place(_Command, frozen=True, kw_only=True):
    """Place an order. Prices in the symbol's currency, volume in lots, expiry in ns UTC."""

    symbol: str
    order_type: OrderType
    volume: Decimal
    price: Decimal | None = None
    stop_loss: Decimal | None = None
    take_profit: Decimal | None = None
    client_order_id: str | None = None
    limit_price: Decimal | None = None
    trailing_distance: int | None = None
    expires_at: int | None = None


class Modify(_Command, frozen=True, kw_only=True):
    """Change what is given of a live order; None removes it."""

    order_id: int
    price: MaybePrice = UNSET
    volume: MaybePrice = UNSET
    stop_loss: MaybePrice = UNSET
    take_profit: MaybePrice = UNSET
    limit_price: MaybePrice = UNSET
    trailing_distance: int | UnsetType | None = UNSET
    expires_at: int | UnsetType | None = UNSET


class Cancel(_Command, frozen=True):
    """Cancel a pending order."""

    order_id: int


class Close(_Command, frozen=True):
    """Close an open order, or `volume` lots of it."""

    order_id: int
    volume: Decimal | None = None


class Fund(_Command, frozen=True):
    """Deposit (amount > 0) or withdraw (amount < 0) USD, by an administrator."""

    amount: Decimal
    audit: Audit


class Correct(_Command, frozen=True):
    """Take a deal back, by an administrator."""

    deal_id: int
    audit: Audit


Command = Place | Modify | Cancel | Close | Fund | Correct

encode_command = msgspec.msgpack.Encoder().encode
_decode: msgspec.msgpack.Decoder[Command] = msgspec.msgpack.Decoder(Command)
decode_command = _decode.decode


def decide(
    command: Command, account_id: int, dealt: Dealt | None, desk: CommandDesk, now: int
) -> Decision:
    """Decide a command for an account at `now` (ns UTC).

    `dealt` is the deal that a `Correct` takes back, as stored; the others need none.

    Raises:
        Rejected: it is refused; nothing changed.
    """
    match command:
        case Place():
            return desk.place(_place_order(command, account_id, desk), now)
        case Modify():
            return desk.modify(_modify_order(command, account_id, desk), now)
        case Cancel():
            return desk.cancel(account_id, command.order_id, now)
        case Close():
            volume = None if command.volume is None else volume_units(command.volume)
            return desk.close(account_id, command.order_id, now, volume=volume)
        case Fund():
            return desk.fund(account_id, command.amount, now)._replace(audit=command.audit)
        case Correct():
            return _correct(command, account_id, dealt, desk, now)


def _place_order(command: Place, account_id: int, desk: CommandDesk) -> PlaceOrder:
    market = desk.desk.markets.get(command.symbol)
    if market is None:
        raise Rejected(
            RejectCode.UNKNOWN_SYMBOL, f"{command.symbol} is not traded in your group", "symbol"
        )
    symbol = market.symbol
    return PlaceOrder(
        account_id,
        command.symbol,
        command.order_type,
        volume_units(command.volume),
        points(command.price, symbol, RejectCode.INVALID_PRICE, "price"),
        points(command.stop_loss, symbol, RejectCode.INVALID_STOP_LOSS, "stop_loss"),
        points(command.take_profit, symbol, RejectCode.INVALID_TAKE_PROFIT, "take_profit"),
        command.client_order_id,
        points(command.limit_price, symbol, RejectCode.INVALID_LIMIT_PRICE, "limit_price"),
        command.trailing_distance,
        command.expires_at,
    )


def _modify_order(command: Modify, account_id: int, desk: CommandDesk) -> ModifyOrder:
    symbol = _symbol(desk, account_id, command.order_id)
    changes = frozenset(
        name
        for name in command.__struct_fields__
        if name != "order_id" and getattr(command, name) is not UNSET
    )

    def price(value: MaybePrice, code: RejectCode, field: str) -> int | None:
        return points(_given(value), symbol, code, field)

    volume = _given(command.volume)
    return ModifyOrder(
        account_id,
        command.order_id,
        changes,
        price(command.price, RejectCode.INVALID_PRICE, "price"),
        None if volume is None else volume_units(volume),
        price(command.stop_loss, RejectCode.INVALID_STOP_LOSS, "stop_loss"),
        price(command.take_profit, RejectCode.INVALID_TAKE_PROFIT, "take_profit"),
        price(command.limit_price, RejectCode.INVALID_LIMIT_PRICE, "limit_price"),
        _given(command.trailing_distance),
        _given(command.expires_at),
    )


def _given(value: Value | UnsetType | None) -> Value | None:
    return None if isinstance(value, UnsetType) else value


def _symbol(desk: CommandDesk, account_id: int, order_id: int) -> Symbol:
    order = desk.desk.orders.get(order_id)
    if order is None or order.account.account_id != account_id:
        raise Rejected(RejectCode.ORDER_NOT_FOUND, f"no live order {order_id} in this account")
    return order.terms.market.symbol


def _correct(
    command: Correct, account_id: int, dealt: Dealt | None, desk: CommandDesk, now: int
) -> Decision:
    deal_id = command.deal_id
    if dealt is None or dealt.order.account_id != account_id:
        raise Rejected(RejectCode.DEAL_NOT_FOUND, f"there is no deal {deal_id}")
    if dealt.corrected_by is not None:
        raise Rejected(
            RejectCode.DEAL_NOT_CORRECTABLE,
            f"deal {deal_id} was taken back already, by deal {dealt.corrected_by}",
        )
    correction = CorrectDeal(deal_id, dealt.deal, dealt.order, dealt.postings)
    return desk.correct(correction, now, None, command.audit)
