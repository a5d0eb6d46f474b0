"""A statement is summed up by what it does to which tables."""

import pytest

from service.storage.batch import COMMIT_STATEMENT
from service.storage.statements import MAX_SUMMARY, summarise


@pytest.mark.parametrize(
    ("query", "summary"),
    [
        ("SELECT 1", "SELECT"),
        ("\nSELECT a, b FROM orders WHERE account_id = $1", "SELECT orders"),
        ("INSERT INTO deals (a) VALUES ($1)", "INSERT deals"),
        ("UPDATE event_relay SET published_until = $2", "UPDATE event_relay"),
        ("WITH a AS (UPDATE x SET y = 1) INSERT INTO z SELECT 1", "UPDATE x; INSERT z"),
        ("WITH a AS (SELECT 1 FROM x) SELECT 1 FROM a", "WITH x"),
    ],
)
def test_a_statement_is_summed_up(query: str, summary: str) -> None:
    assert summarise(query) == summary


def test_a_commit_is_summed_up_shortly() -> None:
    assert summarise(COMMIT_STATEMENT).startswith("UPDATE shard_leases; INSERT orders; UPDATE")
    assert len(summarise(COMMIT_STATEMENT)) == MAX_SUMMARY
