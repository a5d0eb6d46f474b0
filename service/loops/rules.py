"""How a process takes part in trading a shard."""

from typing import NamedTuple

from service.domain.quote import QuoteGuard
from service.domain.shard import ALL_ACCOUNTS, AccountShard


class Rules(NamedTuple):
    """How this process takes part.

    Attributes:
        holder: names this process in the lease; must differ between processes.
        lease_life_s: how long the lease outlives a process that died; renewed at a third of it.
        is_replay: ticks are their own clock, prices are primed from the file, not restored, and a
            lost lease is the end: whoever took it feeds the ticks.
        shard: whose accounts are traded.
    """

    holder: str
    guard: QuoteGuard
    lease_life_s: float = 10.0
    is_replay: bool = False
    shard: AccountShard = ALL_ACCOUNTS
