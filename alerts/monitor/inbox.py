"""`python -m alerts.monitor.inbox`: the webhook alone, for an Alertmanager that runs elsewhere.

Prints every notification and serves the runbooks. Exit codes: 0 after Ctrl-C or SIGTERM, 1 where
it cannot listen, 2 for a wrong argument.
"""

import argparse
import asyncio
import signal
import sys
from pathlib import Path

from alerts.monitor.notification import Notification, text
from alerts.monitor.server import LOOPBACK, MonitorError
from alerts.monitor.webhook import RUNBOOKS, Webhook

PORT = 9095


def main(arguments: list[str] | None = None) -> int:
    """Listen until interrupted, and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m alerts.monitor.inbox",
        description="Take Alertmanager's notifications and print them; serve the runbooks.",
    )
    parser.add_argument("--host", default=LOOPBACK, help=f"default {LOOPBACK}")
    parser.add_argument("--port", type=int, default=PORT, help=f"default {PORT}")
    parser.add_argument("--runbooks", type=Path, default=RUNBOOKS, metavar="FOLDER")
    try:
        asyncio.run(_listen(parser.parse_args(arguments)))
    except MonitorError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


async def _listen(options: argparse.Namespace) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    webhook = Webhook(
        print_notification, runbooks=options.runbooks, host=options.host, port=options.port
    )
    async with webhook:
        print(f"listening at {webhook.url}", flush=True)
        await stopped.wait()


def print_notification(notification: Notification) -> None:
    print(text(notification), flush=True)


if __name__ == "__main__":
    sys.exit(main())
