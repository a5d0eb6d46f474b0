"""Shards of accounts: who has which account, and which ids it gives.

Account ids decide: an account is in the shard `account_id % of`. The orders, decisions, deals and
events of a shard have ids that leave its number when divided by `of`, so that all are unique
without anybody being asked; those of a shard rise. With one shard they are 1, 2, 3.
"""

from typing import NamedTuple

MAX_SHARDS = 1024


class AccountShard(NamedTuple):
    """Shard `number` of `of`, 0 <= number < of <= `MAX_SHARDS`."""

    number: int
    of: int

    def owns(self, account_id: int) -> bool:
        """Tell whether an account is in this shard."""
        return account_id % self.of == self.number

    def first_id(self, above: int) -> int:
        """Return the first of this shard's ids above another id (>= 0)."""
        return above + 1 + (self.number - above - 1) % self.of


ALL_ACCOUNTS = AccountShard(0, 1)


def shard_of(account_id: int, shards: int) -> AccountShard:
    """Return the shard of an account."""
    return AccountShard(account_id % shards, shards)
