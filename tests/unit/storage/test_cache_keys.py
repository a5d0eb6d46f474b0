"""Every key is written down with its expiry and why (R10.6), here and in the README."""

from collections import Counter
from pathlib import Path

import pytest

from service.storage import cache_keys
from service.storage.cache_keys import KEYS, ORDERS, CacheKey

README = Path(__file__).resolve().parents[3] / "README.md"


def lifetime(key: CacheKey) -> str:
    more = f" and up to {key.spread_s:,} s more" if key.spread_s else ""
    return f"{key.expiry_s:,} s{more}"


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.pattern)
def test_the_readme_has_every_key(key: CacheKey) -> None:
    row = f"| `{key.pattern}` | {key.holds} | {lifetime(key)} | {key.reason} |"
    assert row in README.read_text(encoding="utf-8")
    assert key.expiry_s > 0


def test_no_key_is_written_that_is_not_declared() -> None:
    made = {
        cache_keys.orders_key(17),
        cache_keys.filling_key(17),
        cache_keys.portfolio_key(17),
        cache_keys.prices_key("gold"),
        cache_keys.symbols_key("gold"),
        cache_keys.ticks_key(),
        cache_keys.commands_key(7),
        cache_keys.answers_key("1a2b"),
        cache_keys.generation_key(7),
    }
    assert made == {key.pattern for key in KEYS}
    functions = {name for name in vars(cache_keys) if name.endswith("_key")}
    assert len(functions) == len(KEYS)


def test_keys_of_one_account_group_shard_or_gateway_share_a_slot() -> None:
    for key in KEYS:
        assert key.pattern.startswith(
            ("{acct:17}:", "{group:gold}:", "{shard:7}:", "{ticks}", "{gateway:1a2b}:")
        )


@pytest.mark.parametrize("count", [30, 100, 1_000, 10_000])
def test_accounts_filled_at_once_are_not_missed_at_once(count: int) -> None:
    minutes = Counter(
        cache_keys.orders_expiry_s(account_id) // 60 for account_id in range(1, count + 1)
    )
    assert min(minutes) >= ORDERS.expiry_s // 60
    assert max(minutes) < (ORDERS.expiry_s + ORDERS.spread_s) // 60
    # A tenth missing would be an alert.
    assert max(minutes.values()) < 0.1 * count
