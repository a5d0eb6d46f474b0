"""`python -m alerts.monitor`: watch a running service and print every notification.

Exit codes: 0 after Ctrl-C or SIGTERM, 1 where a part cannot start or has died, 2 for a wrong
argument.
"""

import argparse
import asyncio
import contextlib
import signal
import sys
from pathlib import Path

from alerts.monitor.binaries import ProgramsMissing, find_programs
from alerts.monitor.inbox import print_notification
from alerts.monitor.monitor import Monitor, Ports, open_monitor
from alerts.monitor.server import MonitorError

LOOK_AFTER_INTERVAL_S = 1.0
DEFAULT_TARGET = "127.0.0.1:9464"
DEFAULT_FOLDER = Path(".tapewatch") / "monitoring"


def main(arguments: list[str] | None = None) -> int:
    """Watch until interrupted, and return the exit code."""
    options = _parser().parse_args(arguments)
    with contextlib.suppress(KeyboardInterrupt):  # before there is somebody to handle it
        try:
            asyncio.run(_watch(options))
        except (ProgramsMissing, MonitorError) as error:
            print(error, file=sys.stderr)
            return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m alerts.monitor",
        description="Run Prometheus and Alertmanager here, and print what they have to say.",
    )
    parser.add_argument(
        "--target",
        action="append",
        metavar="HOST:PORT",
        help=f"ops address of a service, may be given again (default {DEFAULT_TARGET})",
    )
    parser.add_argument(
        "--folder",
        type=Path,
        default=DEFAULT_FOLDER,
        help=f"for the programs and their data (default {DEFAULT_FOLDER})",
    )
    for name, port in (("prometheus", 9090), ("alertmanager", 9093), ("webhook", 9095)):
        parser.add_argument(
            f"--{name}-port", type=int, default=port, metavar="PORT", help=f"default {port}"
        )
    parser.add_argument(
        "--interval",
        type=float,
        default=5.0,
        metavar="SECONDS",
        help="between scrapes and rule evaluations (default 5)",
    )
    return parser


async def _watch(options: argparse.Namespace) -> None:
    programs = await asyncio.to_thread(find_programs, options.folder)
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    ports = Ports(options.prometheus_port, options.alertmanager_port, options.webhook_port)
    targets = options.target or [DEFAULT_TARGET]
    async with open_monitor(
        programs,
        options.folder / "data",
        targets,
        ports,
        on_notification=print_notification,
        interval_s=options.interval,
    ) as monitor:
        _greet(monitor, targets)
        while not stopped.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stopped.wait(), LOOK_AFTER_INTERVAL_S)
            for server in (monitor.prometheus, monitor.alertmanager):
                if not server.running:
                    raise server.failure("has died")


def _greet(monitor: Monitor, targets: list[str]) -> None:
    lines = [
        f"watching {', '.join(targets)}",
        f"  Prometheus    {monitor.prometheus.url}",
        f"  Alertmanager  {monitor.alertmanager.url}/api/v2/alerts",
        f"  dashboards    {monitor.webhook.url}/d/tapewatch-overview",
        f"  runbooks      {monitor.webhook.runbooks_url}/README.md",
        "Notifications follow; Ctrl-C ends.",
    ]
    print("\n".join(lines), flush=True)


if __name__ == "__main__":
    sys.exit(main())
