"""An administration that changes a desk and stores nothing."""

from dataclasses import replace
from decimal import Decimal

from service.domain.account import Account
from service.domain.desk import Desk
from service.domain.instrument import (
    Group,
    GroupSymbol,
    SettingsError,
    Symbol,
    TradingState,
    UserType,
)
from service.domain.rejection import RejectCode, Rejected
from service.domain.times import format_time
from service.loops.administration import Author
from service.storage.audit import AuditAction, AuditView


class FakeAdministration:
    """Changes the desk, and writes down who did."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.audit: list[AuditView] = []

    async def set_symbol(self, symbol: Symbol, author: Author) -> None:
        self._desk.set_symbol(symbol)
        self._note(AuditAction.SET_SYMBOL, symbol.name, author)

    async def set_group(self, group: Group, author: Author) -> None:
        self._desk.set_group(group)
        self._note(AuditAction.SET_GROUP, group.name, author)

    async def set_terms(self, settings: GroupSymbol, author: Author) -> None:
        self._desk.set_terms(settings)
        self._note(AuditAction.SET_TERMS, f"{settings.group} {settings.symbol}", author)

    async def set_symbol_state(self, name: str, state: TradingState, author: Author) -> None:
        self._desk.set_symbol(replace(self._desk.markets[name].symbol, trading_state=state))
        self._note(AuditAction.SET_TRADING_STATE, name, author)

    async def set_group_state(self, name: str, state: TradingState, author: Author) -> None:
        self._desk.set_group(replace(self._desk.groups[name], trading_state=state))
        self._note(AuditAction.SET_TRADING_STATE, name, author)

    async def create_account(
        self,
        account_id: int,
        user_type: UserType,
        group: str,
        leverage: Decimal,
        balance: Decimal,
        author: Author,
    ) -> None:
        if account_id in self._desk.accounts:
            raise Rejected(RejectCode.ACCOUNT_EXISTS, f"there is an account {account_id} already")
        if group not in self._desk.groups:
            raise Rejected(RejectCode.UNKNOWN_GROUP, f"there is no group {group}", "group")
        if leverage <= 0:
            raise SettingsError("leverage must be above zero")
        self._desk.accounts[account_id] = Account(
            account_id, user_type, self._desk.groups[group], leverage, balance
        )
        self._note(AuditAction.CREATE_ACCOUNT, str(account_id), author)

    def _note(self, action: AuditAction, target: str, author: Author) -> None:
        number = len(self.audit) + 1
        self.audit.append(
            AuditView(
                *(number, format_time(number), author.actor, action, target, author.reason),
                *(None, None, {"group": "gold"}),
            )
        )
