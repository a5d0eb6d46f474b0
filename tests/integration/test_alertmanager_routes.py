"""Every alert that ships reaches those it is for, and on weekends not more than it should."""

import json
from calendar import SATURDAY, WEDNESDAY, day_name
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.receivers import Receivers, ShippedAlertmanager, eventually, receivers
from tests.shipped_alerts import shipped_alerts

DAYS = [name.lower() for name in day_name]
CHANNELS = {"critical": "#trading-pages", "warning": "#trading-tickets"}
OF_THE_FEED = ("TapewatchSymbolSilent", "TapewatchFeedReconnecting", "TapewatchFeedQuotesRefused")


def _labels(name: str, severity: str) -> dict[str, str]:
    """Return labels in a job of the alert's own, in which nothing inhibits it."""
    return {"alertname": name, "severity": severity, "job": name, "instance": "one:9464"}


class OnADay(ShippedAlertmanager):
    """An Alertmanager for which today, in New York, is the day of the week that is given."""

    def __init__(self, folder: Path, sink: Receivers, today: int) -> None:
        super().__init__(folder, sink)
        self._days_on = datetime.now(ZoneInfo("America/New_York")).weekday() - today

    def configuration(self) -> dict[str, Any]:
        configuration = super().configuration()
        for interval in configuration["time_intervals"]:
            for times in interval["time_intervals"]:
                times["weekdays"] = [self._moved(day) for day in times["weekdays"]]
        return configuration

    def _moved(self, day: str) -> str:
        return DAYS[(DAYS.index(day) + self._days_on) % len(DAYS)]


async def test_every_alert_reaches_its_receivers(tmp_path: Path) -> None:
    alerts = [each for each in shipped_alerts() if each.severity in CHANNELS]
    critical = {each.name for each in alerts if each.severity == "critical"}
    async with receivers() as sink, OnADay(tmp_path, sink, WEDNESDAY) as server:
        for each in alerts:
            labels = _labels(each.name, each.severity)
            await server.fire(labels, annotations=each.annotations)
        await eventually(lambda: len(sink.of("slack")) == len(alerts))
        await eventually(lambda: len(sink.of("pagerduty")) == len(critical))

    assert {page["payload"]["class"] for page in sink.of("pagerduty")} == critical
    assert {
        (_title(body).split()[1].rstrip(":"), body["channel"]) for body in sink.of("slack")
    } == {(each.name, CHANNELS[each.severity]) for each in alerts}
    for each in alerts:
        (body,) = (body for body in sink.of("slack") if f"job={each.name}*" in json.dumps(body))
        links = {action["text"]: action["url"] for action in body["attachments"][0]["actions"]}
        assert links["Runbook"] == each.annotations["runbook_url"]
        assert links["Dashboard"].startswith(each.annotations["dashboard_url"])


def _title(body: dict[str, Any]) -> str:
    return str(body["attachments"][0]["title"])


@pytest.mark.parametrize(
    ("today", "is_told"), [(SATURDAY, lambda name: name not in OF_THE_FEED), (WEDNESDAY, bool)]
)
async def test_on_a_weekend_no_ticket_is_made_of_the_feed_but_its_silence_is_told(
    today: int, is_told: Callable[[str], bool], tmp_path: Path
) -> None:
    warnings = [*OF_THE_FEED, "TapewatchRedisDown"]
    expected = {"TapewatchFeedSilent", *filter(is_told, warnings)}
    async with receivers() as sink, OnADay(tmp_path, sink, today) as server:
        for name in warnings:
            await server.fire(_labels(name, "warning"))
        await server.fire(_labels("TapewatchFeedSilent", "critical"))
        await eventually(lambda: len(sink.of("slack")) == len(expected))
    assert {_title(body).split()[1] for body in sink.of("slack")} == expected
