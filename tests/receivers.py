"""Slack, PagerDuty, a mail server and a heartbeat monitor on loopback, and an Alertmanager to them.

The configuration is the one that ships, with these addresses in place of the real ones, and secrets
in files as it reads them.
"""

import asyncio
import base64
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from aiohttp import web

from alerts.monitor.alertmanager import Alertmanager
from alerts.monitor.local_routes import SHIPPED
from alerts.monitor.server import LOOPBACK
from tests.monitoring import programs
from tests.support import eventually, free_port

SHIPPED_SECRETS = "/etc/alertmanager/secrets"
SECRETS = {
    "pagerduty_routing_key": "key-of-pagerduty",
    "slack_api_url": "",
    "smtp_password": "password-of-mail",
    "heartbeat_token": "token-of-heartbeat",
}
GROUP_WAIT_S = 0.3


class Received(NamedTuple):
    """What arrived at a service: where, the body as JSON, and the header `Authorization`."""

    service: str
    body: dict[str, Any]
    authorization: str


class Receivers:
    """What has arrived, in order."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.mails: list[EmailMessage] = []
        self.mail_passwords: list[str] = []
        self.url = ""
        self.smtp_address = ""

    def of(self, service: str) -> list[dict[str, Any]]:
        """Return the bodies that arrived at a service."""
        return [each.body for each in self.received if each.service == service]

    async def take(self, request: web.Request) -> web.Response:
        body = await request.json()
        authorization = request.headers.get("Authorization", "")
        self.received.append(Received(request.match_info["service"], body, authorization))
        if request.match_info["service"] == "pagerduty":
            return web.json_response({"status": "success", "dedup_key": "1"}, status=202)
        return web.Response(text="ok")

    async def take_mail(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Speak as much SMTP as Alertmanager does."""

        async def say(line: str) -> None:
            writer.write(f"{line}\r\n".encode())
            await writer.drain()

        await say("220 here")
        while line := await reader.readline():
            match line.split(maxsplit=1)[0].upper():
                case b"EHLO":
                    await say("250-here\r\n250 AUTH PLAIN")
                case b"AUTH":
                    secret = base64.b64decode(line.split()[2])
                    self.mail_passwords.append(secret.split(b"\0")[2].decode())
                    await say("235 come in")
                case b"DATA":
                    await say("354 go on")
                    content = (await reader.readuntil(b"\r\n.\r\n"))[:-5]
                    mail = message_from_bytes(content, policy=default)
                    assert isinstance(mail, EmailMessage)
                    self.mails.append(mail)
                    await say("250 taken")
                case b"QUIT":
                    break
                case _:
                    await say("250 fine")
        writer.close()


@asynccontextmanager
async def receivers() -> AsyncIterator[Receivers]:
    """Listen for all kinds of notifications."""
    sink = Receivers()
    application = web.Application()
    application.router.add_post("/{service}", sink.take)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, LOOPBACK, 0).start()
    sink.url = f"http://{LOOPBACK}:{runner.addresses[0][1]}"
    mail = await asyncio.start_server(sink.take_mail, LOOPBACK, 0)
    sink.smtp_address = f"{LOOPBACK}:{mail.sockets[0].getsockname()[1]}"
    try:
        yield sink
    finally:
        mail.close()
        await mail.wait_closed()
        await runner.cleanup()


class ShippedAlertmanager(Alertmanager):
    """An Alertmanager that sends what it would send in production, to `sink`.

    Args:
        folder: for its data, and the secrets.
        sink: where everything goes.
        waits: whether groups wait as long as they do in production.
    """

    def __init__(self, folder: Path, sink: Receivers, *, waits: bool = False) -> None:
        wait_s = None if waits else GROUP_WAIT_S
        super().__init__(
            programs(),
            folder,
            port=free_port(),
            notify_url=sink.url,
            group_wait_s=wait_s,
            group_interval_s=wait_s,
            muting=True,
        )
        self._sink = sink

    def configuration(self) -> dict[str, Any]:
        configuration = super().configuration()
        shipped = yaml.safe_load(self._at_the_sink(SHIPPED.read_text(encoding="utf-8")))
        shipped["global"]["smtp_require_tls"] = False
        for receiver in shipped["receivers"]:
            for pagerduty in receiver.get("pagerduty_configs", []):
                pagerduty["url"] = f"{self._sink.url}/pagerduty"
        return configuration | {each: shipped[each] for each in ("global", "receivers")}

    def _at_the_sink(self, text: str) -> str:
        secrets = self.folder / "secrets"
        secrets.mkdir(parents=True, exist_ok=True)
        for name, secret in SECRETS.items():
            # As `echo` writes them; this one is sent as it stands.
            end = "" if name == "smtp_password" else "\n"
            content = secret or f"{self._sink.url}/slack"
            (secrets / name).write_text(content + end, encoding="utf-8")
        return (
            text.replace(SHIPPED_SECRETS, str(secrets))
            .replace("https://heartbeat.example.com/tapewatch", f"{self._sink.url}/heartbeat")
            .replace("mail.example.com:587", self._sink.smtp_address)
        )

    async def fire(self, *alerts: Mapping[str, str], annotations: Mapping[str, str] = {}) -> None:
        """Post alerts, by their labels, as Prometheus does; they fire for an hour."""
        await self._send(alerts, annotations, time.time() + 3600)

    async def resolve(
        self, *alerts: Mapping[str, str], annotations: Mapping[str, str] = {}
    ) -> None:
        await self._send(alerts, annotations, time.time())

    async def _send(
        self, alerts: tuple[Mapping[str, str], ...], annotations: Mapping[str, str], end: float
    ) -> None:
        # A group whose first alert has fired for longer than it waits is told of at once.
        started = min(time.time(), end - 0.001)
        body = [
            {
                "labels": dict(labels),
                "annotations": dict(annotations),
                "startsAt": _time(started),
                "endsAt": _time(end),
                "generatorURL": "http://prometheus.example.com/graph",
            }
            for labels in alerts
        ]
        await self.post("/api/v2/alerts", body)


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


@asynccontextmanager
async def alertmanager(
    folder: Path, *, waits: bool = False
) -> AsyncIterator[tuple[ShippedAlertmanager, Receivers]]:
    """Run both."""
    async with receivers() as sink, ShippedAlertmanager(folder, sink, waits=waits) as started:
        yield started, sink


__all__ = ["Receivers", "ShippedAlertmanager", "alertmanager", "eventually"]
