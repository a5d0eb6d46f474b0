"""What people get: real payloads of a real Alertmanager with the configuration that ships."""

from datetime import datetime
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from tests.receivers import SECRETS, alertmanager, eventually

HALF_AN_HOUR_S = 1800
ANNOTATIONS = {
    "summary": "loop <expiry> of tapewatch fails",
    "description": "6 errors in a row & counting",
    "runbook_url": "http://runbooks.example.com/TapewatchLoopFailing.md",
    "dashboard_url": "http://grafana.example.com/d/tapewatch-loops?var-job=tapewatch",
}
LABELS = {
    "alertname": "TapewatchLoopFailing",
    "severity": "critical",
    "job": "tapewatch",
    "instance": "one:9464",
    "loop": "expiry",
}
TICKET = LABELS | {"alertname": "TapewatchDatabaseSlow", "severity": "warning"}


async def test_a_page_reaches_pagerduty_and_slack_with_its_links(tmp_path: Path) -> None:
    async with alertmanager(tmp_path) as (server, sink):
        await server.fire(LABELS, annotations=ANNOTATIONS)
        await eventually(lambda: len(sink.received) == 2)
        (page,), (message,) = sink.of("pagerduty"), sink.of("slack")

    assert page["routing_key"] == SECRETS["pagerduty_routing_key"]
    assert page["event_action"] == "trigger"
    assert page["client"] == "Tapewatch"
    payload = page["payload"]
    assert payload["severity"] == "critical"
    assert payload["summary"] == "[CRITICAL] TapewatchLoopFailing: loop <expiry> of tapewatch fails"
    assert (payload["class"], payload["component"]) == ("TapewatchLoopFailing", "one:9464")
    told = payload["custom_details"]
    assert told["num_firing"] == "1"
    assert "loop=expiry" in told["firing"]
    assert "6 errors in a row & counting" in told["firing"]
    links = {link["text"]: link["href"] for link in page["links"]}
    _assert_links(links, server.url)

    (attachment,) = message["attachments"]
    assert message["channel"] == "#trading-pages"
    assert attachment["color"] == "danger"
    assert attachment["title"] == payload["summary"]
    assert "loop=expiry" in attachment["text"]
    assert "6 errors in a row &amp; counting" in attachment["text"]
    assert "since " in attachment["text"]
    buttons = {action["text"]: action["url"] for action in attachment["actions"]}
    assert buttons == links


def _assert_links(links: dict[str, str], alertmanager_url: str) -> None:
    assert links["Runbook"] == ANNOTATIONS["runbook_url"]
    dashboard = urlsplit(links["Dashboard"])
    assert links["Dashboard"].startswith(ANNOTATIONS["dashboard_url"] + "&from=")
    asked = parse_qs(dashboard.query)
    since = datetime.fromtimestamp(int(asked["from"][0]) / 1000).timestamp()
    assert asked["to"] == ["now"]
    assert 0 <= datetime.now().timestamp() - HALF_AN_HOUR_S - since < 60
    silence = urlsplit(links["Silence"])
    assert links["Silence"].startswith(f"{alertmanager_url}/#/silences/new?filter=")
    matchers = unquote(silence.fragment.partition("filter=")[2]).strip("{}").split(",")
    assert sorted(matchers) == sorted(f'{name}="{value}"' for name, value in LABELS.items())


async def test_several_subjects_of_an_alert_are_one_notification_and_end_one_by_one(
    tmp_path: Path,
) -> None:
    others = [LABELS | {"loop": loop} for loop in ("faults", "rollover")]
    async with alertmanager(tmp_path) as (server, sink):
        await server.fire(LABELS, *others, annotations=ANNOTATIONS)
        await eventually(lambda: len(sink.of("slack")) == 1 and len(sink.of("pagerduty")) == 1)
        await server.resolve(others[0], annotations=ANNOTATIONS)
        await eventually(lambda: len(sink.of("slack")) == 2)
        await server.resolve(LABELS, others[1], annotations=ANNOTATIONS)
        await eventually(lambda: len(sink.of("slack")) == 3 and len(sink.of("pagerduty")) == 3)
        first, second, last = (each["attachments"][0] for each in sink.of("slack"))
        pages = sink.of("pagerduty")

    assert first["title"].startswith("[CRITICAL] TapewatchLoopFailing (3 firing):")
    assert [first["text"].count(loop) for loop in ("expiry", "faults", "rollover")] == [1, 1, 1]
    assert second["title"].startswith("[CRITICAL] TapewatchLoopFailing (2 firing, 1 resolved):")
    assert last["title"].startswith("[RESOLVED] TapewatchLoopFailing (2):")
    assert last["color"] == "good"
    assert [page["event_action"] for page in pages] == ["trigger", "trigger", "resolve"]
    assert len({page["dedup_key"] for page in pages}) == 1


async def test_a_ticket_wakes_nobody(tmp_path: Path) -> None:
    async with alertmanager(tmp_path) as (server, sink):
        plain = ANNOTATIONS | {"dashboard_url": "http://grafana.example.com/d/tapewatch-process"}
        await server.fire(TICKET, annotations=plain)
        await eventually(lambda: len(sink.received) == 1)
        (message,) = sink.of("slack")

    assert message["channel"] == "#trading-tickets"
    assert message["attachments"][0]["color"] == "warning"
    assert message["attachments"][0]["title"].startswith("[WARNING] TapewatchDatabaseSlow: ")
    assert message["attachments"][0]["title_link"].startswith(f"{plain['dashboard_url']}?from=")


async def test_the_heartbeat_has_a_receiver_of_its_own_its_token_and_no_end(
    tmp_path: Path,
) -> None:
    watchdog = {"alertname": "TapewatchWatchdog", "severity": "none"}
    async with alertmanager(tmp_path) as (server, sink):
        await server.fire(watchdog)
        await eventually(lambda: len(sink.of("heartbeat")) == 1)
        await server.resolve(watchdog)
        await server.fire(TICKET)
        await eventually(lambda: len(sink.of("slack")) == 1)

    (beat,) = (each for each in sink.received if each.service == "heartbeat")
    assert beat.authorization == f"Bearer {SECRETS['heartbeat_token']}"
    assert beat.body["status"] == "firing"
    assert [each.service for each in sink.received] == ["heartbeat", "slack"]


async def test_what_no_route_expects_is_mailed(tmp_path: Path) -> None:
    stranger = {"alertname": "NodeDiskFull", "severity": "info", "job": "node"}
    async with alertmanager(tmp_path) as (server, sink):
        linked = {"description": "5 % < 10 %", "dashboard_url": "http://grafana/d/x?var-job=node"}
        await server.fire(stranger, annotations=linked)
        await eventually(lambda: len(sink.mails) == 1)
        (mail,) = sink.mails

    assert sink.mail_passwords == [SECRETS["smtp_password"]]
    assert mail["Subject"] == "[INFO] NodeDiskFull"
    assert mail["To"] == "trading-sre@example.com"
    text = mail.get_body(("plain",))
    html = mail.get_body(("html",))
    assert text is not None
    assert html is not None
    assert "job=node" in text.get_content()
    assert "5 % < 10 %" in text.get_content()
    assert "5 % &lt; 10 %" in html.get_content()
    assert 'href="http://grafana/d/x?var-job=node&amp;from=' in html.get_content()
    assert f"{server.url}/#/silences/new?filter=" in text.get_content()
    assert not sink.received
