"""Prometheus, Grafana, the collector and Tempo agree with each other, the compose file and us."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from service.settings import Settings
from telemetry.otlp import OtlpProtocol
from tests.monitoring import programs
from tests.unit.deploy.files import (
    COLLECTOR,
    COMPOSE,
    DATASOURCES,
    DEPLOY,
    PROMETHEUS,
    ROOT,
    SERVICES,
    TEMPO,
    mounts,
    published,
    read,
)

GENERATED = ROOT / "dashboards" / "generated"
OTLP_PORT = 4317
LISTENS = {
    "tapewatch": Settings.model_fields["ops_port"].default,
    "alertmanager": 9093,
    "grafana": 3000,
    "otel-collector": COLLECTOR["service"]["telemetry"]["metrics"]["readers"][0]["pull"][
        "exporter"
    ]["prometheus"]["port"],
    "tempo": TEMPO["server"]["http_listen_port"],
}


def _mib(text: str) -> int:
    return int(text[:-1]) * {"m": 1, "g": 1024}[text[-1]]


def test_promtool_accepts_the_configuration_with_the_rules(tmp_path: Path) -> None:
    configuration = tmp_path / "prometheus.yml"
    configuration.write_text((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    (tmp_path / "rules").symlink_to(DEPLOY / mounts("prometheus")["/etc/prometheus/rules"])
    said = subprocess.run(
        [programs().promtool, "check", "config", configuration],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert said.returncode == 0, said.stderr
    assert f"{len(list((ROOT / 'alerts' / 'rules').glob('*.yml')))} rule files found" in said.stdout


def test_amtool_accepts_the_routes_with_the_templates(tmp_path: Path) -> None:
    routes = tmp_path / "alertmanager.yml"
    routes.write_text((DEPLOY / "alertmanager" / "alertmanager.yml").read_text())
    templates = mounts("alertmanager")["/etc/alertmanager/templates"]
    (tmp_path / "templates").symlink_to(DEPLOY / templates)
    said = subprocess.run(
        [programs().amtool, "check-config", routes], capture_output=True, text=True, timeout=60
    )
    assert said.returncode == 0, said.stderr
    assert "1 templates" in said.stdout


def test_every_job_is_a_service_at_the_port_it_listens_on() -> None:
    for job in PROMETHEUS["scrape_configs"]:
        ((target,),) = [each["targets"] for each in job["static_configs"]]
        host, _, port = target.partition(":")
        if job["job_name"] == "prometheus":
            assert host == "localhost"
            assert int(port) in published("prometheus").values()
        else:
            assert host == job["job_name"]
            assert int(port) == LISTENS[host]
            shared = set(SERVICES[host]["networks"]) & set(SERVICES["prometheus"]["networks"])
            assert shared, host


def test_alerts_go_to_alertmanager_and_on_to_the_inbox() -> None:
    (reached,) = PROMETHEUS["alerting"]["alertmanagers"]
    assert reached["static_configs"] == [{"targets": ["alertmanager:9093"]}]
    for receiver in read("alertmanager/alertmanager.yml")["receivers"]:
        for webhook in receiver["webhook_configs"]:
            address = urlsplit(webhook["url"])
            assert address.hostname == "inbox"
            assert address.port in published("inbox").values()
            assert address.path == f"/notify/{receiver['name']}"
    default = mounts("alertmanager")["/etc/alertmanager/alertmanager.yml"]
    assert default == "${ALERTMANAGER_CONFIG:-./alertmanager/alertmanager.yml}"


def test_the_links_in_alerts_lead_to_what_is_published() -> None:
    labels = PROMETHEUS["global"]["external_labels"]
    assert urlsplit(labels["grafana_url"]).port in published("grafana")
    runbooks = urlsplit(labels["runbooks_url"])
    assert runbooks.port in published("inbox")
    assert runbooks.path == "/runbooks"
    assert mounts("inbox")["/runbooks"] == "../alerts/runbooks"
    (dropped,) = PROMETHEUS["alerting"]["alert_relabel_configs"]
    assert set(dropped["regex"].split("|")) == labels.keys()


def test_grafana_knows_the_interval_of_scrapes_and_where_traces_are() -> None:
    prometheus = DATASOURCES["prometheus"]
    interval = PROMETHEUS["global"]["scrape_interval"]
    assert prometheus["jsonData"]["timeInterval"] == interval
    assert PROMETHEUS["global"]["evaluation_interval"] == interval
    (destination,) = prometheus["jsonData"]["exemplarTraceIdDestinations"]
    assert destination == {"name": "trace_id", "datasourceUid": "tempo"}
    assert "--enable-feature=exemplar-storage" in SERVICES["prometheus"]["command"]
    assert PROMETHEUS["storage"]["exemplars"]["max_exemplars"] > 0


def test_grafana_reaches_its_data_sources() -> None:
    listens = LISTENS | {"prometheus": 9090}
    for source in DATASOURCES.values():
        address = urlsplit(source["url"])
        assert address.hostname in SERVICES
        assert address.port == listens[address.hostname]


def test_grafana_shows_the_generated_dashboards_to_anybody_here() -> None:
    (provider,) = read("grafana/provisioning/dashboards/dashboards.yaml")["providers"]
    folder = provider["options"]["path"]
    assert (DEPLOY / mounts("grafana")[folder]).resolve() == GENERATED
    environment = SERVICES["grafana"]["environment"]
    home = Path(environment["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert str(home.parent) == folder
    assert (GENERATED / home.name).exists()
    assert environment["GF_AUTH_ANONYMOUS_ENABLED"] == "true"
    assert environment["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"


@pytest.mark.parametrize("path", sorted(GENERATED.glob("*.json")), ids=lambda path: path.stem)
def test_a_dashboard_asks_for_kinds_of_data_that_are_provisioned(path: Path) -> None:
    def types(node: object) -> set[str]:
        if isinstance(node, dict):
            source = node.get("datasource")
            own = {source["type"]} if isinstance(source, dict) and "type" in source else set()
            return own.union(*(types(each) for each in node.values()))
        if isinstance(node, list):
            return set[str]().union(*(types(each) for each in node))
        return set()

    provisioned = {source["type"] for source in DATASOURCES.values()}
    asked = types(json.loads(path.read_text(encoding="utf-8")))
    assert asked - {"grafana", "datasource"} <= provisioned
    assert "prometheus" in asked


def test_traces_go_from_the_service_through_the_collector_to_tempo() -> None:
    environment = SERVICES["tapewatch"]["environment"]
    endpoint = urlsplit(environment["OTEL_EXPORTER_OTLP_ENDPOINT"])
    assert environment["OTEL_EXPORTER_OTLP_PROTOCOL"] == OtlpProtocol.GRPC
    assert (endpoint.hostname, endpoint.port) == ("otel-collector", OTLP_PORT)
    received = COLLECTOR["receivers"]["otlp"]["protocols"]["grpc"]["endpoint"]
    assert received == f"0.0.0.0:{OTLP_PORT}"
    assert COLLECTOR["exporters"]["otlp_grpc"]["endpoint"] == f"tempo:{OTLP_PORT}"
    tempo = TEMPO["distributor"]["receivers"]["otlp"]["protocols"]["grpc"]["endpoint"]
    assert tempo == f"0.0.0.0:{OTLP_PORT}"


def test_the_collectors_pipelines_are_made_of_what_is_configured() -> None:
    service = COLLECTOR["service"]
    used: dict[str, set[str]] = {"extensions": set(service["extensions"])}
    for pipeline in service["pipelines"].values():
        assert pipeline["processors"][0] == "memory_limiter"
        for kind, names in pipeline.items():
            used.setdefault(kind, set()).update(names)
    for kind, names in used.items():
        assert names == COLLECTOR[kind].keys(), kind
    limit = _mib(SERVICES["otel-collector"]["deploy"]["resources"]["limits"]["memory"])
    assert COLLECTOR["processors"]["memory_limiter"]["limit_mib"] < limit


def test_tempo_writes_to_its_volume() -> None:
    trace = TEMPO["storage"]["trace"]
    paths = [trace["wal"]["path"], trace["local"]["path"]]
    assert mounts("tempo")["/var/tempo"] in COMPOSE["volumes"]
    assert all(path.startswith("/var/tempo/") for path in paths)


def doubled(node: yaml.Node | None) -> Iterator[str]:
    """Yield the keys that are more than once in a mapping, of which YAML drops all but one."""
    if isinstance(node, yaml.MappingNode):
        keys = [key.value for key, _ in node.value]
        yield from {key for key in keys if keys.count(key) > 1}
    if isinstance(node, yaml.CollectionNode):
        for child in node.value:
            for each in child if isinstance(child, tuple) else (child,):
                yield from doubled(each)


def test_every_file_is_yaml_with_each_key_once() -> None:
    files = [path for path in DEPLOY.rglob("*.y*ml") if "secrets" not in path.parts]
    assert len(files) >= 7
    for path in files:
        for document in yaml.compose_all(path.read_text(encoding="utf-8")):
            assert not set(doubled(document)), path
    assert set(doubled(yaml.compose("a: [{b: 1, c: 2, b: 3}]"))) == {"b"}
