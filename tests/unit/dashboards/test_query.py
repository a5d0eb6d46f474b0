"""What the catalogue does not know cannot be asked."""

import pytest

from dashboards.query import (
    age,
    buckets,
    count,
    increase,
    miss_rate,
    quantile,
    rate,
    series,
    share_over,
    total,
)
from telemetry import catalogue

SCOPE = 'job=~"$job", instance=~"$instance"'


def test_a_series_is_narrowed_to_what_is_chosen() -> None:
    assert series(catalogue.FEED_HEALTHY) == f"tapewatch_feed_healthy{{{SCOPE}}}"
    assert (
        series(catalogue.DECISIONS, outcome="fenced")
        == f'tapewatch_decisions_total{{{SCOPE}, outcome="fenced"}}'
    )
    assert series(catalogue.COMMAND, code_not="OK", command_re="place|close").endswith(
        ', code!="OK", command=~"place|close"}'
    )


def test_a_rate_and_an_increase_are_summed_but_for_labels() -> None:
    assert (
        rate(series(catalogue.QUOTES)) == f"sum(rate(tapewatch_quotes_total{{{SCOPE}}}"
        "[$__rate_interval]))"
    )
    assert increase(series(catalogue.QUOTES), "job", window="5m") == (
        f"sum by (job) (increase(tapewatch_quotes_total{{{SCOPE}}}[5m]))"
    )


def test_a_share_is_counted_at_an_exact_edge() -> None:
    share = share_over(catalogue.SOCKET_PROCESSING, 0.1, "type")
    assert 'le="0.1"' in share
    assert share.count("sum by (type)") == 2


def test_a_quantile_keeps_the_edges() -> None:
    assert "sum by (le, command)" in quantile(0.99, catalogue.COMMAND_S, "command")


def test_a_miss_is_a_share_of_what_was_answered() -> None:
    assert 'result=~"hit|miss"' in miss_rate("cache")


def test_an_age_is_that_at_the_time_of_the_scrape() -> None:
    selected = series(catalogue.FEED_LAST_MESSAGE)
    assert age(catalogue.FEED_LAST_MESSAGE) == f"(timestamp({selected}) - {selected})"


def test_the_count_of_negative_edges_is_the_last_bucket() -> None:
    assert count(catalogue.SLIPPAGE).endswith("_bucket{" + SCOPE + ', le="+Inf"}')
    assert count(catalogue.COMMIT).startswith("tapewatch_commit_seconds_count")
    with pytest.raises(ValueError, match="negative edges"):
        total(catalogue.SLIPPAGE)


def test_what_is_not_in_the_catalogue_is_refused() -> None:
    with pytest.raises(ValueError, match="no label symbol"):
        series(catalogue.QUOTES, symbol="EURUSD")
    with pytest.raises(ValueError, match="never lost"):
        series(catalogue.DECISIONS, outcome="lost")
    with pytest.raises(ValueError, match="never lost"):
        series(catalogue.DECISIONS, outcome_re="failed|lost")
    with pytest.raises(ValueError, match="is a histogram"):
        series(catalogue.COMMIT)
    with pytest.raises(ValueError, match="no edge"):
        buckets(catalogue.COMMIT, 0.2)
