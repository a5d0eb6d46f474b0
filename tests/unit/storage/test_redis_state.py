"""What servers of Redis say of themselves, and of several together."""

import pytest

from service.storage.redis_state import RedisState, redis_state_from


def info(used: int, limit: int, counts: int) -> bytes:
    return (
        f"# Memory\r\nused_memory:{used}\r\nmaxmemory:{limit}\r\n# Stats\r\nevicted_keys:{counts}"
        f"\r\nkeyspace_hits:{counts + 1}\r\nkeyspace_misses:{counts + 2}\r\n"
        f"connected_clients:{counts + 3}\r\n"
    ).encode()


def test_one_server_is_as_it_says() -> None:
    assert redis_state_from(info(500, 1_000, 7)) == RedisState(500, 1_000, 7, 8, 9, 10)


def test_of_several_the_fullest_counts_and_the_rest_adds_up() -> None:
    found = redis_state_from(info(900, 2_000, 0), info(800, 1_000, 10), info(5_000, 0, 100))
    assert found == RedisState(800, 1_000, 110, 113, 116, 119)


def test_without_limits_the_largest_counts() -> None:
    found = redis_state_from(info(900, 0, 0), info(800, 0, 0))
    assert (found.memory_used, found.memory_max) == (900, 0)


def test_one_that_lacks_a_field_is_refused() -> None:
    with pytest.raises(ValueError, match="no field 'maxmemory'"):
        redis_state_from(info(1, 1, 1), b"used_memory:12\r\n")
