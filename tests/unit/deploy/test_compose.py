"""The compose file keeps to the specification, and starts nothing that is open or unbounded.

`compose-spec.json` is the specification's own schema, as compose-go 2.16.2 has it (Apache-2.0).
"""

import copy
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from service.settings import OTLP_VARIABLES, Settings
from tests.unit.deploy.files import COMPOSE, DEPLOY, ROOT, SERVICES, mounts, published

SCHEMA = json.loads(Path(__file__).with_name("compose-spec.json").read_text(encoding="utf-8"))
ENTRYPOINT = (DEPLOY / "entrypoint.sh").read_text(encoding="utf-8")
PINNED = re.compile(r"^[a-z/-]+:v?\d+\.\d+\.?\d*(-[a-z0-9]+)?$")
UNASKABLE = {"otel-collector", "tempo"}
"""Services whose images hold one program that cannot be asked, and no other."""


def faults(compose: dict[str, Any]) -> list[str]:
    validator = jsonschema.validators.validator_for(SCHEMA)(SCHEMA)
    return [error.message for error in validator.iter_errors(compose)]


def test_it_keeps_to_the_specification() -> None:
    assert faults(COMPOSE) == []


@pytest.mark.parametrize(
    ("key", "value"),
    [("read_onyl", True), ("cap_drop", "ALL"), ("ports", [{"published": []}]), ("image", 5)],
)
def test_what_does_not_keep_to_it_is_found(key: str, value: object) -> None:
    broken = copy.deepcopy(COMPOSE)
    broken["services"]["tapewatch"][key] = value
    assert faults(broken)


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_confined_and_bounded(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not service.get("privileged")
    assert service["restart"] == "unless-stopped"
    assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory", "pids"}
    assert set(service["logging"]["options"]) == {"max-size", "max-file"}
    assert PINNED.match(service["image"]), service["image"]
    published(name)  # on loopback only


def test_whoever_can_be_asked_is() -> None:
    of_image = {
        name
        for name, service in SERVICES.items()
        if "build" in service and "HEALTHCHECK" in (DEPLOY / "Dockerfile").read_text()
    }
    asked = {name for name, service in SERVICES.items() if "healthcheck" in service}
    assert asked | of_image == SERVICES.keys() - UNASKABLE
    for name in asked:
        check = SERVICES[name]["healthcheck"]
        assert {"test", "interval", "timeout", "retries"} <= check.keys(), name


def test_whom_a_service_waits_for_is_there_and_can_be_waited_for() -> None:
    for service in SERVICES.values():
        for name, condition in service.get("depends_on", {}).items():
            asked = "healthcheck" in SERVICES[name] or "build" in SERVICES[name]
            assert condition["condition"] != "service_healthy" or asked, name


def test_the_stores_are_reached_by_the_service_alone() -> None:
    assert COMPOSE["networks"]["data"] == {"internal": True}
    inside = {name for name, service in SERVICES.items() if "data" in service["networks"]}
    assert inside == {"tapewatch", "postgres", "valkey"}
    for store in ("postgres", "valkey"):
        assert SERVICES[store]["networks"] == ["data"]
        assert not published(store)


def test_the_service_listens_where_it_is_published() -> None:
    fields = Settings.model_fields
    assert set(published("tapewatch").values()) == {
        fields["port"].default,
        fields["ops_port"].default,
    }
    assert all(outer == inner for outer, inner in published("tapewatch").items())


def test_the_service_is_given_settings_that_it_has() -> None:
    known = {f"TAPEWATCH_{name.upper()}" for name in Settings.model_fields}
    known |= set(OTLP_VARIABLES.values())
    files = re.search(r"for name in (.*); do", ENTRYPOINT)
    assert files is not None
    known |= {f"{name}_FILE" for name in files[1].split() if name in known}
    assert SERVICES["tapewatch"]["environment"].keys() <= known


def test_secrets_are_files_that_the_script_makes(tmp_path: Path) -> None:
    script = tmp_path / "make-secrets.sh"
    script.write_text((DEPLOY / "make-secrets.sh").read_text(encoding="utf-8"))

    def run() -> dict[str, str]:
        subprocess.run(["/bin/sh", script], check=True, capture_output=True)
        return {
            path.name: path.read_text()
            for path in (tmp_path / "secrets").iterdir()
            if path.is_file()
        }

    made = run()
    declared = {Path(secret["file"]).name: secret for secret in COMPOSE["secrets"].values()}
    assert made.keys() == declared.keys() == COMPOSE["secrets"].keys()
    assert all(len(text) >= 32 for text in made.values())
    assert made["postgres_password"] in made["database_url"]
    assert made["redis_password"] in made["redis_url"]
    assert len(set(made.values())) == len(made)
    assert run() == made
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "secrets" / "alertmanager").is_dir()


def test_every_secret_is_used_as_a_file_and_none_is_written_down() -> None:
    for name, service in SERVICES.items():
        for secret in service.get("secrets", []):
            text = json.dumps([service.get(key) for key in ("environment", "command")])
            assert f"/run/secrets/{secret}" in text, (name, secret)
        for variable, value in service.get("environment", {}).items():
            if re.search("PASSWORD|SECRET|_URL", variable) and variable != "GF_SERVER_ROOT_URL":
                assert value.startswith("/run/secrets/"), variable
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert "deploy/secrets/" in ignored
    assert "deploy/secrets" in (ROOT / ".dockerignore").read_text().splitlines()


def test_what_is_mounted_is_there_and_is_only_read() -> None:
    for name, service in SERVICES.items():
        if "volumes" not in service:
            continue
        for target, source in mounts(name).items():
            default = re.sub(r"\$\{\w+:-(.*)\}", r"\1", source)
            if default in COMPOSE["volumes"] or default.startswith("./secrets/"):
                continue
            assert (DEPLOY / default).exists(), (name, source)
            assert f"{source}:{target}:ro" in service["volumes"], (name, source)


def test_the_readme_names_the_addresses_that_are_published_and_the_files_that_are_there() -> None:
    text = (DEPLOY / "README.md").read_text(encoding="utf-8")
    named = {int(port) for port in re.findall(r"http://localhost:(\d+)", text)}
    assert named == {port for name in SERVICES for port in published(name)}
    rows = text.partition("## Files")[2].partition("\n\nA setting")[0]
    files = re.findall(r"`([\w./-]+)`", "".join(re.findall(r"^\| (`.*?) \|", rows, re.MULTILINE)))
    assert len(files) >= 9
    for file in files:
        assert (DEPLOY / file).exists(), file
