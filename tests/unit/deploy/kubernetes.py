"""The manifests of Kubernetes, read."""

from pathlib import Path
from typing import Any

import yaml

from tests.unit.deploy.files import DEPLOY

FOLDER = DEPLOY / "kubernetes"
PAGE = (FOLDER / "README.md").read_text(encoding="utf-8")
ROLES = ("feed", "engine", "gateway")
OF_THE_OPERATOR = "monitoring.coreos.com/v1"


def read_yaml(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


MANIFESTS: dict[tuple[str, str], dict[str, Any]] = {
    (str(path.relative_to(FOLDER)), each["metadata"]["name"]): each
    for path in sorted(FOLDER.rglob("*.yaml"))
    if path.name != "kustomization.yaml"
    for each in yaml.safe_load_all(path.read_text(encoding="utf-8"))
}
"""By file and name."""
FILES = {file for file, _ in MANIFESTS}


def manifest(kind: str, name: str) -> dict[str, Any]:
    """Return the one of a kind that has a name."""
    (found,) = [
        each for (_, named), each in MANIFESTS.items() if (each["kind"], named) == (kind, name)
    ]
    return found


DEPLOYMENTS = {role: manifest("Deployment", f"tapewatch-{role}") for role in ROLES}
TEMPLATES: dict[str, dict[str, Any]] = {
    each["metadata"]["name"]: each["spec"]["template"]
    for each in MANIFESTS.values()
    if "template" in each.get("spec", {})
}


def container(name: str) -> dict[str, Any]:
    """Return the only container of the pods of a Deployment or Job."""
    (found,) = TEMPLATES[name]["spec"]["containers"]
    assert isinstance(found, dict)
    return found


def labels_of(role: str) -> dict[str, str]:
    """Return what selects the pods of a role."""
    return {"app.kubernetes.io/name": "tapewatch", "app.kubernetes.io/component": role}


def plain_settings() -> dict[str, str]:
    """Return the settings that are no secrets."""
    lines = (FOLDER / "settings.env").read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
