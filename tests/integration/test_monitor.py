"""Real Prometheus and Alertmanager carry an alert from a rule to the webhook and back."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from alerts.monitor.alertmanager import Alertmanager
from alerts.monitor.monitor import Monitor, Ports, open_monitor
from alerts.monitor.server import LOOPBACK, MonitorError, Refused, port_is_free
from alerts.monitor.webhook import Webhook
from tests.monitoring import programs
from tests.support import eventually, free_port

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 60.0
RULES = """
groups:
  - name: test
    rules:
      - alert: Faulty
        expr: fault{job="tapewatch"} > 0
        labels: {severity: warning}
        annotations:
          summary: "A fault of {{ $value }}"
          runbook_url: "{{ $externalLabels.runbooks_url }}/Faulty.md"
          dashboard_url: "{{ $externalLabels.grafana_url }}/d/x?var-job={{ $labels.job }}"
"""
ROUTES = """
global:
  slack_api_url_file: /run/secrets/slack
  smtp_smarthost: mail.example:25
  smtp_from: alerts@example.org
route:
  receiver: nobody
  group_wait: 1h
  group_interval: 2h
  repeat_interval: 12h
  routes:
    - matchers: [severity="warning"]
      receiver: chat
      group_wait: 3h
receivers:
  - name: nobody
  - name: chat
    slack_configs: [{channel: trading, send_resolved: true}]
    email_configs: [{to: desk@example.org}]
  - name: heartbeat
    webhook_configs: [{url_file: /run/secrets/heartbeat, send_resolved: false}]
"""


class Service:
    """Something to scrape, with a fault to switch."""

    def __init__(self) -> None:
        self.fault = 0
        self.address = ""

    async def metrics(self, request: web.Request) -> web.Response:
        return web.Response(text=f"fault {self.fault}\n")


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    service = Service()
    application = web.Application()
    application.router.add_get("/metrics", service.metrics)
    runner = web.AppRunner(application, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, LOOPBACK, 0).start()
    service.address = f"{LOOPBACK}:{runner.addresses[0][1]}"
    yield service
    await runner.cleanup()


@pytest.fixture
async def monitor(service: Service, tmp_path: Path) -> AsyncIterator[Monitor]:
    """All three, fast, with a rule, routes and a runbook of the test's own."""
    (tmp_path / "rules.yml").write_text(RULES)
    (tmp_path / "Faulty.md").write_text("# Faulty\n")
    routes = tmp_path / "routes.yaml"
    routes.write_text(ROUTES)
    async with open_monitor(
        programs(),
        tmp_path / "data",
        [service.address],
        Ports(*(free_port() for _ in Ports._fields)),
        interval_s=0.2,
        group_wait_s=0.1,
        group_interval_s=0.2,
        rules=tmp_path,
        routes=routes,
        runbooks=tmp_path,
    ) as monitor:
        yield monitor


async def test_a_dashboard_is_drawn_where_alerts_link_to(
    monitor: Monitor, service: Service
) -> None:
    async with aiohttp.ClientSession(monitor.webhook.url) as client:
        chosen = {"var-job": "tapewatch", "var-instance": service.address}
        while True:  # until it was scraped, which makes a tile green
            async with client.get("/d/tapewatch-overview", params=chosen) as answer:
                page = await answer.text()
            assert answer.status == 200, page
            if "scraped " + service.address in page:
                break
            await asyncio.sleep(0.2)
        assert answer.content_type == "text/html"
        assert "Tapewatch / Overview" in page
        assert f"/d/tapewatch-loops?var-job=tapewatch&amp;var-instance={service.address}" in page
        refused = {"/d/other": 404, "/d/tapewatch-loops?from=2000&to=1000": 400}
        for path, status in refused.items():
            async with client.get(path) as answer:
                assert answer.status == status


async def test_an_alert_arrives_with_its_links_and_is_resolved(
    monitor: Monitor, service: Service
) -> None:
    service.fault = 3
    fired = await monitor.webhook.wait_for(lambda each: each.about("Faulty", "firing"), TIMEOUT_S)
    (alert,) = fired.alerts
    assert fired.receiver == "chat"
    assert alert.labels == {
        "alertname": "Faulty",
        "instance": service.address,
        "job": "tapewatch",
        "severity": "warning",
    }
    assert alert.annotations["summary"] == "A fault of 3"
    assert alert.annotations["dashboard_url"] == f"{monitor.webhook.url}/d/x?var-job=tapewatch"
    runbook = alert.annotations["runbook_url"]
    async with aiohttp.ClientSession() as client, client.get(runbook) as answer:
        assert (answer.content_type, await answer.text()) == ("text/plain", "# Faulty\n")
    assert [each["state"] for each in await monitor.prometheus.alerts()] == ["firing"]
    assert [each["status"]["state"] for each in await monitor.alertmanager.alerts()] == ["active"]

    service.fault = 0
    await monitor.webhook.wait_for(
        lambda each: each.about("Faulty", "resolved", instance=service.address), TIMEOUT_S
    )
    assert await monitor.prometheus.alerts() == []
    scraped = await monitor.prometheus.query("count by (job) (up == 1)")
    assert {each["metric"]["job"] for each in scraped} == {
        "tapewatch",
        "prometheus",
        "alertmanager",
    }
    with pytest.raises(Refused, match="parse error"):
        await monitor.prometheus.query("rate(up)")


async def test_a_taken_port_is_told(tmp_path: Path, monitor: Monitor) -> None:
    second = Alertmanager(
        programs(),
        tmp_path / "second",
        port=monitor.alertmanager.port,
        notify_url=monitor.webhook.notify_url,
    )
    with pytest.raises(MonitorError, match="in use, alertmanager cannot listen"):
        await second.start()
    assert not second.running
    with pytest.raises(MonitorError, match="the webhook cannot listen"):
        await Webhook(port=monitor.alertmanager.port).start()


async def test_the_command_prints_notifications_until_it_is_interrupted(
    service: Service, tmp_path: Path
) -> None:
    taken = programs()
    (tmp_path / "debian").symlink_to(taken.folder)
    ports = {name: free_port() for name in ("prometheus", "alertmanager", "webhook")}
    command = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "alerts.monitor", "--target", service.address),
        *("--folder", str(tmp_path), "--interval", "1"),
        *(f"--{name}-port={port}" for name, port in ports.items()),
        stdout=subprocess.PIPE,
        cwd=ROOT,
    )
    assert command.stdout is not None
    async with asyncio.timeout(TIMEOUT_S):
        while b"TapewatchWatchdog" not in (line := await command.stdout.readline()):
            assert line, "it has ended"
        command.send_signal(signal.SIGINT)
        await command.stdout.read()
        assert await command.wait() == 0
    assert all(port_is_free(port) for port in ports.values())


async def test_the_inbox_alone_serves_until_it_is_told_to_end() -> None:
    inbox = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "alerts.monitor.inbox", "--port", str(free_port())),
        stdout=subprocess.PIPE,
        cwd=ROOT,
    )
    assert inbox.stdout is not None
    async with asyncio.timeout(TIMEOUT_S), aiohttp.ClientSession() as client:
        url = (await inbox.stdout.readline()).decode().split()[-1]
        async with client.get(f"{url}/runbooks/README.md") as answer:
            assert answer.status == 200
        inbox.send_signal(signal.SIGTERM)
        assert await inbox.wait() == 0


ORPHAN = """
import asyncio, sys
from pathlib import Path
from alerts.monitor.alertmanager import Alertmanager
from tests.monitoring import programs

async def main():
    folder, port = Path(sys.argv[1]), int(sys.argv[2])
    routes = folder / "routes.yml"
    routes.write_text("route: {receiver: x}\\nreceivers: [{name: x}]\\n")
    server = Alertmanager(programs(), folder, notify_url="http://127.0.0.1:9", port=port,
                          shipped=routes)
    await server.start()
    print(server.pid, flush=True)
    await asyncio.sleep(3600)

asyncio.run(main())
"""


async def test_it_dies_with_whoever_started_it(tmp_path: Path) -> None:
    programs()  # fetched before, where it may skip
    parent = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", ORPHAN, str(tmp_path), str(free_port())),
        stdout=subprocess.PIPE,
        cwd=ROOT,
    )
    assert parent.stdout is not None
    child = int(await asyncio.wait_for(parent.stdout.readline(), TIMEOUT_S))
    parent.send_signal(signal.SIGKILL)
    await parent.wait()

    def gone() -> bool:
        try:
            os.kill(child, 0)
        except ProcessLookupError:
            return True
        # An orphan nobody reaps stays as a zombie.
        return Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0] == "Z"

    await eventually(gone, TIMEOUT_S)
