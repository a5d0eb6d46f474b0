"""What clients send. Unknown fields are refused; prices, volumes and money are decimal strings.

How many decimals a price may have depends on its symbol, which the engine knows: here they only
become exact numbers.
"""

from decimal import Decimal
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from service.domain.instrument import (
    CommissionType,
    CommissionValueType,
    FillPolicy,
    InstrumentType,
    TradingState,
    UserType,
)
from service.domain.order import OrderType
from service.domain.rejection import RejectCode, Rejected
from service.storage.views import parse_time

MAX_PAGE = 200
DEFAULT_PAGE = 50

# The look-ahead keeps a trailing newline out, which `$` alone lets pass.
DECIMAL_PATTERN = r"^-?[0-9]{1,15}(\.[0-9]{1,10})?$(?!\n)"
NAME_PATTERN = r"^[A-Za-z0-9._#-]{1,32}$(?!\n)"
# What begins with a tilde is a key of the service's own.
KEY_PATTERN = r"^[!-}][!-~]{0,63}$(?!\n)"
TOKEN_ID_PATTERN = r"^[!-~]{1,64}$(?!\n)"
TEXT_PATTERN = r"^[^\x00-\x1f\x7f]*[^\x00-\x20\x7f][^\x00-\x1f\x7f]*$(?!\n)"
MAX_POINTS = 10**15
TRAILING_FIELD = "trailing_distance_points"
_LATEST_NS = 2**62  # the year 2116; times are stored in 64 bits

DecimalText = Annotated[
    str, Meta(pattern=DECIMAL_PATTERN, description="A decimal string.", examples=["1.08500"])
]
Name = Annotated[str, Meta(pattern=NAME_PATTERN)]
Key = Annotated[
    str,
    Meta(
        pattern=KEY_PATTERN,
        description="1 to 64 printable ASCII characters, no blanks, the first one no tilde.",
    ),
]
TokenId = Annotated[
    str,
    Meta(pattern=TOKEN_ID_PATTERN, description="1 to 64 printable ASCII characters, no blanks."),
]
Points = Annotated[
    int,
    Meta(
        ge=-MAX_POINTS,
        le=MAX_POINTS,
        description="A distance above zero in points: 10^-digits of the symbol.",
        examples=[250],
    ),
]
TimeText = Annotated[
    str,
    Meta(
        max_length=40,
        description="An ISO 8601 time; without an offset it is UTC.",
        examples=["2026-01-05T21:00:00Z"],
    ),
]
Reason = Annotated[
    str,
    Meta(
        pattern=TEXT_PATTERN,
        max_length=500,
        description="Why, in a line: kept in the audit.",
        examples=["bad ticks from the upstream feed"],
    ),
]
SessionsText = Annotated[
    str,
    Meta(
        max_length=500,
        description="Time zone and periods; opens included, closes not.",
        examples=["America/New_York: Sun 17:05-Fri 16:55", "Europe/London: Mon-Fri 08:00-16:30"],
    ),
]
SwapDay = Literal["Mon", "Tue", "Wed", "Thu", "Fri"]
AccountId = Annotated[int, Meta(ge=1, le=2**63 - 1)]
PageSize = Annotated[int, Meta(ge=1, le=MAX_PAGE)]


class Request(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of everything a client sends."""


class NewOrder(Request, frozen=True, kw_only=True):
    """A market order (BUY, SELL: no price) or a pending order (with its price).

    A stop-limit order rests at its `price`; once the market reaches that, it rests at its
    `limit_price`, below it to buy, above it to sell. `trailing_distance_points` lets the stop loss
    follow the price; a pending order is cancelled at `expires_at`.

    `client_order_id` is the order's idempotency key: sent again, it returns the first order.
    """

    symbol: Annotated[str, Meta(max_length=32)]
    type: OrderType
    volume: DecimalText
    price: DecimalText | None = None
    stop_loss: DecimalText | None = None
    take_profit: DecimalText | None = None
    client_order_id: Key | None = None
    limit_price: DecimalText | None = None
    trailing_distance_points: Points | None = None
    expires_at: TimeText | None = None


class OrderChange(Request, frozen=True, kw_only=True):
    """Changes of a live order: what is left out stays.

    Null removes stop loss, take profit, trailing stop and expiry. Price, volume, limit price and
    expiry change only while the order is pending.
    """

    price: DecimalText | UnsetType | None = UNSET
    volume: DecimalText | UnsetType | None = UNSET
    stop_loss: DecimalText | UnsetType | None = UNSET
    take_profit: DecimalText | UnsetType | None = UNSET
    limit_price: DecimalText | UnsetType | None = UNSET
    trailing_distance_points: Points | UnsetType | None = UNSET
    expires_at: TimeText | UnsetType | None = UNSET


class Closing(Request, frozen=True, kw_only=True):
    """What to close of an open order: `volume` lots of it; without a volume all."""

    volume: DecimalText | None = None


class Change(Request, frozen=True, kw_only=True):
    """Base of what administrators change: it is audited, with their reason."""

    reason: Reason | None = None


class Amount(Change, frozen=True, kw_only=True):
    """An amount of USD above zero, in whole cents."""

    amount: DecimalText


class NewAccount(Change, frozen=True, kw_only=True):
    """An account to create. The balance is its first deposit, in whole cents."""

    account_id: AccountId
    user_type: UserType
    group: Name
    leverage: DecimalText
    balance: DecimalText = "0"


class SymbolSettings(Change, frozen=True, kw_only=True):
    """An instrument. Lots, jump and tolerance limit what is traded and believed.

    Without `sessions` it is always traded; without a `triple_swap_weekday` each of the seven days
    charges one night. The trading state stays.
    """

    digits: Annotated[int, Meta(ge=0, le=8)]
    contract_size: DecimalText
    base_currency: Name
    profit_currency: Name
    instrument_type: InstrumentType
    min_lot: DecimalText
    max_lot: DecimalText
    lot_step: DecimalText
    trigger_tolerance_points: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    max_jump_points: Annotated[int, Meta(ge=1, le=MAX_POINTS)] | None = None
    sessions: SessionsText | None = None
    triple_swap_weekday: SwapDay | None = "Wed"


class GroupSettings(Change, frozen=True, kw_only=True):
    """A group of accounts. Levels are margin levels in percent.

    A margin call is over `margin_call_hysteresis` above its level. The trading state stays.
    """

    margin_call_level: DecimalText
    stop_out_level: DecimalText
    negative_balance_protection: bool
    fill_policy: FillPolicy
    margin_call_hysteresis: DecimalText = "5"


class StateChange(Request, frozen=True, kw_only=True):
    """The kill switch: what may be dealt from now on, and why."""

    state: TradingState
    reason: Reason


class Correction(Request, frozen=True, kw_only=True):
    """Why a deal is taken back."""

    reason: Reason


class NewRevocation(Request, frozen=True, kw_only=True):
    """What to revoke, and why: a token by its `jti`, or all that cover an account.

    Of an account, tokens of that role which were issued until now.
    """

    reason: Reason
    token_id: TokenId | None = None
    account_id: AccountId | None = None
    role: Literal["trader", "admin"] = "trader"


class TermsSettings(Change, frozen=True, kw_only=True):
    """A group's terms on a symbol; `spread` pips of `spread_pip` must be whole points."""

    spread: DecimalText
    spread_pip: DecimalText
    commission_type: CommissionType
    commission_value_type: CommissionValueType
    commission: DecimalText = "0"
    swap_long: DecimalText = "0"
    swap_short: DecimalText = "0"
    margin_factor: DecimalText = "1"


class OrdersQuery(Request, frozen=True, kw_only=True):
    """`status` takes several, with commas: pending, open, closed, cancelled."""

    status: Annotated[str, Meta(max_length=64, examples=["pending,open"])] | None = None
    symbol: Name | None = None
    limit: PageSize = DEFAULT_PAGE
    cursor: Annotated[str, Meta(max_length=64)] | None = None


class PageQuery(Request, frozen=True, kw_only=True):
    """A page, newest first; `cursor` is the `next_cursor` of the page before."""

    limit: PageSize = DEFAULT_PAGE
    cursor: Annotated[str, Meta(max_length=64)] | None = None


def distance(value: int | None) -> int | None:
    """Return a trailing_distance_points, None for none; reject what is not above zero."""
    if value is not None and value <= 0:
        raise Rejected(
            RejectCode.INVALID_TRAILING_DISTANCE,
            "trailing_distance_points must be above zero, or left out",
            TRAILING_FIELD,
        )
    return value


def expiry(text: str | None) -> int | None:
    """Return an expires_at in ns UTC, >= 0; None for none. Reject no time, and after 2116."""
    if text is None:
        return None
    try:
        time = parse_time(text)
    except ValueError:
        time = None
    if time is None or time >= _LATEST_NS:
        raise Rejected(
            RejectCode.INVALID_EXPIRY,
            "expires_at must be an ISO 8601 time such as 2026-01-05T21:00:00Z: "
            "leave it out where an order is to wait for ever",
            "expires_at",
        )
    return max(time, 0)  # what is past is refused alike, however long


def positive_money(text: str) -> Decimal:
    """Return an amount above zero; the domain sees to whole cents."""
    amount = Decimal(text)
    if amount <= 0:
        raise Rejected(RejectCode.INVALID_AMOUNT, "amount must be above zero", "amount")
    return amount
