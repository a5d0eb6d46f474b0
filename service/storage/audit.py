"""The audit: what administrators did, who and why, and what it changed from what to what.

An entry is written with what was done, in the same transaction, and never changed: the database
refuses that to everybody, and to remove one before a year has passed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from decimal import Decimal
from enum import StrEnum
from typing import Any

import msgspec

from service.domain.decision import Audit, Decision
from service.domain.instrument import Group, GroupSymbol, Symbol
from service.domain.money import EXACT, format_money
from service.domain.order import OrderStatus
from service.domain.times import format_time
from service.storage.settings_write import SettingsStatement
from service.storage.views import format_decimal, format_volume

AUDIT_PAGE = """
SELECT audit_id, time, actor, action, target, reason, decision_id, before, after FROM audit
WHERE audit_id < $1 ORDER BY audit_id DESC LIMIT $2
"""
_INSERT = """
INSERT INTO audit (time, actor, action, target, reason, before, after)
VALUES ($1, $2, $3, $4, $5, $6, $7)
"""
Settings = Symbol | Group | GroupSymbol
Fields = Mapping[str, object]


class AuditAction(StrEnum):
    SET_SYMBOL = "set_symbol"
    SET_GROUP = "set_group"
    SET_TERMS = "set_terms"
    SET_TRADING_STATE = "set_trading_state"
    CREATE_ACCOUNT = "create_account"
    DEPOSIT = "deposit"
    WITHDRAW = "withdraw"
    CORRECT_DEAL = "correct_deal"
    REVOKE = "revoke"


class AuditView(msgspec.Struct, frozen=True):
    """What was done, to what, by whom (the subject of the token) and why.

    `before` and `after` have the fields that changed; `before` is null where something is new.
    `decision_id` is that of the deal or posting it made, if any.
    """

    audit_id: int
    time: str
    actor: str
    action: AuditAction
    target: str
    reason: str
    decision_id: int | None
    before: dict[str, Any] | None
    after: dict[str, Any] | None


def audit_statement(
    audit: Audit, time: int, before: Fields | None, after: Fields
) -> SettingsStatement:
    """Return the statement that stores an entry made at `time` (ns UTC)."""
    return _INSERT, (time, *audit, None if before is None else _json(before), _json(after))


def settings_changes(before: Settings | None, after: Settings) -> tuple[Fields | None, Fields]:
    """Return the fields that differ, all of them where there was nothing before."""
    names = [each.name for each in fields(after)]
    if before is None:
        return None, {name: getattr(after, name) for name in names}
    changed = [name for name in names if getattr(before, name) != getattr(after, name)]
    return (
        {name: getattr(before, name) for name in changed},
        {name: getattr(after, name) for name in changed},
    )


def decided_changes(decision: Decision) -> tuple[str, str]:
    """Return what an administrator's command changed of account and order, as JSON."""
    balance = decision.account.balance
    balance_before = balance
    for posting in decision.postings:
        balance_before = EXACT.subtract(balance_before, posting.amount)
    before: dict[str, object] = {"balance": format_money(balance_before)}
    after: dict[str, object] = {"balance": format_money(balance)}
    order, deal = decision.order, decision.deal
    if order is not None:
        before |= {"order_id": order.order_id, "status": decision.expected}
        after |= {"order_id": order.order_id, "status": order.status}
        is_part = decision.expected is OrderStatus.OPEN and order.status is OrderStatus.OPEN
        if is_part and deal is not None and deal.volume is not None:
            before["volume"] = format_volume(order.volume - deal.volume)
            after["volume"] = format_volume(order.volume)
    return _json(before), _json(after)


def audit_from(row: Sequence[Any]) -> AuditView:
    """Show an entry from a row of `AUDIT_PAGE`."""
    audit_id, time, actor, action, target, reason, decision_id, before, after = row
    return AuditView(
        audit_id,
        format_time(time),
        actor,
        AuditAction(action),
        target,
        reason,
        decision_id,
        None if before is None else msgspec.json.decode(before),
        None if after is None else msgspec.json.decode(after),
    )


def _json(values: Fields) -> str:
    return msgspec.json.encode({name: _plain(value) for name, value in values.items()}).decode()


def _plain(value: object) -> object:
    if isinstance(value, Decimal):
        return format_decimal(value)
    return value if value is None or isinstance(value, int) else str(value)
