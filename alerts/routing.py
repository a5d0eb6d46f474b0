"""The shipped Alertmanager configuration, and the same for one machine.

Where there is no Slack and no PagerDuty, every receiver is a webhook to one address; each of its
notifications names the receiver it was for. Routes, grouping and inhibition stay those shipped.
Nothing is muted on weekends: the simulated feed has none.
"""

from pathlib import Path
from typing import Any

import yaml

ALERTMANAGER_CONFIG = Path(__file__).parent / "alertmanager" / "alertmanager.yml"


def load_routing() -> dict[str, Any]:
    """Return the shipped configuration."""
    config: dict[str, Any] = yaml.safe_load(ALERTMANAGER_CONFIG.read_text(encoding="utf-8"))
    return config


def local_routing(webhook_url: str, *, pace_s: int | None = None) -> str:
    """Return the configuration, as YAML, with a webhook in place of every receiver's services.

    Its templates are named by absolute paths, and it needs no secrets.

    Args:
        webhook_url: where each receiver's notifications are posted.
        pace_s: seconds before a group's first notification and between two, instead of those
            shipped: what has resolved is told as late as that.
    """
    config = load_routing()
    config["global"] = {"resolve_timeout": config["global"]["resolve_timeout"]}
    config["templates"] = [str(ALERTMANAGER_CONFIG.parent / each) for each in config["templates"]]
    for route in config["route"]["routes"]:
        route.pop("mute_time_intervals", None)
        if pace_s is not None and route["receiver"] != "heartbeat":
            route["group_wait"] = route["group_interval"] = f"{pace_s}s"
    config["receivers"] = [
        {
            "name": receiver["name"],
            "webhook_configs": [
                {"url": webhook_url, "send_resolved": receiver["name"] != "heartbeat"}
            ],
        }
        for receiver in config["receivers"]
    ]
    text: str = yaml.safe_dump(config, sort_keys=False, allow_unicode=True)
    return text
