"""Addresses of Redis, the slots of keys, and where a command goes."""

import pytest

from service.storage.redis_node import Command, key_of
from service.storage.redis_servers import slot_of
from service.storage.redis_urls import is_cluster, node_urls, url_beside


def test_a_cluster_is_named_by_some_of_its_nodes() -> None:
    url = "rediss+cluster://user:s:cr%40t@one:7001,[::1]:7002,three"
    assert is_cluster(url)
    assert node_urls(url) == [
        "rediss://user:s:cr%40t@one:7001",
        "rediss://user:s:cr%40t@[::1]:7002",
        "rediss://user:s:cr%40t@three",
    ]


def test_a_server_is_named_by_its_own_address() -> None:
    assert not is_cluster("redis://:secret@one:7001/2")
    assert node_urls("redis://:secret@one:7001/2") == ["redis://:secret@one:7001/2"]


@pytest.mark.parametrize(
    ("asked", "host", "found"),
    [
        ("redis://one:7001", "10.0.0.2", "redis://10.0.0.2:7002"),
        ("rediss://user:secret@one:7001", "two", "rediss://user:secret@two:7002"),
        ("redis://:secret@one:7001", "", "redis://:secret@one:7002"),
        ("redis://[::1]:7001", "", "redis://[::1]:7002"),
        ("redis://one:7001", "fd00::2", "redis://[fd00::2]:7002"),
    ],
)
def test_a_node_is_reached_as_the_one_that_names_it(asked: str, host: str, found: str) -> None:
    assert url_beside(asked, host, 7002) == found


@pytest.mark.parametrize(
    ("key", "slot"),
    [
        # As CLUSTER KEYSLOT has it.
        (b"123456789", 12739),
        (b"settings", 5119),
        (b"{acct:17}:events", 6013),
        (b"{acct:17}:orders", 6013),
        (b"acct:17", 6013),
        (b"{}:x", 5106),
        (b"{x", 11068),
    ],
)
def test_the_slot_of_a_key_is_that_of_its_hash_tag(key: bytes, slot: int) -> None:
    assert slot_of(key) == slot


@pytest.mark.parametrize(
    ("command", "key"),
    [
        (("GET", "{acct:17}:portfolio"), b"{acct:17}:portfolio"),
        (("EVALSHA", "0123", 3, "{acct:17}:orders", "{acct:17}:filling"), b"{acct:17}:orders"),
        (("SPUBLISH", b"settings", "gold"), b"settings"),
        (("INFO",), None),
        (("MULTI",), None),
    ],
)
def test_a_command_goes_where_its_first_key_is(command: Command, key: bytes | None) -> None:
    assert key_of(command) == key
