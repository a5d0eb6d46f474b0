"""What clients are answered, where it is not a view as stored."""

from collections.abc import Sequence

import msgspec

from service.domain.instrument import (
    CommissionType,
    CommissionValueType,
    FillPolicy,
    Group,
    GroupSymbol,
    InstrumentType,
    Symbol,
    TradingState,
)
from service.loops.loop_status import LoopStatus
from service.storage.audit import AuditView
from service.storage.group_views import GroupSymbolView, PriceView, sessions_text, swap_day
from service.storage.reader import LedgerView
from service.storage.revocations import RevocationView
from service.storage.valuation import Valuation
from service.storage.views import (
    AccountView,
    DealView,
    OrderView,
    format_decimal,
    format_volume,
)


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """Base of the gateway's own answers."""


class OrdersPage(Reply, frozen=True, kw_only=True):
    """Orders, newest first; `next_cursor` is null on the last page."""

    orders: list[OrderView]
    next_cursor: str | None


class LedgerPage(Reply, frozen=True, kw_only=True):
    """Changes of the balance, newest first."""

    entries: list[LedgerView]
    next_cursor: str | None


class DealsPage(Reply, frozen=True, kw_only=True):
    """Deals, newest first."""

    deals: list[DealView]
    next_cursor: str | None


class InstrumentList(Reply, frozen=True, kw_only=True):
    """The instruments of a group, by name."""

    symbols: list[GroupSymbolView]


class QuoteList(Reply, frozen=True, kw_only=True):
    """The last prices of a group; a symbol that was never quoted is missing."""

    group: str
    sequence: int
    quotes: list[PriceView]


class FundingReply(Reply, frozen=True, kw_only=True):
    """An account after a deposit or withdrawal."""

    account_id: int
    balance: str
    margin: str
    sequence: int


class ListedAccount(AccountView, frozen=True, kw_only=True):
    """An account, and what it was worth when the portfolio job last came to it.

    `valuation` is null without positions, and where the job has not been lately.
    """

    valuation: Valuation | None


class AccountsPage(Reply, frozen=True, kw_only=True):
    """Accounts by id; `next_cursor` is null on the last page."""

    accounts: list[ListedAccount]
    next_cursor: str | None


class SymbolList(Reply, frozen=True, kw_only=True):
    """All instruments, by name."""

    symbols: "list[SymbolView]"


class GroupList(Reply, frozen=True, kw_only=True):
    """All groups, by name."""

    groups: "list[GroupView]"


class TermsList(Reply, frozen=True, kw_only=True):
    """A group's terms, by symbol."""

    symbols: "list[TermsView]"


class RevocationsPage(Reply, frozen=True, kw_only=True):
    """What is revoked, newest first; `next_cursor` is null on the last page."""

    revocations: list[RevocationView]
    next_cursor: str | None


class AuditPage(Reply, frozen=True, kw_only=True):
    """What administrators did, newest first; `next_cursor` is null on the last page."""

    entries: list[AuditView]
    next_cursor: str | None


class LoopsReply(Reply, frozen=True, kw_only=True):
    """Every background loop of this process."""

    loops: Sequence[LoopStatus]


class ExposureView(Reply, frozen=True, kw_only=True):
    """What clients hold, in lots: bought, sold and the difference."""

    long: str
    short: str
    net: str


class GroupExposureView(ExposureView, frozen=True, kw_only=True):
    """What a group's clients hold in a symbol, in lots."""

    group: str


class SymbolExposureView(ExposureView, frozen=True, kw_only=True):
    """What all clients hold in a symbol, in lots, and which groups, by name."""

    symbol: str
    groups: list[GroupExposureView]


class ExposureList(Reply, frozen=True, kw_only=True):
    """Net exposure by symbol, where clients hold any; the broker's own risk is the opposite."""

    symbols: list[SymbolExposureView]


class SymbolView(Reply, frozen=True, kw_only=True):
    """An instrument as set."""

    symbol: str
    digits: int
    contract_size: str
    base_currency: str
    profit_currency: str
    instrument_type: InstrumentType
    min_lot: str
    max_lot: str
    lot_step: str
    trigger_tolerance_points: int
    max_jump_points: int | None
    trading_state: TradingState
    sessions: str | None
    triple_swap_weekday: str | None


class GroupView(Reply, frozen=True, kw_only=True):
    """A group as set."""

    group: str
    margin_call_level: str
    stop_out_level: str
    negative_balance_protection: bool
    fill_policy: FillPolicy
    margin_call_hysteresis: str
    trading_state: TradingState


class TermsView(Reply, frozen=True, kw_only=True):
    """A group's terms on a symbol as set."""

    group: str
    symbol: str
    spread: str
    spread_pip: str
    commission_type: CommissionType
    commission_value_type: CommissionValueType
    commission: str
    swap_long: str
    swap_short: str
    margin_factor: str


def listed_account(account: AccountView, valuation: Valuation | None) -> ListedAccount:
    """Show an account with its valuation."""
    return ListedAccount(**msgspec.structs.asdict(account), valuation=valuation)


def symbol_view(symbol: Symbol) -> SymbolView:
    """Show an instrument."""
    return SymbolView(
        symbol=symbol.name,
        digits=symbol.digits,
        contract_size=format_decimal(symbol.contract_size),
        base_currency=symbol.base_currency,
        profit_currency=symbol.profit_currency,
        instrument_type=symbol.instrument_type,
        min_lot=format_volume(symbol.min_volume),
        max_lot=format_volume(symbol.max_volume),
        lot_step=format_volume(symbol.volume_step),
        trigger_tolerance_points=symbol.trigger_tolerance_points,
        max_jump_points=symbol.max_jump_points,
        trading_state=symbol.trading_state,
        sessions=sessions_text(symbol),
        triple_swap_weekday=swap_day(symbol),
    )


def group_view(group: Group) -> GroupView:
    """Show a group."""
    return GroupView(
        group=group.name,
        margin_call_level=format_decimal(group.margin_call_level),
        stop_out_level=format_decimal(group.stop_out_level),
        negative_balance_protection=group.negative_balance_protection,
        fill_policy=group.fill_policy,
        margin_call_hysteresis=format_decimal(group.margin_call_hysteresis),
        trading_state=group.trading_state,
    )


def terms_view(settings: GroupSymbol) -> TermsView:
    """Show a group's terms on a symbol."""
    return TermsView(
        group=settings.group,
        symbol=settings.symbol,
        spread=format_decimal(settings.spread),
        spread_pip=format_decimal(settings.spread_pip),
        commission_type=settings.commission_type,
        commission_value_type=settings.commission_value_type,
        commission=format_decimal(settings.commission),
        swap_long=format_decimal(settings.swap_long),
        swap_short=format_decimal(settings.swap_short),
        margin_factor=format_decimal(settings.margin_factor),
    )
