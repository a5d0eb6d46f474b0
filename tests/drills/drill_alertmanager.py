"""The Alertmanager of a drill: its heartbeat goes by an address of its own.

So a drill can take away one receiver and be told so by the others.
"""

from typing import Any

from alerts.monitor.alertmanager import Alertmanager

HEARTBEAT = "heartbeat"


class DrillAlertmanager(Alertmanager):
    """One Alertmanager; `heartbeat_url` is where the heartbeat goes."""

    def __init__(self, *arguments: Any, heartbeat_url: str, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._heartbeat_url = heartbeat_url

    def configuration(self) -> dict[str, Any]:
        configuration = super().configuration()
        for receiver in configuration["receivers"]:
            if receiver["name"] == HEARTBEAT:
                for webhook in receiver["webhook_configs"]:
                    webhook["url"] = self._heartbeat_url
        return configuration
