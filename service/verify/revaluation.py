"""Margins and triggers as the domain computes them, against what is stored.

Accounts are taken in pages, each with its live orders, into a desk that knows all settings and
nothing else: what it takes of memory is a page, and the largest account.

A shard that has not taken over the newest settings yet stores the triggers they move when it does,
so until then its triggers are not judged.
"""

from collections.abc import AsyncIterator, Sequence
from decimal import Decimal
from typing import Any

from service.domain.account import Account
from service.domain.desk import Desk
from service.domain.instrument import SettingsError, UserType
from service.domain.money import EQUAL_WITHIN
from service.storage.connection import Connection
from service.storage.loader import load_settings
from service.storage.rows import ORDER_SELECT, order_from
from service.storage.statements import fetch_pages
from service.verify.fault import Fault, Rule

PAGE = 200
_ONE = Decimal(1)
_VERSIONS = "SELECT settings_version FROM shard_leases ORDER BY shard"
_ACCOUNTS = "SELECT account_id, group_name, margin FROM accounts ORDER BY account_id"
_LIVE = f"""
SELECT {ORDER_SELECT} FROM orders
WHERE account_id = ANY($1::bigint[]) AND status IN ('PENDING', 'OPEN') ORDER BY order_id
"""


async def find_revalued(connection: Connection, timeout_s: float) -> AsyncIterator[Fault]:
    """Yield what the domain would have stored otherwise; call it within a transaction.

    What is not a finite number, or has no terms, is left to the rules on these.
    """
    settings = Desk()
    versions = [row[0] for row in await connection.fetch(_VERSIONS)]
    try:
        await load_settings(connection, settings)
    except (SettingsError, ValueError, ArithmeticError) as error:
        yield Fault(Rule.UNREADABLE, "the settings", "what the domain reads", repr(error))
        return
    async for page in fetch_pages(connection, _ACCOUNTS, PAGE):
        desk = _with_settings_of(settings)
        margins: dict[int, Decimal] = {}
        for account_id, group, margin in page:
            margins[account_id] = margin
            # Nothing else of an account enters what was fixed when its positions opened.
            account = Account(account_id, UserType.LIVE, settings.groups[group], _ONE, _ONE)
            desk.accounts[account_id] = account
        for row in await connection.fetch(_LIVE, list(margins), timeout=timeout_s):
            for fault in _take(desk, margins, tuple(row)):
                if fault.rule is not Rule.TRIGGER or _is_newest(versions, row["account_id"]):
                    yield fault
        for account_id, margin in margins.items():
            computed = desk.accounts[account_id].margin
            if margin.is_finite() and abs(computed - margin) > EQUAL_WITHIN:
                what = f"margin of account {account_id}"
                yield Fault(Rule.MARGIN, what, f"{computed:f}", f"{margin:f}")


def _is_newest(versions: Sequence[int], account_id: int) -> bool:
    """Tell whether the triggers of an account are stored by the newest settings."""
    return not versions or versions[account_id % len(versions)] >= versions[0]


def _with_settings_of(settings: Desk) -> Desk:
    desk = Desk()
    desk.markets, desk.groups, desk.terms = settings.markets, settings.groups, settings.terms
    return desk


def _take(desk: Desk, margins: dict[int, Decimal], row: Sequence[Any]) -> list[Fault]:
    """Take a live order into the desk; return what is wrong with its triggers.

    An account with a position that cannot be counted loses its place in `margins`.
    """
    try:
        stored = order_from(row)
    except ValueError as error:
        margins.pop(row[1], None)
        return [Fault(Rule.UNREADABLE, f"order {row[0]}", "what the domain reads", str(error))]
    account_id = stored.account_id
    is_countable = stored.margin is None or stored.margin.is_finite()
    if not is_countable or (desk.accounts[account_id].group.name, stored.symbol) not in desk.terms:
        margins.pop(account_id, None)
        return []
    order = desk.restore(stored)
    desk.set_triggers(order)
    computed = (order.trigger, order.stop_loss_trigger, order.take_profit_trigger)
    found = (stored.trigger, stored.stop_loss_trigger, stored.take_profit_trigger)
    if computed == found:
        return []
    told = "trigger {}, stop loss {}, take profit {}"
    what = f"order {stored.order_id}, {stored.status}"
    return [Fault(Rule.TRIGGER, what, told.format(*computed), told.format(*found))]
