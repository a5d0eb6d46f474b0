"""The manifests are valid, confined and bounded, and agree with each other and with the service.

The schemas of kubernetes-validate know nothing of the Prometheus operator's resources, whose
required fields are looked at here. The oldest version is the one that the page names.
"""

import copy
import json
import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from service.api import serving, stream
from service.loops import leadership, loop
from service.settings import OTLP_VARIABLES, Settings
from telemetry import log_output, tracing
from tests.unit.deploy.files import COLLECTOR, DEPLOY, PROMETHEUS, ROOT, SERVICES

FOLDER = DEPLOY / "kubernetes"
PAGE = (FOLDER / "README.md").read_text(encoding="utf-8")
DASHBOARDS = ROOT / "dashboards" / "generated"
OF_THE_OPERATOR = "monitoring.coreos.com/v1"
VERSIONS = ("1.31", kubernetes_validate.latest_version())
SECRETS = "/run/secrets/tapewatch"


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


MANIFESTS: dict[str, dict[str, Any]] = {
    str(path.relative_to(FOLDER)): read(path)
    for path in sorted(FOLDER.rglob("*.yaml"))
    if path.name != "kustomization.yaml"
}
BUILT_IN = [name for name, each in MANIFESTS.items() if each["apiVersion"] != OF_THE_OPERATOR]
DEPLOYMENT = MANIFESTS["deployment.yaml"]
TEMPLATES = {
    name: MANIFESTS[name]["spec"]["template"] for name in ("deployment.yaml", "migrate/job.yaml")
}
LABELS = DEPLOYMENT["spec"]["template"]["metadata"]["labels"]
(CONTAINER,) = DEPLOYMENT["spec"]["template"]["spec"]["containers"]
PORTS = {port["name"]: port["containerPort"] for port in CONTAINER["ports"]}


def is_valid(manifest: dict[str, Any], version: str) -> bool:
    try:
        kubernetes_validate.validate(manifest, version, strict=True)
    except kubernetes_validate.ValidationError:
        return False
    return True


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_manifest_is_valid(name: str) -> None:
    for version in VERSIONS:
        kubernetes_validate.validate(MANIFESTS[name], version, strict=True)
    assert f"Kubernetes {VERSIONS[0]} or later" in PAGE


@pytest.mark.parametrize(
    ("key", "value"),
    [("replcas", 2), ("replicas", "two"), ("template", {"spec": {}}), ("selector", "all")],
)
def test_what_is_not_valid_is_found(key: str, value: object) -> None:
    broken = copy.deepcopy(DEPLOYMENT)
    broken["spec"][key] = value
    assert not is_valid(broken, VERSIONS[-1])


def test_every_file_is_in_a_kustomization_once() -> None:
    for folder in (FOLDER, FOLDER / "migrate", FOLDER / "monitoring"):
        kustomization = read(folder / "kustomization.yaml")
        assert kustomization["namespace"] == MANIFESTS["namespace.yaml"]["metadata"]["name"]
        listed = kustomization["resources"]
        files = {path.name for path in folder.glob("*.yaml")} - {"kustomization.yaml"}
        assert sorted(each for each in listed if each.endswith(".yaml")) == sorted(files)
        for each in listed:
            assert (folder / each).exists(), each
    assert (
        "../../../dashboards/generated"
        in read(FOLDER / "monitoring/kustomization.yaml")["resources"]
    )


def test_the_image_is_the_one_that_is_built() -> None:
    image = SERVICES["tapewatch"]["image"]
    for folder in (FOLDER, FOLDER / "migrate"):
        (changed,) = read(folder / "kustomization.yaml")["images"]
        assert f"{changed['newName']}:{changed['newTag']}" == image
        assert changed["name"] == image.partition(":")[0]
    assert f"\nCMD {json.dumps(CONTAINER['args'])}\n" in (DEPLOY / "Dockerfile").read_text()
    for template in TEMPLATES.values():
        assert [each["image"] for each in template["spec"]["containers"]] == [image]


@pytest.mark.parametrize("name", TEMPLATES)
def test_every_container_is_confined_and_bounded(name: str) -> None:
    pod = TEMPLATES[name]["spec"]
    user = re.search(r"^USER (\d+):(\d+)$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    assert user is not None
    confined = pod["securityContext"]
    assert confined["runAsNonRoot"] is True
    assert (confined["runAsUser"], confined["runAsGroup"]) == (int(user[1]), int(user[2]))
    assert confined["fsGroup"] == int(user[2]), "secrets are readable by this group"
    assert confined["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers"} & pod.keys()
    for container in pod["containers"]:
        own = container["securityContext"]
        assert own["readOnlyRootFilesystem"] is True
        assert own["allowPrivilegeEscalation"] is False
        assert own["capabilities"] == {"drop": ["ALL"]}
        assert not {"privileged", "runAsUser", "runAsNonRoot", "seccompProfile"} & own.keys()
        resources = container["resources"]
        assert resources["limits"].keys() == {"cpu", "memory", "ephemeral-storage"}
        assert resources["requests"].keys() == resources["limits"].keys()
        mounted = {mount["name"]: mount for mount in container["volumeMounts"]}
        assert mounted.keys() == {volume["name"] for volume in pod["volumes"]}
        assert mounted["secrets"]["readOnly"] is True
        assert [name for name in mounted if not mounted[name].get("readOnly")] == ["tmp"]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert volumes["tmp"]["emptyDir"].keys() == {"sizeLimit"}
    assert volumes["secrets"]["secret"]["defaultMode"] == 0o440


def test_secrets_are_files_that_the_entry_point_reads_and_the_page_tells_how_to_make() -> None:
    files = re.search(r"for name in (.*); do", (DEPLOY / "entrypoint.sh").read_text())
    assert files is not None
    known = {f"{name}_FILE" for name in files[1].split()}
    for template in TEMPLATES.values():
        (container,) = template["spec"]["containers"]
        (secret,) = [each["secret"] for each in template["spec"]["volumes"] if "secret" in each]
        made = re.search(
            rf"secret generic {secret['secretName']} (.*?)(?:kubectl|```)", PAGE, re.DOTALL
        )
        assert made is not None
        for variable in container["env"]:
            assert variable["name"] in known
            folder, _, key = variable["value"].rpartition("/")
            assert folder == SECRETS
            assert variable["name"] == f"TAPEWATCH_{key.upper()}_FILE"
            assert f"--from-file={key}" in made[0], key
        assert {mount["mountPath"] for mount in container["volumeMounts"]} == {"/tmp", SECRETS}
    owner = TEMPLATES["migrate/job.yaml"]["spec"]["volumes"]
    assert owner != DEPLOYMENT["spec"]["template"]["spec"]["volumes"], (
        "the service is not the owner"
    )


def plain_settings() -> dict[str, str]:
    lines = (FOLDER / "settings.env").read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def test_the_plain_settings_are_settings_and_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    fields = {f"TAPEWATCH_{name.upper()}": name for name in Settings.model_fields}
    secret = {"database_url", "redis_url", "jwt_secret", "jwt_previous_secret", "feed_url"}
    settings = plain_settings()
    for name, value in settings.items():
        assert name in OTLP_VARIABLES.values() or fields[name] not in secret, name
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("TAPEWATCH_FEED_URL", "wss://feed.example")
    assert Settings().check() == []
    generated = read(FOLDER / "kustomization.yaml")["configMapGenerator"]
    assert generated == [{"name": "tapewatch-settings", "envs": ["settings.env"]}]
    assert CONTAINER["envFrom"] == [{"configMapRef": {"name": "tapewatch-settings"}}]


def test_ports_and_probes_are_the_services() -> None:
    fields = Settings.model_fields
    assert {"api": fields["port"].default, "ops": fields["ops_port"].default} == PORTS
    for name, path in (("startup", "/livez"), ("liveness", "/livez"), ("readiness", "/readyz")):
        assert CONTAINER[f"{name}Probe"]["httpGet"] == {"path": path, "port": "ops"}
    for file, name in (("service.yaml", "api"), ("ops-service.yaml", "ops")):
        (port,) = MANIFESTS[file]["spec"]["ports"]
        assert port == {"name": name, "port": PORTS[name], "targetPort": name}


def test_traders_are_sent_to_who_is_ready_and_prometheus_to_all() -> None:
    api, ops = MANIFESTS["service.yaml"]["spec"], MANIFESTS["ops-service.yaml"]["spec"]
    assert "publishNotReadyAddresses" not in api
    assert ops["clusterIP"] == "None"
    assert ops["publishNotReadyAddresses"] is True


def test_a_rollout_replaces_the_standby_and_never_fails_for_it() -> None:
    spec = DEPLOYMENT["spec"]
    assert spec["replicas"] == 2
    assert spec["strategy"]["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": 1}
    assert spec["progressDeadlineSeconds"] == 2**31 - 1, "which the controller takes for none"
    assert "minReadySeconds" not in spec, "it would only put off that a new leader counts"
    budget = MANIFESTS["disruption-budget.yaml"]["spec"]
    assert (budget["minAvailable"], budget["unhealthyPodEvictionPolicy"]) == (1, "AlwaysAllow")


def test_stopping_is_given_longer_than_it_may_take() -> None:
    bounds = (
        stream.SHUTDOWN_TIMEOUT_S,
        2 * serving.SHUTDOWN_TIMEOUT_S,  # the API and the ops port
        leadership.DRAIN_TIMEOUT_S,
        2 * loop.CANCEL_GRACE_S,  # of the feed's loops and of those that trade
        tracing.CLOSE_TIMEOUT_S,
        log_output.FLUSH_S,
    )
    pod = DEPLOYMENT["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] > sum(bounds)


def test_selectors_choose_the_pods_of_the_service_and_no_others() -> None:
    migration = TEMPLATES["migrate/job.yaml"]["metadata"]["labels"]
    assert migration != LABELS
    assert DEPLOYMENT["spec"]["selector"]["matchLabels"] == LABELS
    for constraint in DEPLOYMENT["spec"]["template"]["spec"]["topologySpreadConstraints"]:
        assert constraint["labelSelector"]["matchLabels"] == LABELS
    for file in ("service.yaml", "ops-service.yaml"):
        assert MANIFESTS[file]["spec"]["selector"] == LABELS
    assert MANIFESTS["disruption-budget.yaml"]["spec"]["selector"]["matchLabels"] == LABELS
    assert MANIFESTS["network-policy.yaml"]["spec"]["podSelector"]["matchLabels"] == LABELS
    of_job = MANIFESTS["migrate/network-policy.yaml"]["spec"]["podSelector"]["matchLabels"]
    assert of_job == migration
    account = MANIFESTS["service-account.yaml"]
    assert (
        DEPLOYMENT["spec"]["template"]["spec"]["serviceAccountName"] == account["metadata"]["name"]
    )
    assert account["automountServiceAccountToken"] is False


def test_nothing_is_reached_that_is_not_let_through() -> None:
    deny = MANIFESTS["default-deny.yaml"]["spec"]
    assert deny == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    policy = MANIFESTS["network-policy.yaml"]["spec"]

    def ports(rules: list[dict[str, Any]]) -> set[object]:
        assert all(rule.get("from") or rule.get("to") for rule in rules), "from and to anybody"
        return {port["port"] for rule in rules for port in rule["ports"]}

    assert ports(policy["ingress"]) == PORTS.keys()
    otlp = int(plain_settings()["OTEL_EXPORTER_OTLP_ENDPOINT"].rpartition(":")[2])
    received = COLLECTOR["receivers"]["otlp"]["protocols"]["grpc"]["endpoint"]
    assert int(received.rpartition(":")[2]) == otlp
    assert ports(policy["egress"]) == {53, 5432, 6379, otlp, 443}
    migration = MANIFESTS["migrate/network-policy.yaml"]["spec"]
    assert "ingress" not in migration
    assert ports(migration["egress"]) == {53, 5432}
    labels = re.findall(r"tapewatch/\w+: \"true\"", (FOLDER / "network-policy.yaml").read_text())
    for label in set(labels):
        assert label.replace(': "true"', "=true") in PAGE


def test_prometheus_scrapes_it_as_the_job_that_rules_and_dashboards_know() -> None:
    monitor = MANIFESTS["monitoring/service-monitor.yaml"]
    assert (monitor["apiVersion"], monitor["kind"]) == (OF_THE_OPERATOR, "ServiceMonitor")
    labels = MANIFESTS["ops-service.yaml"]["metadata"]["labels"]
    spec = monitor["spec"]
    assert spec["selector"]["matchLabels"] == labels
    assert labels != MANIFESTS["service.yaml"]["metadata"]["labels"]
    assert labels[spec["jobLabel"]] == PROMETHEUS["scrape_configs"][0]["job_name"]
    (endpoint,) = spec["endpoints"]
    assert endpoint == {
        "port": "ops",
        "path": "/metrics",
        "interval": PROMETHEUS["global"]["scrape_interval"],
        "scrapeTimeout": PROMETHEUS["global"]["scrape_timeout"],
    }


def test_every_rule_is_in_the_prometheus_rule() -> None:
    rule = MANIFESTS["monitoring/prometheus-rule.yaml"]
    assert (rule["apiVersion"], rule["kind"]) == (OF_THE_OPERATOR, "PrometheusRule")
    groups = rule["spec"]["groups"]
    shipped = [
        group
        for path in sorted((ROOT / "alerts" / "rules").glob("*.yml"))
        for group in read(path)["groups"]
    ]
    assert groups == shipped
    assert len({group["name"] for group in groups}) == len(groups)
    assert all("expr" in each for group in groups for each in group["rules"])


def test_every_dashboard_is_a_config_map_that_can_be_applied() -> None:
    kustomization = read(DASHBOARDS / "kustomization.yaml")
    files = sorted(path.name for path in DASHBOARDS.glob("*.json"))
    assert [each["files"] for each in kustomization["configMapGenerator"]] == [
        [name] for name in files
    ]
    assert kustomization["generatorOptions"]["labels"] == {"grafana_dashboard": "1"}
    for name in files:  # `kubectl apply` keeps what it applied in an annotation of 256 KiB at most
        assert (DASHBOARDS / name).stat().st_size < 200 * 1024, name


def test_the_page_names_every_file() -> None:
    for name in [*MANIFESTS, "settings.env", "migrate/", "monitoring/"]:
        assert f"`{name}`" in PAGE, name
