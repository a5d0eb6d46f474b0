"""Webhook, Alertmanager and Prometheus, each told where the others are, started and stopped as one.

The stop is in the reverse order of the start, so that nothing is told to somebody who is gone. The
links to dashboards lead to the webhook, which draws them: there is no Grafana here.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from alerts.monitor import local_routes, prometheus, webhook
from alerts.monitor.alertmanager import Alertmanager
from alerts.monitor.binaries import Programs
from alerts.monitor.drawn import Drawn
from alerts.monitor.notification import Notification
from alerts.monitor.prometheus import Prometheus
from alerts.monitor.webhook import Webhook


class Ports(NamedTuple):
    """On loopback."""

    prometheus: int
    alertmanager: int
    webhook: int


class Monitor(NamedTuple):
    prometheus: Prometheus
    alertmanager: Alertmanager
    webhook: Webhook


@asynccontextmanager
async def open_monitor(
    programs: Programs,
    folder: Path,
    targets: Sequence[str],
    ports: Ports,
    *,
    on_notification: Callable[[Notification], None] | None = None,
    interval_s: float = 5.0,
    group_wait_s: float | None = None,
    group_interval_s: float | None = None,
    rules: Path = prometheus.RULES,
    routes: Path = local_routes.SHIPPED,
    runbooks: Path = webhook.RUNBOOKS,
) -> AsyncIterator[Monitor]:
    """Watch the services at `targets` (`host:port` of their metrics); data is kept in `folder`.

    Args:
        on_notification: called with each that arrives.
        interval_s: of scrapes and rule evaluations, seconds.
        group_wait_s, group_interval_s: in place of those of every route, seconds.
        rules, routes, runbooks: in place of the shipped ones.

    Raises:
        MonitorError: one of them cannot start; the message says why.
    """
    drawn = Drawn(interval_s)
    async with AsyncExitStack() as stack:
        taker = await stack.enter_async_context(
            Webhook(
                on_notification,
                runbooks=runbooks,
                dashboards=drawn.page,
                port=ports.webhook,
            )
        )
        notifier = Alertmanager(
            programs,
            folder / "alertmanager",
            notify_url=taker.notify_url,
            group_wait_s=group_wait_s,
            group_interval_s=group_interval_s,
            shipped=routes,
            port=ports.alertmanager,
        )
        await stack.enter_async_context(notifier)
        watcher = Prometheus(
            programs,
            folder / "prometheus",
            targets={"tapewatch": targets, "alertmanager": (notifier.address,)},
            alertmanager=notifier.address,
            interval_s=interval_s,
            external_labels={"grafana_url": taker.url, "runbooks_url": taker.runbooks_url},
            rules=rules,
            port=ports.prometheus,
        )
        await stack.enter_async_context(watcher)
        drawn.prometheus_url = watcher.url
        yield Monitor(watcher, notifier, taker)
