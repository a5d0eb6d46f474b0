"""The audit: what administrators did, who and why, written with what was done and never changed."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

import msgspec

from service.domain.decision import Audit
from service.domain.times import format_time
from service.storage.settings_write import SettingsStatement

AUDIT_PAGE = """
SELECT audit_id, time, actor, action, target, reason, decision_id FROM audit
WHERE audit_id < $1 ORDER BY audit_id DESC LIMIT $2
"""
_INSERT = "INSERT INTO audit (time, actor, action, target, reason) VALUES ($1, $2, $3, $4, $5)"


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

    `reason` ends with what changed, in brackets. `decision_id` is that of the deal or posting it
    made, if any.
    """

    audit_id: int
    time: str
    actor: str
    action: AuditAction
    target: str
    reason: str
    decision_id: int | None


def audit_statement(audit: Audit, time: int) -> SettingsStatement:
    """Return the statement that stores an entry made at `time` (ns UTC)."""
    return _INSERT, (time, *audit)


def audit_from(row: Sequence[Any]) -> AuditView:
    """Show an entry from a row of `AUDIT_PAGE`."""
    audit_id, time, actor, action, target, reason, decision_id = row
    return AuditView(
        audit_id, format_time(time), actor, AuditAction(action), target, reason, decision_id
    )
