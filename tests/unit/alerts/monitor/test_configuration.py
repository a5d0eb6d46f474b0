"""What runs here is what is shipped, but for addresses, secrets and patience."""

from pathlib import Path

import yaml

from alerts.monitor import local_routes, prometheus
from alerts.monitor.alertmanager import Alertmanager
from alerts.monitor.binaries import Programs
from alerts.monitor.prometheus import Prometheus

PROGRAMS = Programs(*(Path(name) for name in ("prometheus", "promtool", "am", "amtool", "/")))


def test_prometheus_keeps_all_but_addresses_and_intervals(tmp_path: Path) -> None:
    shipped = yaml.safe_load(prometheus.SHIPPED.read_text(encoding="utf-8"))
    ours = Prometheus(
        PROGRAMS,
        tmp_path,
        port=4,
        targets={"tapewatch": ("127.0.0.1:1", "127.0.0.1:2")},
        alertmanager="127.0.0.1:3",
        interval_s=0.25,
        external_labels={"runbooks_url": "http://here"},
        rules=tmp_path,
    ).configuration()
    for name in ("scrape_interval", "scrape_timeout", "evaluation_interval"):
        assert ours["global"].pop(name) == "250ms"
        del shipped["global"][name]
    assert ours["global"].pop("external_labels") == (
        shipped["global"].pop("external_labels") | {"runbooks_url": "http://here"}
    )
    targets = {
        job.pop("job_name"): job.pop("static_configs")[0]["targets"]
        for job in ours["scrape_configs"]
    }
    assert targets == {"tapewatch": ["127.0.0.1:1", "127.0.0.1:2"], "prometheus": ["127.0.0.1:4"]}
    assert ours.pop("scrape_configs") == [{}, {}]
    assert ours.pop("rule_files") == [f"{tmp_path}/*.yml"]
    del shipped["scrape_configs"], shipped["rule_files"]
    (reached,) = ours["alerting"].pop("alertmanagers")
    assert reached == {"static_configs": [{"targets": ["127.0.0.1:3"]}]}
    del shipped["alerting"]["alertmanagers"]
    assert ours == shipped


def test_alertmanager_keeps_all_but_how_receivers_are_reached(tmp_path: Path) -> None:
    shipped = yaml.safe_load(local_routes.SHIPPED.read_text(encoding="utf-8"))
    ours = Alertmanager(
        PROGRAMS, tmp_path, port=4, notify_url="http://here/notify", muting=True
    ).configuration()
    assert [each["name"] for each in ours["receivers"]] == [
        each["name"] for each in shipped["receivers"]
    ]
    for each in ours["receivers"]:
        (webhook,) = each["webhook_configs"]
        assert webhook["url"] == f"http://here/notify/{each['name']}"
        assert webhook["send_resolved"] is (each["name"] != "heartbeat")
    assert all(Path(pattern).is_absolute() for pattern in ours["templates"])
    for kept in (ours, shipped):
        for name in ("global", "templates", "receivers"):
            del kept[name]
    assert ours == shipped


def test_every_route_can_be_made_to_wait_less(tmp_path: Path) -> None:
    ours = Alertmanager(
        PROGRAMS,
        tmp_path,
        port=4,
        notify_url="http://here/notify",
        group_wait_s=1,
        group_interval_s=2.5,
    ).configuration()
    routes = [ours["route"], *ours["route"]["routes"]]
    assert {each["group_wait"] for each in routes if "group_wait" in each} == {"1000ms"}
    assert {each["group_interval"] for each in routes if "group_interval" in each} == {"2500ms"}


def test_who_reaches_nobody_still_does(tmp_path: Path) -> None:
    routes = tmp_path / "routes.yml"
    routes.write_text(
        "route: {receiver: a}\n"
        "receivers:\n"
        "  - name: a\n"
        "  - {name: b, slack_configs: [{channel: c}]}\n"
        "  - {name: c, slack_configs: [{channel: c}], pagerduty_configs: [{routing_key: k}]}\n"
    )
    manager = Alertmanager(PROGRAMS, tmp_path, port=4, notify_url="http://here", shipped=routes)
    nobody, quiet, told = manager.configuration()["receivers"]
    assert nobody == {"name": "a"}
    assert quiet["webhook_configs"] == [{"url": "http://here/b", "send_resolved": False}]
    assert told["webhook_configs"] == [{"url": "http://here/c", "send_resolved": True}]


def test_the_routes_of_the_compose_file_are_up_to_date() -> None:
    assert local_routes.main(["--check"]) == 0
