"""Which tokens are revoked, as this process knows: at once what it was told itself, all else soon.

`run_once` asks PostgreSQL for what is new, every `REVOCATIONS_INTERVAL_S`; while the database is
away, what was known stays known. Until the first answer nothing is known, and nobody is let in.
What has expired is forgotten, so that there are never more than the stored ones.
"""

import time
from collections.abc import Callable, Sequence
from typing import Protocol

from service.domain.decision import Audit
from service.domain.rejection import RejectCode, Rejected
from service.loops.requests import Author
from service.storage.audit import AuditAction
from service.storage.revocations import (
    PAGE_AT_ONCE,
    Revocation,
    TooManyRevocations,
)

REVOCATIONS_INTERVAL_S = 2.0
_NS_PER_S = 1_000_000_000


class Store(Protocol):
    """Where they are kept; all raise `Unreachable`."""

    async def after(self, revocation_id: int) -> list[Revocation]: ...

    async def page(self, limit: int, before: int | None) -> list[Revocation]: ...

    async def add(self, new: Revocation, audit: Audit) -> Revocation: ...


class Revocations:
    """What is revoked; `listeners` are told whenever there is more of it."""

    def __init__(self, store: Store, max_token_s: float) -> None:
        self._store = store
        self._life_ns = int(max_token_s * _NS_PER_S)
        self._last = 0
        self._tokens: dict[str, int] = {}
        self._accounts: dict[tuple[int, str], tuple[int, int]] = {}
        self.is_known = False
        self.listeners: list[Callable[[], None]] = []

    def __len__(self) -> int:
        return len(self._tokens) + len(self._accounts)

    def is_revoked(
        self, token_id: str | None, accounts: Sequence[int], role: str, issued_at: int
    ) -> bool:
        """Tell whether a token issued at a time (ns UTC) is revoked, itself or for an account."""
        if token_id in self._tokens:
            return True
        if not self._accounts:
            return False
        never = (-1, 0)
        return any(issued_at <= self._accounts.get((each, role), never)[0] for each in accounts)

    async def revoke_token(self, token_id: str, author: Author) -> Revocation:
        """Revoke a token; errors as of `revoke_account`."""
        now = time.time_ns()
        new = Revocation(0, token_id, None, None, now, now + self._life_ns)
        return await self._add(new, f"token {token_id}", author)

    async def revoke_account(self, account_id: int, role: str, author: Author) -> Revocation:
        """Revoke all tokens that cover an account in a role and were issued until now.

        Raises:
            Rejected: INVALID_SETTINGS, too many are revoked.
            Unreachable: nothing is revoked.
        """
        now = time.time_ns()
        new = Revocation(0, None, account_id, role, now, now + self._life_ns)
        return await self._add(new, f"{role} tokens of account {account_id}", author)

    async def page(self, limit: int, before: int | None) -> list[Revocation]:
        """Return what is stored, newest first."""
        return await self._store.page(limit, before)

    async def run_once(self) -> None:
        """Learn what is new, and forget what has expired."""
        now = time.time_ns()
        self._tokens = {key: end for key, end in self._tokens.items() if end > now}
        self._accounts = {key: each for key, each in self._accounts.items() if each[1] > now}
        while True:
            found = await self._store.after(self._last)
            self._take(found)
            if found:
                self._last = found[-1].revocation_id
            if len(found) < PAGE_AT_ONCE:
                break
        self.is_known = True

    async def _add(self, new: Revocation, target: str, author: Author) -> Revocation:
        audit = Audit(author.actor, AuditAction.REVOKE, target, author.reason)
        try:
            stored = await self._store.add(new, audit)
        except TooManyRevocations:
            raise Rejected(
                RejectCode.INVALID_SETTINGS,
                "too many tokens are revoked: revoke accounts, or replace the signing secret",
            ) from None
        # Others may have been stored before it that are not known yet: `_last` stays.
        self._take([stored])
        return stored

    def _take(self, found: Sequence[Revocation]) -> None:
        for each in found:
            if each.token_id is not None:
                self._tokens[each.token_id] = each.expires_at
            elif each.account_id is not None and each.role is not None:
                self._accounts[each.account_id, each.role] = (each.revoked_at, each.expires_at)
        if found:
            for listener in self.listeners:
                listener()
