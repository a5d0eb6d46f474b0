"""The caller's account: what it is worth, and its history."""

from service.api.auth import Role
from service.api.calls import Answer, Call, Route
from service.api.paging import cut_page, read_cursor
from service.api.replies import DealsPage, LedgerPage
from service.api.requests import PageQuery
from service.domain.rejection import RejectCode, Rejected
from service.loops.portfolio import Portfolio


async def show_account(call: Call[None, None]) -> Answer:
    portfolio = await call.services.portfolios.process_portfolio_update(call.account_id)
    if portfolio is None:
        raise Rejected(RejectCode.UNKNOWN_ACCOUNT, f"there is no account {call.account_id}")
    return Answer(200, portfolio)


async def list_ledger(call: Call[None, PageQuery]) -> Answer:
    limit = call.query.limit
    before = read_cursor("ledger", call.query.cursor)
    found = await call.services.reader.ledger(call.account_id, limit + 1, before)
    entries, cursor = cut_page("ledger", found, limit, lambda entry: entry.entry_id)
    return Answer(200, LedgerPage(entries=entries, next_cursor=cursor))


async def list_deals(call: Call[None, PageQuery]) -> Answer:
    limit = call.query.limit
    before = read_cursor("deals", call.query.cursor)
    found = await call.services.reader.deals(call.account_id, limit + 1, before)
    deals, cursor = cut_page("deals", found, limit, lambda deal: deal.deal_id)
    return Answer(200, DealsPage(deals=deals, next_cursor=cursor))


ROUTES = (
    Route(
        "GET",
        "/api/v1/account",
        "Show balance, equity, margin, free margin and margin level",
        show_account,
        Role.TRADER,
        {200: Portfolio},
        errors=(RejectCode.UNKNOWN_ACCOUNT,),
    ),
    Route(
        "GET",
        "/api/v1/account/ledger",
        "List changes of the balance, newest first",
        list_ledger,
        Role.TRADER,
        {200: LedgerPage},
        query=PageQuery,
    ),
    Route(
        "GET",
        "/api/v1/account/deals",
        "List deals, newest first",
        list_deals,
        Role.TRADER,
        {200: DealsPage},
        query=PageQuery,
    ),
)
