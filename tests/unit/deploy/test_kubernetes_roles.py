"""The roles in Kubernetes: each reaches what it needs, and goes and comes as the service can."""

import re
from typing import Any

import pytest
import yaml

from service.api import serving, stream
from service.api.socket import SocketLimits
from service.loops import loop, term
from service.roles import ServiceRole
from service.settings import OTLP_VARIABLES, Settings
from telemetry import catalogue, log_output, tracing
from tests.unit.deploy.files import COLLECTOR, SERVICES
from tests.unit.deploy.kubernetes import (
    DEPLOYMENTS,
    FOLDER,
    PAGE,
    ROLES,
    TEMPLATES,
    container,
    labels_of,
    manifest,
    plain_settings,
    read_yaml,
)

PORTS = {
    "api": Settings.model_fields["port"].default,
    "ops": Settings.model_fields["ops_port"].default,
}
ON_POSTGRESQL = 100  # max_connections where nobody has set it
OF_SUPERUSERS = 3  # superuser_reserved_connections
TO_PING, TO_LOAD, TO_REVOKE = 1, 1, 1
OF_A_SHARD = 2  # of its writer and its lease
OF_A_MIGRATION = 2


def test_every_role_but_that_of_all_has_a_deployment() -> None:
    assert set(ROLES) == set(ServiceRole) - {ServiceRole.ALL}
    for role in ROLES:
        assert container(f"tapewatch-{role}")["args"][-2:] == ["--role", role]


def test_only_gateways_are_sent_clients_and_prometheus_finds_all() -> None:
    deployed = {name for name in TEMPLATES if name != "tapewatch-migrate"}
    assert deployed == {f"tapewatch-{role}" for role in ROLES}
    api = manifest("Service", "tapewatch")["spec"]
    ops = manifest("Service", "tapewatch-ops")["spec"]
    assert api["selector"] == labels_of("gateway")
    assert "publishNotReadyAddresses" not in api
    assert (ops["clusterIP"], ops["publishNotReadyAddresses"]) == ("None", True)
    for service, name in ((api, "api"), (ops, "ops")):
        (port,) = service["ports"]
        assert port == {"name": name, "port": PORTS[name], "targetPort": name}
    for role, deployment in DEPLOYMENTS.items():
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        assert ops["selector"].items() <= labels.items(), "Prometheus finds it"
        assert labels_of(role).items() <= labels.items()
        assert deployment["spec"]["selector"]["matchLabels"] == labels_of(role)
        constraints = deployment["spec"]["template"]["spec"]["topologySpreadConstraints"]
        for constraint in constraints:
            assert constraint["labelSelector"]["matchLabels"] == labels_of(role)
        hard = [each for each in constraints if each["whenUnsatisfiable"] == "DoNotSchedule"]
        assert bool(hard) == (role != "gateway")
    migration = TEMPLATES["tapewatch-migrate"]["metadata"]["labels"]
    assert migration not in [labels_of(role) for role in ROLES]
    assert not ops["selector"].items() <= migration.items()
    account = manifest("ServiceAccount", "tapewatch")
    assert account["automountServiceAccountToken"] is False
    for role in ROLES:
        pod = TEMPLATES[f"tapewatch-{role}"]["spec"]
        assert pod["serviceAccountName"] == account["metadata"]["name"]


@pytest.mark.parametrize("role", ROLES)
def test_ports_and_probes_are_the_services(role: str) -> None:
    own = container(f"tapewatch-{role}")
    ports = {port["name"]: port["containerPort"] for port in own["ports"]}
    expected = PORTS if role == "gateway" else {"ops": PORTS["ops"]}
    assert ports == expected
    for name, path in (("startup", "/livez"), ("liveness", "/livez"), ("readiness", "/readyz")):
        assert own[f"{name}Probe"]["httpGet"] == {"path": path, "port": "ops"}
    assert own["envFrom"] == [{"configMapRef": {"name": "tapewatch-settings"}}]


def test_each_role_has_the_secrets_that_it_needs() -> None:
    stores = {"TAPEWATCH_DATABASE_URL_FILE", "TAPEWATCH_REDIS_URL_FILE"}
    own = {
        role: {each["name"] for each in container(f"tapewatch-{role}")["env"]} - stores
        for role in ROLES
    }
    assert own == {
        "engine": set(),
        "gateway": {"TAPEWATCH_JWT_SECRET_FILE"},
        "feed": {"TAPEWATCH_FEED", "TAPEWATCH_FEED_URL_FILE"},
    }
    for role in ROLES:
        assert ("TAPEWATCH_JWT_SECRET_FILE" in own[role]) == ServiceRole(role).answers
        assert stores <= {each["name"] for each in container(f"tapewatch-{role}")["env"]}


def test_the_plain_settings_are_settings_and_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    fields = {f"TAPEWATCH_{name.upper()}": name for name in Settings.model_fields}
    secret = {"database_url", "redis_url", "jwt_secret", "jwt_previous_secret", "feed_url"}
    settings = plain_settings()
    for name, value in settings.items():
        assert name in OTLP_VARIABLES.values() or fields[name] not in secret, name
        monkeypatch.setenv(name, value)
    assert Settings().check() == []
    monkeypatch.setenv("TAPEWATCH_FEED", "websocket")
    monkeypatch.setenv("TAPEWATCH_FEED_URL", "wss://feed.example")
    assert Settings().check() == []
    generated = read_yaml(FOLDER / "kustomization.yaml")["configMapGenerator"]
    assert generated == [{"name": "tapewatch-settings", "envs": ["settings.env"]}]
    assert float(settings["TAPEWATCH_LEASE_S"]) <= 6, "or a take-over lasts longer than 10 s"
    shards, engines = int(settings["TAPEWATCH_SHARDS"]), DEPLOYMENTS["engine"]["spec"]["replicas"]
    assert shards % engines == 0, "all have as many"
    assert shards >= 2 * engines, "those of one that went are shared by the others"


def test_rollouts_and_drains_take_one_at_a_time() -> None:
    for role, deployment in DEPLOYMENTS.items():
        spec = deployment["spec"]
        surge = {"maxSurge": 1, "maxUnavailable": 0}
        instead = {"maxSurge": 0, "maxUnavailable": 1}
        assert spec["strategy"]["rollingUpdate"] == (surge if role == "gateway" else instead)
        assert spec["minReadySeconds"] > 0
        budget = manifest("PodDisruptionBudget", f"tapewatch-{role}")["spec"]
        assert budget["maxUnavailable"] == 1
        assert budget["unhealthyPodEvictionPolicy"] == "AlwaysAllow"
        assert budget["selector"]["matchLabels"] == labels_of(role)
    assert DEPLOYMENTS["feed"]["spec"]["replicas"] == 2, "one writes, one stands by"


def test_stopping_is_given_longer_than_it_may_take() -> None:
    bounds = (
        stream.SHUTDOWN_TIMEOUT_S,
        2 * serving.SHUTDOWN_TIMEOUT_S,  # the API and the ops port
        term.DRAIN_TIMEOUT_S,
        2 * loop.CANCEL_GRACE_S,  # of the feed's loops and of those that trade
        tracing.CLOSE_TIMEOUT_S,
        log_output.FLUSH_S,
    )
    for role in ROLES:
        own = container(f"tapewatch-{role}")
        waits_s = own.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        assert (waits_s > 0) == (role == "gateway"), "others are sent nothing"
        pod = TEMPLATES[f"tapewatch-{role}"]["spec"]
        assert pod["terminationGracePeriodSeconds"] > sum(bounds) + waits_s
    in_compose = SERVICES["tapewatch"]["stop_grace_period"]
    assert int(in_compose.removesuffix("s")) > sum(bounds)


def test_gateways_are_as_many_as_their_sockets_need() -> None:
    spec = manifest("HorizontalPodAutoscaler", "tapewatch-gateway")["spec"]
    scaled = DEPLOYMENTS["gateway"]
    assert spec["scaleTargetRef"] == {
        "apiVersion": scaled["apiVersion"],
        "kind": scaled["kind"],
        "name": scaled["metadata"]["name"],
    }
    assert "replicas" not in scaled["spec"], "each `kubectl apply` would set them back"
    assert spec["minReplicas"] >= 2
    ((metric,),) = (spec["metrics"],)
    assert metric["pods"]["metric"]["name"] == catalogue.SOCKETS.name
    wanted = int(metric["pods"]["target"]["averageValue"])
    assert wanted <= SocketLimits().max_total / 2, "the sockets of one that goes find room"


def test_the_page_tells_the_adapter_of_that_metric() -> None:
    text = re.search(r"```yaml\n(rules:.*?)```", PAGE, re.DOTALL)
    assert text is not None
    (rule,) = yaml.safe_load(text[1])["rules"]["custom"]
    assert rule["seriesQuery"].startswith(f"{catalogue.SOCKETS.name}{{")
    assert rule["name"] == {"matches": f"^{catalogue.SOCKETS.name}$", "as": catalogue.SOCKETS.name}
    assert rule["resources"]["overrides"].keys() == {"namespace", "pod"}


def test_all_connections_find_room_on_a_postgresql_that_nobody_has_tuned() -> None:
    settings = plain_settings()
    pool = int(settings["TAPEWATCH_DATABASE_CONNECTIONS"])
    engines = int(DEPLOYMENTS["engine"]["spec"]["replicas"])
    feeds = int(DEPLOYMENTS["feed"]["spec"]["replicas"])
    scaled = manifest("HorizontalPodAutoscaler", "tapewatch-gateway")["spec"]
    surge = DEPLOYMENTS["gateway"]["spec"]["strategy"]["rollingUpdate"]["maxSurge"]
    gateways = scaled["maxReplicas"] + surge
    sums = {
        "engines": engines * (pool + TO_PING + TO_LOAD)
        + int(settings["TAPEWATCH_SHARDS"]) * OF_A_SHARD,
        "gateways": gateways * (pool + TO_PING + TO_REVOKE),
        "feeds": feeds * (pool + TO_PING),
        "migration": OF_A_MIGRATION,
    }
    for what, count in sums.items():
        assert re.search(rf"^\| {what} \|.*\| {count} \|$", PAGE, re.MULTILINE), (what, count)
    total = sum(sums.values())
    assert f"| all | | {total} |" in PAGE
    assert total <= ON_POSTGRESQL - OF_SUPERUSERS
    assert f"{ON_POSTGRESQL - OF_SUPERUSERS} of `max_connections`" in PAGE


def test_nothing_is_reached_that_is_not_let_through() -> None:
    deny = manifest("NetworkPolicy", "default-deny")["spec"]
    assert deny == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}

    def ports(rules: list[dict[str, Any]]) -> set[object]:
        assert all(rule.get("from") or rule.get("to") for rule in rules), "from and to anybody"
        return {port["port"] for rule in rules for port in rule["ports"]}

    otlp = int(plain_settings()["OTEL_EXPORTER_OTLP_ENDPOINT"].rpartition(":")[2])
    received = COLLECTOR["receivers"]["otlp"]["protocols"]["grpc"]["endpoint"]
    assert int(received.rpartition(":")[2]) == otlp
    for role in ROLES:
        policy = manifest("NetworkPolicy", f"tapewatch-{role}")["spec"]
        assert policy["podSelector"]["matchLabels"] == labels_of(role)
        named = {port["name"] for port in container(f"tapewatch-{role}")["ports"]}
        assert ports(policy["ingress"]) == named
        upstream = {443} if role == "feed" else set()
        assert ports(policy["egress"]) == {53, 5432, 6379, otlp} | upstream
    migration = manifest("NetworkPolicy", "tapewatch-migrate")["spec"]
    of_job = TEMPLATES["tapewatch-migrate"]["metadata"]["labels"]
    assert migration["podSelector"]["matchLabels"] == of_job
    assert "ingress" not in migration
    assert ports(migration["egress"]) == {53, 5432}
    text = (FOLDER / "network-policies.yaml").read_text(encoding="utf-8")
    for label in set(re.findall(r"tapewatch/\w+: \"true\"", text)):
        assert label.replace(': "true"', "=true") in PAGE
