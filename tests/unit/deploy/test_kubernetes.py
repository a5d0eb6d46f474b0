"""The manifests are valid, confined and bounded, and every file and container is covered.

The schemas of kubernetes-validate know nothing of the Prometheus operator's resources, whose
required fields are looked at here. The oldest version is the one that the page names.
"""

import copy
import json
import re
from typing import Any

import kubernetes_validate
import pytest

from tests.unit.deploy.files import DEPLOY, PROMETHEUS, ROOT, SERVICES
from tests.unit.deploy.kubernetes import (
    DEPLOYMENTS,
    FILES,
    FOLDER,
    MANIFESTS,
    OF_THE_OPERATOR,
    PAGE,
    ROLES,
    TEMPLATES,
    container,
    manifest,
    read_yaml,
)

DASHBOARDS = ROOT / "dashboards" / "generated"
BUILT_IN = [each for each in MANIFESTS if MANIFESTS[each]["apiVersion"] != OF_THE_OPERATOR]
VERSIONS = ("1.31", kubernetes_validate.latest_version())
SECRETS = "/run/secrets/tapewatch"


def is_valid(broken: dict[str, Any], version: str) -> bool:
    try:
        kubernetes_validate.validate(broken, version, strict=True)
    except kubernetes_validate.ValidationError:
        return False
    return True


@pytest.mark.parametrize("name", BUILT_IN, ids="/".join)
def test_a_manifest_is_valid(name: tuple[str, str]) -> None:
    for version in VERSIONS:
        kubernetes_validate.validate(MANIFESTS[name], version, strict=True)
    assert f"Kubernetes {VERSIONS[0]} or later" in PAGE


@pytest.mark.parametrize(
    ("key", "value"),
    [("replcas", 2), ("replicas", "two"), ("template", {"spec": {}}), ("selector", "all")],
)
def test_what_is_not_valid_is_found(key: str, value: object) -> None:
    broken = copy.deepcopy(DEPLOYMENTS["engine"])
    broken["spec"][key] = value
    assert not is_valid(broken, VERSIONS[-1])


def test_every_file_is_in_a_kustomization_once() -> None:
    namespace = manifest("Namespace", "tapewatch")["metadata"]["name"]
    for folder in (FOLDER, FOLDER / "migrate", FOLDER / "monitoring"):
        kustomization = read_yaml(folder / "kustomization.yaml")
        assert kustomization["namespace"] == namespace
        listed = kustomization["resources"]
        files = {path.name for path in folder.glob("*.yaml")} - {"kustomization.yaml"}
        assert sorted(each for each in listed if each.endswith(".yaml")) == sorted(files)
        for each in listed:
            assert (folder / each).exists(), each
    monitoring = read_yaml(FOLDER / "monitoring/kustomization.yaml")
    assert "../../../dashboards/generated" in monitoring["resources"]


def test_every_container_is_one_of_these() -> None:
    """What is confined, bounded and given secrets below is all that runs."""
    found = re.findall(
        r"^ +- name: \S+\n +image: ",
        "".join((FOLDER / file).read_text(encoding="utf-8") for file in sorted(FILES)),
        re.MULTILINE,
    )
    assert TEMPLATES.keys() == {*(f"tapewatch-{role}" for role in ROLES), "tapewatch-migrate"}
    assert len(found) == len(TEMPLATES)
    running = {"Deployment", "Job"}
    others = {each["kind"] for each in MANIFESTS.values()} - running
    assert not others & {"Pod", "StatefulSet", "DaemonSet", "CronJob", "ReplicaSet"}


def test_the_image_is_the_one_that_is_built() -> None:
    image = SERVICES["tapewatch"]["image"]
    for folder in (FOLDER, FOLDER / "migrate"):
        (changed,) = read_yaml(folder / "kustomization.yaml")["images"]
        assert f"{changed['newName']}:{changed['newTag']}" == image
        assert changed["name"] == image.partition(":")[0]
    command = re.search(r"^CMD (.*)$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    assert command is not None
    for role in ROLES:
        serve = [*json.loads(command[1]), "--role", role]
        assert container(f"tapewatch-{role}")["args"] == serve
    for name in TEMPLATES:
        assert container(name)["image"] == image


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
    own = container(name)["securityContext"]
    assert own["readOnlyRootFilesystem"] is True
    assert own["allowPrivilegeEscalation"] is False
    assert own["capabilities"] == {"drop": ["ALL"]}
    assert not {"privileged", "runAsUser", "runAsNonRoot", "seccompProfile"} & own.keys()
    resources = container(name)["resources"]
    assert resources["limits"].keys() == {"cpu", "memory", "ephemeral-storage"}
    assert resources["requests"].keys() == resources["limits"].keys()
    mounted = {mount["name"]: mount for mount in container(name)["volumeMounts"]}
    assert mounted.keys() == {volume["name"] for volume in pod["volumes"]}
    assert mounted["secrets"]["readOnly"] is True
    assert [each for each in mounted if not mounted[each].get("readOnly")] == ["tmp"]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert volumes["tmp"]["emptyDir"].keys() == {"sizeLimit"}
    assert volumes["secrets"]["secret"]["defaultMode"] == 0o440


def test_secrets_are_files_that_the_entry_point_reads_and_the_page_tells_how_to_make() -> None:
    files = re.search(r"for name in (.*); do", (DEPLOY / "entrypoint.sh").read_text())
    assert files is not None
    known = {f"{name}_FILE" for name in files[1].split()}
    for name, template in TEMPLATES.items():
        volumes = template["spec"]["volumes"]
        (secret,) = [each["secret"] for each in volumes if "secret" in each]
        made = re.search(
            rf"secret generic {secret['secretName']} (.*?)(?:kubectl|```)", PAGE, re.DOTALL
        )
        assert made is not None
        read = [each for each in container(name)["env"] if each["name"] in known]
        plain = [each for each in container(name)["env"] if each["name"] not in known]
        assert plain == (
            [{"name": "TAPEWATCH_FEED", "value": "websocket"}] if name == "tapewatch-feed" else []
        )
        for variable in read:
            folder, _, key = variable["value"].rpartition("/")
            assert folder == SECRETS
            assert variable["name"] == f"TAPEWATCH_{key.upper()}_FILE"
            assert f"--from-file={key}" in made[0], key
        given = [each["value"].rpartition("/")[2] for each in read]
        assert secret.get("items") == (
            None if name == "tapewatch-migrate" else [{"key": key, "path": key} for key in given]
        ), "no more secrets than are read"
        mounts = {mount["mountPath"] for mount in container(name)["volumeMounts"]}
        assert mounts == {"/tmp", SECRETS}
    of_owner = [
        name
        for name, template in TEMPLATES.items()
        if "tapewatch-owner" in json.dumps(template["spec"]["volumes"])
    ]
    assert of_owner == ["tapewatch-migrate"], "who serves is not the owner"


def test_prometheus_scrapes_it_as_the_job_that_rules_and_dashboards_know() -> None:
    monitor = manifest("ServiceMonitor", "tapewatch")
    assert monitor["apiVersion"] == OF_THE_OPERATOR
    labels = manifest("Service", "tapewatch-ops")["metadata"]["labels"]
    spec = monitor["spec"]
    assert spec["selector"]["matchLabels"] == labels
    assert labels != manifest("Service", "tapewatch")["metadata"]["labels"]
    assert labels[spec["jobLabel"]] == PROMETHEUS["scrape_configs"][0]["job_name"]
    (endpoint,) = spec["endpoints"]
    assert endpoint == {
        "port": "ops",
        "path": "/metrics",
        "interval": PROMETHEUS["global"]["scrape_interval"],
        "scrapeTimeout": PROMETHEUS["global"]["scrape_timeout"],
    }


def test_every_rule_is_in_the_prometheus_rule() -> None:
    rule = manifest("PrometheusRule", "tapewatch")
    assert rule["apiVersion"] == OF_THE_OPERATOR
    groups = rule["spec"]["groups"]
    shipped = [
        group
        for path in sorted((ROOT / "alerts" / "rules").glob("*.yml"))
        for group in read_yaml(path)["groups"]
    ]
    assert groups == shipped
    assert len({group["name"] for group in groups}) == len(groups)
    assert all("expr" in each for group in groups for each in group["rules"])


def test_every_dashboard_is_a_config_map_that_can_be_applied() -> None:
    kustomization = read_yaml(DASHBOARDS / "kustomization.yaml")
    files = sorted(path.name for path in DASHBOARDS.glob("*.json"))
    assert [each["files"] for each in kustomization["configMapGenerator"]] == [
        [name] for name in files
    ]
    assert kustomization["generatorOptions"]["labels"] == {"grafana_dashboard": "1"}
    for name in files:  # `kubectl apply` keeps what it applied in an annotation of 256 KiB at most
        assert (DASHBOARDS / name).stat().st_size < 200 * 1024, name


def test_the_page_names_every_file() -> None:
    for name in [*sorted(FILES), "settings.env", "migrate/", "monitoring/"]:
        assert f"`{name}`" in PAGE, name
