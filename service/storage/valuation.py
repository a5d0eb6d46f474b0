"""What an account with positions was worth at one moment, as the portfolio job leaves it in Redis.

It is read with its age, and never instead of the account: what is dealt is decided by the engine.
"""

import msgspec

from service.storage.cache_keys import portfolio_key
from service.storage.redis_node import Command


class Valuation(msgspec.Struct, frozen=True):
    """An account's committed positions at its group's prices, in USD.

    With a position that cannot be priced, listed in `unpriced` by order id, `equity`, `free_margin`
    and `margin_level` are None. `margin_level` is equity / margin in percent, None without margin.
    `priced_at` is the time of the oldest price among them, None where nothing was priced;
    `sequence` that of the account's last event then.
    """

    account_id: int
    equity: str | None
    margin: str
    free_margin: str | None
    margin_level: str | None
    positions: int
    unpriced: list[int]
    priced_at: str | None
    sequence: int
    computed_at: str


_encode = msgspec.json.Encoder().encode
valuation_from = msgspec.json.Decoder(Valuation).decode


def store_valuation(valuation: Valuation, expiry_s: int) -> Command:
    """Return the command that stores a valuation."""
    return ("SET", portfolio_key(valuation.account_id), _encode(valuation), "EX", expiry_s)
