"""Every key in Redis: what it holds, how long it lives, and why that long (R10.6).

No key is written without an expiry. Keys start with a hash tag, so that a cluster keeps an account
or a group on one slot. Account ids are unique over live and demo: no key needs the user type.
"""

from typing import NamedTuple


class CacheKey(NamedTuple):
    """A kind of key. `spread_s`: how much longer some live, so that not all expire at once."""

    pattern: str
    holds: str
    expiry_s: int
    reason: str
    spread_s: int = 0


ORDERS = CacheKey(
    "{acct:17}:orders",
    "an account with its live orders, moved on by events",
    3600,
    "whatever may have gone wrong, an hour ends it; events do not prolong it, so that an account "
    "nobody looks at leaves",
    spread_s=3600,
)
FILLING = CacheKey(
    "{acct:17}:filling",
    "that somebody reads the database to fill the entry",
    60,
    "longer than any read of the database takes; too short only wastes a fill",
)
PORTFOLIO = CacheKey(
    "{acct:17}:portfolio",
    "what the account was worth at the last run of the portfolio job",
    180,
    "three runs, by default: a job that stopped must not look as if it went on",
)
PRICES = CacheKey(
    "{group:gold}:prices",
    "the group's prices by symbol",
    30,
    "an older price is none: whoever reads it must know that the board has stopped",
)
SYMBOLS = CacheKey(
    "{group:gold}:symbols",
    "the group's symbols with its terms",
    86_400,
    "written at start and when settings change; a day ends what a failed write left behind",
)
GENERATION = CacheKey(
    "{shard:7}:generation",
    "under which the shard's accounts are to be believed, as its engine says",
    6,
    "three renewals: an engine that died or is cut off leaves nothing that is believed for longer",
)
TICKS = CacheKey(
    "{ticks}",
    "a stream of quotes, from the feed to engines and gateways, trimmed to the last minute",
    3600,
    "prolonged with every write; an hour after the last feed has stopped nobody waits for it",
)
COMMANDS = CacheKey(
    "{shard:7}:commands",
    "a stream of what gateways ask of the shard's engine, trimmed to about 10,000",
    3600,
    "prolonged with every write; what is asked is not answered after seconds",
)
ANSWERS = CacheKey(
    "{gateway:1a2b}:answers",
    "a stream of what engines answer a gateway, trimmed to about 10,000",
    60,
    "prolonged every second by the gateway: one that has died leaves nothing behind",
)
KEYS = (ORDERS, FILLING, PORTFOLIO, PRICES, SYMBOLS, GENERATION, TICKS, COMMANDS, ANSWERS)

SETTINGS_CHANNEL = "settings"
"""Told the name of a group whose terms changed, once the new ones are stored."""


_GOLDEN = 2_654_435_769  # of 2**32: multiples of it leave no gap, however few they are


def orders_expiry_s(account_id: int) -> int:
    """Return how long an account's entry lives.

    All are filled at once when trading begins, and must not be missed at once: of any number of
    accounts with ids in a row, the same share expires in every minute of the spread.
    """
    return ORDERS.expiry_s + (account_id * _GOLDEN % 2**32) * ORDERS.spread_s // 2**32


def orders_key(account_id: int) -> str:
    return f"{{acct:{account_id}}}:orders"


def filling_key(account_id: int) -> str:
    return f"{{acct:{account_id}}}:filling"


def portfolio_key(account_id: int) -> str:
    return f"{{acct:{account_id}}}:portfolio"


def events_channel(account_id: int) -> str:
    """Return the channel that an account's events are published on."""
    return f"{{acct:{account_id}}}:events"


def generation_key(shard: int) -> str:
    return f"{{shard:{shard}}}:generation"


def prices_key(group: str) -> str:
    return f"{{group:{group}}}:prices"


def symbols_key(group: str) -> str:
    return f"{{group:{group}}}:symbols"


def ticks_key() -> str:
    return "{ticks}"


def commands_key(shard: int) -> str:
    return f"{{shard:{shard}}}:commands"


def answers_key(gateway: str) -> str:
    return f"{{gateway:{gateway}}}:answers"
