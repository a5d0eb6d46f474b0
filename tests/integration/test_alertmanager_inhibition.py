"""One cause, one notification: alerts posted to a real Alertmanager with the rules that ship."""

from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.receivers import Receivers, ShippedAlertmanager, alertmanager, eventually

CRITICAL = frozenset(
    f"Tapewatch{name}"
    for name in (
        *("InstanceDown", "DatabaseDown", "FeedSilent", "LoopFailing", "LoopStalled"),
        *("NoLeaseHolder", "WriterQueueLong", "TriggerBudgetBurnsFast", "WritesFenced"),
        *("BusDown", "FeedWithoutWriter", "CommandsUnanswered", "TickLagHigh", "TicksLost"),
        *("SettingsNotTakenOver", "ClientsTurnedAway", "RequestsFailing", "NoGateway"),
    )
)
ONE = {"job": "tapewatch", "instance": "one:9464"}
OTHER = {"job": "tapewatch", "instance": "two:9464"}
ELSEWHERE = {"job": "elsewhere", "instance": "one:9464"}
JOB = {"job": "tapewatch"}
SHARD = JOB | {"shard": "3"}
OTHER_SHARD = JOB | {"shard": "4"}


def alert(name: str, place: dict[str, str] = ONE, **labels: str) -> dict[str, str]:
    name = f"Tapewatch{name}"
    severity = "critical" if name in CRITICAL else "warning"
    return {"alertname": name, "severity": severity} | place | labels


class Case(NamedTuple):
    """A cause, what follows from it, and what does not although it looks alike."""

    name: str
    cause: dict[str, str]
    consequences: tuple[dict[str, str], ...]
    others: tuple[dict[str, str], ...] = ()


DATABASE_CONSEQUENCES = (
    alert("DatabaseSlow", db_operation_name="commit"),
    alert("DatabasePoolExhausted"),
    alert("WriterQueueLong"),
    alert("LoopFailing", loop="pending_sweep"),
    alert("LoopStalled", loop="save_quotes"),
    alert("LoopRecoveredSlowly", loop="save_quotes"),
    alert("TriggerBudgetBurnsFast"),
    alert("TriggerBudgetBurns"),
    alert("WebSocketSlow"),
    alert("CacheMissRateHigh", cache="static_orders"),
)
CASES = (
    Case(
        "instance down",
        alert("InstanceDown"),
        (
            *DATABASE_CONSEQUENCES,
            alert("DatabaseDown", dependency="postgresql"),
            alert("RedisDown", dependency="redis"),
            alert("EventLoopLag"),
            alert("FeedSilent"),
            alert("UnpricedPositions"),
        ),
        (
            alert("EventLoopLag", OTHER),
            alert("LoopFailing", ELSEWHERE),
            alert("NoLeaseHolder", SHARD),
        ),
    ),
    Case(
        "the whole job gone",
        alert("InstanceDown", JOB),
        (alert("NoLeaseHolder", SHARD), alert("LeaseFlapping", SHARD)),
        (alert("LoopFailing", ONE), alert("NoLeaseHolder", SHARD | {"job": "elsewhere"})),
    ),
    Case(
        "database down",
        alert("DatabaseDown", dependency="postgresql"),
        (
            *DATABASE_CONSEQUENCES,
            alert("SettingsNotTakenOver"),
            alert("EventsBehind"),
            alert("NoLeaseHolder", SHARD),
            alert("LeaseFlapping", OTHER_SHARD),
            alert("ShardsUnevenlySpread", JOB),
            alert("CommandsUnanswered", SHARD),
        ),
        (
            alert("FeedWithoutWriter", JOB),
            alert("LoopFailing", OTHER, loop="pending_sweep"),
            alert("DatabaseSlow", ELSEWHERE, db_operation_name="commit"),
            alert("WritesFenced"),
            alert("ClientsTurnedAway"),
            alert("RequestsFailing", http_route="/api/v1/orders"),
            alert("TicksLost"),
            alert("RedisDown", dependency="redis"),
        ),
    ),
    Case(
        "redis down",
        alert("RedisDown", dependency="redis"),
        (
            alert("CacheMissRateHigh", cache="static_orders"),
            alert("CacheDiffers"),
            alert("RedisMemoryHigh"),
            alert("EventsBehind"),
            alert("DatabasePoolExhausted"),
            alert("LoopFailing", loop="portfolio"),
            alert("LoopStalled", loop="price_writer"),
            alert("LoopRecoveredSlowly", loop="events"),
            alert("LoopFailing", loop="ticks"),
        ),
        (
            alert("LoopFailing", loop="pending_sweep"),
            alert("CacheDiffers", OTHER),
            alert("RedisMemoryHigh", ELSEWHERE),
        ),
    ),
    Case(
        "bus down",
        alert("BusDown", dependency="redis"),
        (
            alert("RedisDown", dependency="redis"),
            alert("CacheMissRateHigh", cache="static_orders"),
            alert("LoopFailing", loop="ticks"),
            alert("TickLagHigh"),
            alert("FeedSilent"),
            alert("SymbolSilent", symbol="EURUSD"),
            alert("CommandsUnanswered", SHARD),
            alert("ShardsUnevenlySpread", JOB),
        ),
        (
            alert("TickLagHigh", OTHER),
            alert("TicksLost"),
            alert("NoLeaseHolder", SHARD),
            alert("CommandsUnanswered", SHARD | {"job": "elsewhere"}),
        ),
    ),
    Case(
        "feed without writer",
        alert("FeedWithoutWriter", JOB),
        (
            alert("FeedSilent"),
            alert("FeedSilent", OTHER),
            alert("SymbolSilent", OTHER, symbol="EURUSD"),
        ),
        (alert("FeedSilent", ELSEWHERE), alert("TickLagHigh"), alert("CommandsUnanswered", SHARD)),
    ),
    Case(
        "ticks late",
        alert("TickLagHigh"),
        (
            alert("FeedSilent"),
            alert("SymbolSilent", symbol="EURUSD"),
            alert("ShardsUnevenlySpread", JOB),
        ),
        (
            alert("FeedSilent", OTHER),
            alert("TicksLost"),
            alert("EventLoopLag"),
            alert("ShardsUnevenlySpread", {"job": "elsewhere"}),
        ),
    ),
    Case(
        "shard without leader",
        alert("NoLeaseHolder", SHARD),
        (alert("CommandsUnanswered", SHARD),),
        (
            alert("CommandsUnanswered", OTHER_SHARD),
            alert("LeaseFlapping", SHARD),
            alert("FeedSilent"),
        ),
    ),
    Case(
        "feed silent",
        alert("FeedSilent"),
        (
            alert("SymbolSilent", symbol="EURUSD"),
            alert("SymbolSilent", symbol="XAUUSD"),
            alert("FeedReconnecting"),
            alert("FeedQuotesRefused"),
        ),
        (alert("UnpricedPositions"),),
    ),
    Case(
        "cache misses",
        alert("CacheMissRateHigh", cache="static_orders"),
        (alert("DatabasePoolExhausted"),),
        (alert("DatabasePoolExhausted", OTHER), alert("DatabaseSlow")),
    ),
    Case(
        "writer queue long",
        alert("WriterQueueLong"),
        (
            alert("TriggerBudgetBurnsFast"),
            alert("TriggerBudgetBurns"),
            alert("DatabaseSlow", db_operation_name="commit"),
            alert("EventLoopLag"),
        ),
        (alert("WritesFenced"), alert("EventLoopLag", OTHER)),
    ),
    Case(
        "event loop late",
        alert("EventLoopLag"),
        (alert("DatabaseSlow", db_operation_name="ping"),),
        (alert("WebSocketSlow"), alert("DatabaseSlow", OTHER, db_operation_name="ping")),
    ),
    Case(
        "loop failing",
        alert("LoopFailing", loop="faults"),
        (alert("LoopStalled", loop="faults"), alert("LoopRecoveredSlowly", loop="faults")),
        (alert("LoopStalled", loop="expiry"),),
    ),
    Case(
        "loop stalled",
        alert("LoopStalled", loop="faults"),
        (alert("LoopRecoveredSlowly", loop="faults"),),
        (alert("LoopRecoveredSlowly", loop="expiry"),),
    ),
    Case(
        "budget burns fast",
        alert("TriggerBudgetBurnsFast"),
        (alert("TriggerBudgetBurns"),),
        (alert("TriggerBudgetBurns", OTHER),),
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_a_cause_silences_what_follows_from_it_and_nothing_else(
    case: Case, tmp_path: Path
) -> None:
    async with alertmanager(tmp_path) as (server, sink):
        await server.fire(case.cause, *case.consequences)
        await _all_groups_have_been_told_of(server, sink)
        states = await _states(server)
        assert states == Counter(
            [("active", _key(case.cause)), *(("suppressed", _key(a)) for a in case.consequences)]
        )
        expected = Counter([case.cause["alertname"]])
        await eventually(lambda: _told(sink) >= expected)
        if case.cause["severity"] == "critical":
            await eventually(lambda: _paged(sink) >= expected)
        else:
            assert not _paged(sink)
    assert _told(sink) == expected
    assert _paged(sink) <= expected


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.others], ids=lambda case: case.name
)
async def test_a_cause_silences_no_other_instance_job_or_subject(
    case: Case, tmp_path: Path
) -> None:
    async with alertmanager(tmp_path) as (server, sink):
        await server.fire(case.cause, *case.others)
        await _all_groups_have_been_told_of(server, sink)
        states = await _states(server)
        assert states == Counter(("active", _key(a)) for a in (case.cause, *case.others))
        expected = Counter({each["alertname"]: 1 for each in (case.cause, *case.others)})
        await eventually(lambda: _told(sink) >= expected)


async def test_what_follows_is_told_once_its_cause_is_over_and_it_is_not(tmp_path: Path) -> None:
    cause, consequence = alert("DatabaseDown", dependency="postgresql"), alert("WriterQueueLong")
    async with alertmanager(tmp_path) as (server, sink):
        await server.fire(cause, consequence)
        await eventually(lambda: len(sink.of("pagerduty")) == 1)
        await server.resolve(cause)
        await eventually(lambda: len(sink.of("pagerduty")) == 3)
        pages = {(page["payload"]["class"], page["event_action"]) for page in sink.of("pagerduty")}
    assert pages == {
        ("TapewatchDatabaseDown", "trigger"),
        ("TapewatchDatabaseDown", "resolve"),
        ("TapewatchWriterQueueLong", "trigger"),
    }


async def _all_groups_have_been_told_of(server: ShippedAlertmanager, sink: Receivers) -> None:
    """Wait until two groups that began later have been told of, one at either receiver."""
    last = [alert("WritesFenced", {"job": "last"}), alert("TelemetryLoss", {"job": "last"})]
    await server.fire(*last)
    await eventually(lambda: _about_last(sink, 2))
    await server.resolve(*last)


def _about_last(sink: Receivers, count: int) -> bool:
    return sum("job=last" in _text(body) for body in sink.of("slack")) == count


def _paged(sink: Receivers) -> Counter[str]:
    """Count the pages by the alert they are of."""
    payloads = [page["payload"] for page in sink.of("pagerduty")]
    return Counter(payload["class"] for payload in payloads if payload["group"] != "last")


def _text(body: dict[str, Any]) -> str:
    (attachment,) = body["attachments"]
    return f"{attachment['title']}\n{attachment['text']}"


def _told(sink: Receivers) -> Counter[str]:
    """Count the notifications by the alert they are of."""
    texts = [_text(body) for body in sink.of("slack")]
    return Counter(text.split()[1] for text in texts if "job=last" not in text)


def _key(labels: dict[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(labels.items()))


async def _states(
    server: ShippedAlertmanager,
) -> Counter[tuple[str, tuple[tuple[str, str], ...]]]:
    return Counter(
        (each["status"]["state"], _key(each["labels"]))
        for each in await server.alerts()
        if each["labels"]["job"] != "last"
    )
