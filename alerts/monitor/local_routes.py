"""The shipped routes, with every receiver reached by a webhook, so that no secret is needed.

Run as a program it writes `deploy/alertmanager/alertmanager.yml`, which notifies the compose
file's `inbox`; with `--check` it writes nothing, and fails where the file is out of date.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ROOT / "alerts" / "alertmanager" / "alertmanager.yml"
WRITTEN = ROOT / "deploy" / "alertmanager" / "alertmanager.yml"
INBOX_URL = "http://inbox:9095/notify"
HEAD = """\
# alerts/alertmanager/alertmanager.yml with all notifications sent to the inbox of the compose file.
# Written by `make routes`; edit that file instead.
"""
TRANSPORTS = "_configs"
QUIET = frozenset({"email_configs", "slack_configs", "wechat_configs"})
"""Transports that tell of resolved alerts only where the configuration says so."""


def local_routes(shipped: Path, notify_url: str) -> dict[str, Any]:
    """Return an Alertmanager configuration with receivers reached at `<notify_url>/<receiver>`.

    A receiver that reaches nobody still does, and one that is not told of resolved alerts still
    is not. All else is as it was, but for `global`, which is about transports.
    """
    configuration: dict[str, Any] = yaml.safe_load(shipped.read_text(encoding="utf-8"))
    timeout = configuration.get("global", {}).get("resolve_timeout")
    configuration["global"] = {} if timeout is None else {"resolve_timeout": timeout}
    configuration["receivers"] = [
        _reached_at(notify_url, receiver) for receiver in configuration["receivers"]
    ]
    return configuration


def _reached_at(notify_url: str, receiver: dict[str, Any]) -> dict[str, Any]:
    name = receiver["name"]
    told = [
        transport.get("send_resolved", key not in QUIET)
        for key, transports in receiver.items()
        if key.endswith(TRANSPORTS)
        for transport in transports
    ]
    if not told:
        return {"name": name}
    webhook = {"url": f"{notify_url}/{name}", "send_resolved": any(told)}
    return {"name": name, "webhook_configs": [webhook]}


def main(arguments: list[str] | None = None) -> int:
    """Write or check the file, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m alerts.monitor.local_routes")
    parser.add_argument("--check", action="store_true", help="fail where the file is out of date")
    options = parser.parse_args(arguments)
    routes = yaml.safe_dump(local_routes(SHIPPED, INBOX_URL), sort_keys=False, width=100)
    if not options.check:
        WRITTEN.write_text(HEAD + routes, encoding="utf-8")
    elif not WRITTEN.exists() or WRITTEN.read_text(encoding="utf-8") != HEAD + routes:
        print(f"{WRITTEN.relative_to(ROOT)} is out of date: run `make routes`", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
