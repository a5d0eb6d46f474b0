"""Revocations for a gateway without a database: kept in a list."""

from service.api.auth import MAX_TOKEN_S
from service.domain.decision import Audit
from service.loops.revocations import Revocations
from service.storage.revocations import PAGE_AT_ONCE, Revocation


class FakeRevocationStore:
    """Keeps what is revoked, and by whom."""

    def __init__(self) -> None:
        self.rows: list[Revocation] = []
        self.audit: list[Audit] = []
        self.failure: Exception | None = None

    async def after(self, revocation_id: int) -> list[Revocation]:
        if self.failure is not None:
            raise self.failure
        return [each for each in self.rows if each.revocation_id > revocation_id][:PAGE_AT_ONCE]

    async def page(self, limit: int, before: int | None) -> list[Revocation]:
        rows = [each for each in self.rows if before is None or each.revocation_id < before]
        return rows[::-1][:limit]

    async def add(self, new: Revocation, audit: Audit) -> Revocation:
        if self.failure is not None:
            raise self.failure
        stored = Revocation(
            len(self.rows) + 1,
            new.token_id,
            new.account_id,
            new.role,
            new.revoked_at,
            new.expires_at,
        )
        self.rows.append(stored)
        self.audit.append(audit)
        return stored


def nothing_revoked(store: FakeRevocationStore | None = None) -> Revocations:
    """Return revocations that are known: none so far."""
    revocations = Revocations(FakeRevocationStore() if store is None else store, MAX_TOKEN_S)
    revocations.is_known = True
    return revocations
