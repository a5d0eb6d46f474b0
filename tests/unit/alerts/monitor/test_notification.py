"""Notifications are read from Alertmanager's payload and told in lines."""

import json
from datetime import datetime
from typing import Any

import msgspec
import pytest

from alerts.monitor.notification import read, text

NOON = datetime(2026, 3, 2, 12).timestamp()
LABELS = {"alertname": "TapewatchLoopFailing", "severity": "critical", "loop": "sweep", "job": "t"}
ANNOTATIONS = {
    "summary": "A loop fails",
    "description": "sweep has failed\n  7 times in a row",
    "dashboard_url": "http://grafana/d/tapewatch-loops",
    "runbook_url": "http://runbooks/TapewatchLoopFailing.md",
}


def payload(status: str = "firing", **labels: str) -> dict[str, Any]:
    """Return a webhook's body, with more fields than are read, as Alertmanager sends it."""
    alert = {
        "status": status,
        "labels": LABELS | labels,
        "annotations": ANNOTATIONS,
        "startsAt": "2026-03-02T11:00:00.123456789Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus/graph",
        "fingerprint": "5d1c",
    }
    return {
        "version": "4",
        "groupKey": '{}:{alertname="x"}',
        "truncatedAlerts": 0,
        "status": status,
        "receiver": "page",
        "groupLabels": {},
        "commonLabels": {},
        "commonAnnotations": {},
        "externalURL": "http://alertmanager",
        "alerts": [alert],
    }


def test_a_firing_alert_is_told_with_what_to_do() -> None:
    notification = read(json.dumps(payload()).encode(), NOON)
    assert text(notification).splitlines() == [
        '12:00:00  FIRING    critical  TapewatchLoopFailing{job="t", loop="sweep"}  -> page',
        "          A loop fails",
        "          sweep has failed 7 times in a row",
        "          dashboard: http://grafana/d/tapewatch-loops",
        "          runbook: http://runbooks/TapewatchLoopFailing.md",
    ]


def test_a_resolved_alert_is_told_in_short() -> None:
    notification = read(json.dumps(payload("resolved")).encode(), NOON)
    assert text(notification).splitlines() == [
        '12:00:00  RESOLVED  critical  TapewatchLoopFailing{job="t", loop="sweep"}  -> page',
        "          A loop fails",
    ]


def test_a_heartbeat_is_one_line() -> None:
    notification = read(json.dumps(payload(severity="none")).encode(), NOON)
    assert len(text(notification).splitlines()) == 1


def test_what_it_is_about_is_told_by_name_status_and_labels() -> None:
    notification = read(json.dumps(payload()).encode(), NOON)
    assert notification.about("TapewatchLoopFailing", "firing")
    assert notification.about("TapewatchLoopFailing", "firing", loop="sweep", job="t")
    assert not notification.about("TapewatchLoopFailing", "resolved")
    assert not notification.about("TapewatchLoopFailing", "firing", loop="portfolio")
    assert not notification.about("TapewatchLoopStalled", "firing")


@pytest.mark.parametrize("body", ["", "{}", "[]", json.dumps(payload() | {"version": "5"})])
def test_what_is_no_notification_is_refused(body: str) -> None:
    with pytest.raises(msgspec.MsgspecError):
        read(body.encode(), NOON)
