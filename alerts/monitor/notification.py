"""What Alertmanager tells a webhook (version 4 of its payload), and how people read it."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Literal, NamedTuple

import msgspec

Status = Literal["firing", "resolved"]
HEARTBEAT = "none"
"""The severity of an alert that only says that alerts arrive."""
TEXTS: dict[Status, tuple[str, ...]] = {
    "firing": ("summary", "description"),
    "resolved": ("summary",),
}
LINKS = (("dashboard", "dashboard_url"), ("runbook", "runbook_url"))
SAID_BEFORE = frozenset({"alertname", "severity"})


class Alert(msgspec.Struct, frozen=True, rename="camel"):
    """One alert of a notification. `ends_at` is long past for one that fires."""

    status: Status
    labels: dict[str, str]
    annotations: dict[str, str]
    starts_at: datetime
    ends_at: datetime
    fingerprint: str

    @property
    def name(self) -> str:
        return self.labels.get("alertname", "")


class Payload(msgspec.Struct, frozen=True, rename="camel"):
    """The body of a webhook's request; fields that are not named here are not read."""

    version: Literal["4"]
    group_key: str
    status: Status
    receiver: str
    alerts: tuple[Alert, ...]
    truncated_alerts: int = 0


class Notification(NamedTuple):
    """A notification and when it arrived, in seconds since 1970."""

    receiver: str
    status: Status
    group_key: str
    alerts: tuple[Alert, ...]
    arrived_at: float

    def about(self, alert: str, status: Status, **labels: str) -> bool:
        """Tell whether it says that of an alert with at least these labels."""
        return any(
            each.name == alert and each.status == status and labels.items() <= each.labels.items()
            for each in self.alerts
        )


def read(body: bytes, arrived_at: float) -> Notification:
    """Return the notification in a request's body. Raises msgspec.ValidationError, DecodeError."""
    payload = msgspec.json.decode(body, type=Payload)
    return Notification(
        payload.receiver, payload.status, payload.group_key, payload.alerts, arrived_at
    )


def text(notification: Notification) -> str:
    """Return it as lines for a terminal; a heartbeat, which comes every minute, is one line."""
    when = datetime.fromtimestamp(notification.arrived_at).strftime("%H:%M:%S")
    return "\n".join(
        f"{when}  {line}" if number == 0 else f"{'':8}  {line}"
        for alert in notification.alerts
        for number, line in enumerate(_lines(alert, notification.receiver))
    )


def _lines(alert: Alert, receiver: str) -> Iterator[str]:
    severity = alert.labels.get("severity", HEARTBEAT)
    word = "RESOLVED" if alert.status == "resolved" else "FIRING"
    yield f"{word:8}  {severity:8}  {alert.name}{_subject(alert.labels)}  -> {receiver}"
    if severity == HEARTBEAT:
        return
    said = alert.annotations
    yield from (" ".join(said[key].split()) for key in TEXTS[alert.status] if key in said)
    if alert.status == "firing":
        yield from (f"{word}: {said[key]}" for word, key in LINKS if key in said)


def _subject(labels: Mapping[str, str]) -> str:
    named = [
        f'{name}="{value}"' for name, value in sorted(labels.items()) if name not in SAID_BEFORE
    ]
    return f"{{{', '.join(named)}}}" if named else ""
