"""Administration of accounts: create, list, deposit, withdraw, look up deals.

Amounts of deposits and withdrawals are whole cents above zero. Every change is audited.
"""

from decimal import Decimal
from typing import Any

from service.api.auth import Role
from service.api.calls import Answer, Call, Route
from service.api.paging import cut_page, read_cursor
from service.api.replies import AccountsPage, DealsPage, FundingReply, listed_account
from service.api.requests import Amount, NewAccount, PageQuery, positive_money
from service.domain.decision import Audit, EventKind
from service.domain.rejection import RejectCode, Rejected
from service.loops.commands import Fund
from service.storage.audit import AuditAction
from service.storage.views import AccountView

ACCOUNTS = "/api/v1/admin/accounts"
ACCOUNT = ACCOUNTS + "/{account_id}"

_ADMIN = Role.ADMIN
_DEPOSITED = frozenset({EventKind.DEPOSITED})
_WITHDRAWN = frozenset({EventKind.WITHDRAWN})
_NO_ACCOUNT = (RejectCode.UNKNOWN_ACCOUNT,)
_FUNDING = (*_NO_ACCOUNT, RejectCode.INVALID_AMOUNT)


async def create_account(call: Call[NewAccount, None]) -> Answer:
    body = call.body
    with call.counted("admin"):
        await call.services.administration.create_account(
            body.account_id,
            body.user_type,
            body.group,
            Decimal(body.leverage),
            Decimal(body.balance),
            call.author(body.reason),
        )
    account = await _account(call, body.account_id)
    return Answer(201, account, {"Location": f"{ACCOUNTS}/{body.account_id}"})


async def list_accounts(call: Call[None, PageQuery]) -> Answer:
    limit = call.query.limit
    after = read_cursor("accounts", call.query.cursor) or 0
    found = await call.services.reader.accounts(after, limit + 1)
    accounts, cursor = cut_page("accounts", found, limit, lambda account: account.account_id)
    worth = await call.services.portfolios.valuations([each.account_id for each in accounts])
    listed = [listed_account(each, worth.get(each.account_id)) for each in accounts]
    return Answer(200, AccountsPage(accounts=listed, next_cursor=cursor))


async def show_account(call: Call[None, None]) -> Answer:
    return Answer(200, await _account(call, call.number("account_id", RejectCode.UNKNOWN_ACCOUNT)))


async def deposit(call: Call[Amount, None]) -> Answer:
    return await _fund(call, positive_money(call.body.amount))


async def withdraw(call: Call[Amount, None]) -> Answer:
    return await _fund(call, -positive_money(call.body.amount))


async def _fund(call: Call[Amount, None], amount: Decimal) -> Answer:
    account_id = call.number("account_id", RejectCode.UNKNOWN_ACCOUNT)
    actor, reason = call.author(call.body.reason)
    action = AuditAction.DEPOSIT if amount > 0 else AuditAction.WITHDRAW
    audit = Audit(actor, action, f"account {account_id}", reason)
    kinds = _DEPOSITED if amount > 0 else _WITHDRAWN
    event, _ = await call.command("fund", account_id, call.key, Fund(amount, audit), kinds)
    return Answer(
        200,
        FundingReply(
            account_id=account_id,
            balance=event.balance,
            margin=event.margin,
            sequence=event.sequence,
        ),
    )


async def list_account_deals(call: Call[None, PageQuery]) -> Answer:
    account_id = call.number("account_id", RejectCode.UNKNOWN_ACCOUNT)
    limit = call.query.limit
    before = read_cursor("deals", call.query.cursor)
    found = await call.services.reader.deals(account_id, limit + 1, before)
    deals, cursor = cut_page("deals", found, limit, lambda deal: deal.deal_id)
    return Answer(200, DealsPage(deals=deals, next_cursor=cursor))


async def _account(call: Call[Any, None], account_id: int) -> AccountView:
    account = await call.services.reader.account(account_id)
    if account is None:
        raise Rejected(RejectCode.UNKNOWN_ACCOUNT, f"there is no account {account_id}")
    return account


ROUTES = (
    Route(
        "POST",
        ACCOUNTS,
        "Create an account",
        create_account,
        _ADMIN,
        {201: AccountView},
        body=NewAccount,
        errors=(
            RejectCode.ACCOUNT_EXISTS,
            RejectCode.UNKNOWN_GROUP,
            RejectCode.INVALID_AMOUNT,
            RejectCode.INVALID_SETTINGS,
        ),
    ),
    Route(
        "GET",
        ACCOUNTS,
        "List accounts by id, with what those with positions are worth",
        list_accounts,
        _ADMIN,
        {200: AccountsPage},
        query=PageQuery,
    ),
    Route(
        "GET",
        ACCOUNT,
        "Show an account",
        show_account,
        _ADMIN,
        {200: AccountView},
        errors=_NO_ACCOUNT,
    ),
    Route(
        "GET",
        ACCOUNT + "/deals",
        "List an account's deals, newest first",
        list_account_deals,
        _ADMIN,
        {200: DealsPage},
        query=PageQuery,
    ),
    Route(
        "POST",
        ACCOUNT + "/deposits",
        "Deposit",
        deposit,
        _ADMIN,
        {200: FundingReply},
        body=Amount,
        errors=_FUNDING,
        takes_key=True,
    ),
    Route(
        "POST",
        ACCOUNT + "/withdrawals",
        "Withdraw at most the free margin and the balance",
        withdraw,
        _ADMIN,
        {200: FundingReply},
        body=Amount,
        errors=(*_FUNDING, RejectCode.INSUFFICIENT_FUNDS),
        takes_key=True,
    ),
)
