"""For the dealing desk: the kill switch, net exposure, deal corrections, and the audit.

The kill switch takes effect at once where the settings are changed, within a second on all other
shards, and is answered when it holds on all. It holds for what waits too: what fired while it was
on fires on the first quote after it. A correction is a deal of its own that takes another one back.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from service.api.auth import Role
from service.api.calls import Answer, Call, Route
from service.api.errors import ApiError, TransportCode
from service.api.paging import cut_page, read_cursor
from service.api.replies import (
    AuditPage,
    ExposureList,
    GroupExposureView,
    GroupView,
    SymbolExposureView,
    SymbolView,
    group_view,
    symbol_view,
)
from service.api.requests import Correction, PageQuery, StateChange
from service.domain.decision import Audit, EventKind
from service.domain.exposure import NetExposure
from service.domain.rejection import RejectCode, Rejected
from service.loops.commands import Correct
from service.storage.audit import AuditAction
from service.storage.views import EventView, format_volume

SYMBOL_STATE = "/api/v1/admin/symbols/{symbol}/trading-state"
GROUP_STATE = "/api/v1/admin/groups/{group}/trading-state"
EXPOSURE = "/api/v1/admin/exposure"
CORRECTION = "/api/v1/admin/deals/{deal_id}/correction"
AUDIT = "/api/v1/admin/audit"

_ADMIN = Role.ADMIN
_CORRECTED = frozenset({EventKind.CORRECTED})


async def set_symbol_state(call: Call[StateChange, None]) -> Answer:
    administration, author = call.services.administration, call.author(call.body.reason)
    with _not_found(RejectCode.UNKNOWN_SYMBOL), call.counted("admin"):
        symbol = await administration.set_symbol_state(call.path["symbol"], call.body.state, author)
    return Answer(200, symbol_view(symbol))


async def set_group_state(call: Call[StateChange, None]) -> Answer:
    administration, author = call.services.administration, call.author(call.body.reason)
    with _not_found(RejectCode.UNKNOWN_GROUP), call.counted("admin"):
        group = await administration.set_group_state(call.path["group"], call.body.state, author)
    return Answer(200, group_view(group))


@contextmanager
def _not_found(code: RejectCode) -> Iterator[None]:
    """Answer NOT_FOUND where what the path names is unknown to whoever has the settings."""
    try:
        yield
    except Rejected as error:
        if error.code is not code:
            raise
        raise ApiError(TransportCode.NOT_FOUND, error.detail) from None


async def list_exposure(call: Call[None, None]) -> Answer:
    by_symbol: dict[str, dict[str, NetExposure]] = {}
    exposure = await call.services.administration.exposure()
    for (group, symbol), held in sorted(exposure.items()):
        by_symbol.setdefault(symbol, {})[group] = held
    return Answer(
        200,
        ExposureList(
            symbols=[_symbol_exposure(name, by_symbol[name]) for name in sorted(by_symbol)]
        ),
    )


def _symbol_exposure(symbol: str, groups: Mapping[str, NetExposure]) -> SymbolExposureView:
    total = NetExposure(
        sum(held.long_volume for held in groups.values()),
        sum(held.short_volume for held in groups.values()),
    )
    return SymbolExposureView(
        symbol=symbol,
        long=format_volume(total.long_volume),
        short=format_volume(total.short_volume),
        net=format_volume(total.net_volume),
        groups=[
            GroupExposureView(
                group=group,
                long=format_volume(held.long_volume),
                short=format_volume(held.short_volume),
                net=format_volume(held.net_volume),
            )
            for group, held in groups.items()
        ],
    )


async def correct_deal(call: Call[Correction, None]) -> Answer:
    deal_id = call.number("deal_id", RejectCode.DEAL_NOT_FOUND)
    dealt = await call.services.reader.dealt(deal_id)
    if dealt is None:
        raise Rejected(RejectCode.DEAL_NOT_FOUND, f"there is no deal {deal_id}")
    account_id, order_id = dealt.order.account_id, dealt.order.order_id
    actor, reason = call.author(call.body.reason)
    command = Correct(deal_id, Audit(actor, AuditAction.CORRECT_DEAL, f"deal {deal_id}", reason))
    event, _ = await call.command("correct", account_id, call.key, command, _CORRECTED, order_id)
    return Answer(200, event)


async def list_audit(call: Call[None, PageQuery]) -> Answer:
    limit = call.query.limit
    before = read_cursor("audit", call.query.cursor)
    found = await call.services.reader.audit(limit + 1, before)
    entries, cursor = cut_page("audit", found, limit, lambda entry: entry.audit_id)
    return Answer(200, AuditPage(entries=entries, next_cursor=cursor))


ROUTES = (
    Route(
        "PUT",
        SYMBOL_STATE,
        "Let a symbol be traded, be closed only, or halt it",
        set_symbol_state,
        _ADMIN,
        {200: SymbolView},
        body=StateChange,
        errors=(TransportCode.NOT_FOUND,),
    ),
    Route(
        "PUT",
        GROUP_STATE,
        "Let a group trade, close only, or halt it",
        set_group_state,
        _ADMIN,
        {200: GroupView},
        body=StateChange,
        errors=(TransportCode.NOT_FOUND,),
    ),
    Route(
        "GET",
        EXPOSURE,
        "Show what clients hold: long, short and net, by symbol and group",
        list_exposure,
        _ADMIN,
        {200: ExposureList},
    ),
    Route(
        "POST",
        CORRECTION,
        "Take a deal back, with its ledger entries",
        correct_deal,
        _ADMIN,
        {200: EventView},
        body=Correction,
        errors=(RejectCode.DEAL_NOT_FOUND, RejectCode.DEAL_NOT_CORRECTABLE),
        takes_key=True,
    ),
    Route(
        "GET",
        AUDIT,
        "List what administrators did, newest first",
        list_audit,
        _ADMIN,
        {200: AuditPage},
        query=PageQuery,
    ),
)
