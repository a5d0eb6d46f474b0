"""Intentions become the right samples."""

import pytest

from service.domain.order import CloseReason, OrderType
from service.domain.quote import QuoteRefusal
from service.instruments import Instruments
from service.instruments.sums import count_once
from telemetry import catalogue, vocabulary
from telemetry.metrics import Counter
from tests.unit.telemetry.test_metrics import samples


def test_quotes_are_asked_for_at_scrape_and_refusals_counted() -> None:
    instruments = Instruments()
    instruments.watch_quotes(lambda: 2)
    instruments.quote_refused(QuoteRefusal.CROSSED)
    found = samples(instruments.metrics)
    assert found["tapewatch_quotes_total{}"] == 2
    assert found["tapewatch_quotes_refused_total{reason=crossed}"] == 1


def test_an_orders_life_is_counted_by_type_and_reason() -> None:
    instruments = Instruments()
    instruments.triggered(OrderType.BUY_STOP)
    instruments.order_opened(OrderType.BUY_STOP)
    instruments.slippage(OrderType.BUY_STOP, 3)
    instruments.order_closed(CloseReason.STOP_LOSS)
    instruments.order_cancelled("NO_RATE")
    found = samples(instruments.metrics)
    assert found["tapewatch_triggers_total{trigger=BUY_STOP}"] == 1
    assert found["tapewatch_orders_opened_total{type=BUY_STOP}"] == 1
    assert found["tapewatch_slippage_points_bucket{le=5.0,trigger=BUY_STOP}"] == 1
    assert found["tapewatch_orders_closed_total{reason=STOP_LOSS}"] == 1
    assert found["tapewatch_orders_cancelled_total{reason=NO_RATE}"] == 1
    assert found["tapewatch_missed_triggers_total{trigger=STOP_LOSS}"] == 0


def test_what_becomes_of_decisions_is_told_apart() -> None:
    instruments = Instruments()
    instruments.commit(7, 0.004)
    instruments.decision_failed(is_conflict=False)
    instruments.decision_failed(is_conflict=True)
    instruments.decisions_withdrawn(2)
    instruments.decisions_fenced(3)
    found = samples(instruments.metrics)
    assert [
        found[f"tapewatch_decisions_total{{outcome={outcome}}}"]
        for outcome in ("committed", "failed", "withdrawn", "fenced")
    ] == [7, 2, 2, 3]
    assert found["tapewatch_write_conflicts_total{}"] == 1
    assert found["tapewatch_commit_decisions_bucket{le=10.0}"] == 1


def test_a_route_has_series_before_its_first_request() -> None:
    instruments = Instruments()
    instruments.declare_http_routes([("GET", "/api/v1/account", 200)])
    instruments.http_request("/api/v1/account", "GET", 200, 0.01)
    found = samples(instruments.metrics)
    name = "http_server_request_duration_seconds_count"
    where = "http_request_method=GET,http_response_status_code={},http_route=/api/v1/account"
    assert found[f"{name}{{{where.format(200)}}}"] == 1
    assert found[f"{name}{{{where.format(500)}}}"] == 0


def test_sockets_are_counted_open_and_by_how_they_closed() -> None:
    instruments = Instruments()
    instruments.socket_opened()
    instruments.socket_opened()
    instruments.socket_closed("slow")
    found = samples(instruments.metrics)
    assert found["tapewatch_websocket_connections{}"] == 1
    assert found["tapewatch_websocket_connections_closed_total{reason=slow}"] == 1


def test_an_unknown_reason_is_refused() -> None:
    with pytest.raises(ValueError, match="not bored"):
        Instruments().socket_closed("bored")


def test_what_several_see_alike_is_counted_once() -> None:
    number = Counter(catalogue.QUOTES, ())
    first, second = [5], [0]
    count_once(number, lambda: first[0])
    count_once(number, lambda: second[0])
    assert number.now == 5
    first[0], second[0] = 8, 3
    assert number.now == 8
    second[0] = 9  # the first has gone, the second sees all
    assert number.now == 14
    number.value += 1
    assert number.now == 15


def test_what_is_watched_of_every_shard_adds_up() -> None:
    instruments = Instruments()
    for waiting, is_behind in ((2, False), (3, True), (0, False)):
        instruments.watch_writer_queue(lambda waiting=waiting: waiting)  # type: ignore[misc]
        instruments.watch_relay(lambda is_behind=is_behind: is_behind)  # type: ignore[misc]
    found = samples(instruments.metrics)
    assert found["tapewatch_writer_queue_decisions{}"] == 5
    assert found["tapewatch_relay_behind{}"] == 1


def test_every_shard_says_whether_it_is_traded_here() -> None:
    instruments = Instruments()
    instruments.has_role("engine")
    instruments.declare_shards(2)
    instruments.watch_shard(1, lambda: True)
    instruments.shard_taken(1, "expired", 3.0)
    instruments.shard_left("fair_share")
    instruments.unanswered(0)
    found = samples(instruments.metrics)
    roles = {role: found[f"tapewatch_role{{role={role}}}"] for role in vocabulary.ROLES}
    assert roles == {"all": 0, "feed": 0, "engine": 1, "gateway": 0}
    assert [found[f"tapewatch_shard_led{{shard={number}}}"] for number in range(2)] == [0, 1]
    assert found["tapewatch_shard_taken_total{reason=expired,shard=1}"] == 1
    assert found["tapewatch_shard_taken_total{reason=released,shard=0}"] == 0
    assert found["tapewatch_shard_without_leader_seconds_bucket{le=5.0}"] == 1
    assert found["tapewatch_shards_left_total{reason=fair_share}"] == 1
    assert found["tapewatch_bus_unanswered_total{shard=0}"] == 1
    assert found["tapewatch_bus_unanswered_total{shard=1}"] == 0
