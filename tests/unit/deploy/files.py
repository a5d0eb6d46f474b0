"""The deployment's files, read."""

from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[3]
DEPLOY = ROOT / "deploy"


def read(path: str) -> Any:
    """Return a YAML file below `deploy/`."""
    return yaml.safe_load((DEPLOY / path).read_text(encoding="utf-8"))


COMPOSE: dict[str, Any] = read("compose.yaml")
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
PROMETHEUS: dict[str, Any] = read("prometheus/prometheus.yml")
COLLECTOR: dict[str, Any] = read("otel-collector/config.yaml")
TEMPO: dict[str, Any] = read("tempo/tempo.yaml")
DATASOURCES: dict[str, dict[str, Any]] = {
    each["uid"]: each
    for each in read("grafana/provisioning/datasources/datasources.yaml")["datasources"]
}


def published(service: str) -> dict[int, int]:
    """Return a service's ports of loopback, and the container's that each leads to."""
    found = {}
    for mapping in SERVICES[service].get("ports", []):
        host, outer, inner = mapping.split(":")
        assert host == "127.0.0.1", mapping
        found[int(outer)] = int(inner)
    return found


def mounts(service: str) -> dict[str, str]:
    """Return what a service has mounted: source by place in the container."""
    # A default such as ${NAME:-./file} has a colon of its own.
    split = [mount.removesuffix(":ro").rpartition(":") for mount in SERVICES[service]["volumes"]]
    return {target: source for source, _, target in split}
