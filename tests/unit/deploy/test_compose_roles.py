"""What is laid over the compose file puts every role into a container, and has each watched."""

from typing import Any

import yaml

from service.roles import ServiceRole
from tests.unit.deploy.files import DEPLOY, SERVICES

OPS_PORT = 9464


class _Loader(yaml.SafeLoader):
    """Takes Compose's tags for what they are laid over with."""


def _list(loader: yaml.SafeLoader, node: yaml.Node) -> list[Any]:
    assert isinstance(node, yaml.SequenceNode)
    return loader.construct_sequence(node)


_Loader.add_constructor("!reset", _list)
_Loader.add_constructor("!override", _list)
TEXT = (DEPLOY / "compose.roles.yaml").read_text(encoding="utf-8")
PARTS: dict[str, dict[str, Any]] = yaml.load(TEXT, _Loader)["services"]
PROCESSES = {name: part for name, part in PARTS.items() if "command" in part}


def _role(part: dict[str, Any]) -> ServiceRole:
    *command, role = part["command"]
    assert command == ["tapewatch", "serve", "--role"]
    return ServiceRole(role)


def test_there_is_every_role_but_the_one_that_is_all_and_two_engines_share() -> None:
    roles = [_role(part) for part in PROCESSES.values()]
    assert set(roles) == set(ServiceRole) - {ServiceRole.ALL}
    assert roles.count(ServiceRole.ENGINE) == 2
    assert len({part["environment"]["TAPEWATCH_SHARDS"] for part in PROCESSES.values()}) == 1


def test_only_who_answers_clients_is_published_and_has_the_signing_secret() -> None:
    for name, part in PROCESSES.items():
        if _role(part).answers:
            assert name == "tapewatch"
            assert not {"ports", "secrets", "extends"} & part.keys()
        else:
            assert part["extends"] == {"file": "compose.yaml", "service": "tapewatch"}
            assert part["ports"] == []
            assert set(part["secrets"]) == set(SERVICES["tapewatch"]["secrets"]) - {"jwt_secret"}
            assert part["environment"]["TAPEWATCH_JWT_SECRET_FILE"] == ""


def test_prometheus_watches_all_of_them() -> None:
    (mount,) = PARTS["prometheus"]["volumes"]
    source, target, mode = mount.split(":")
    assert (target, mode) == ("/etc/prometheus/targets/roles.yml", "ro")
    (targets,) = yaml.safe_load((DEPLOY / source).read_text(encoding="utf-8"))
    wanted = {f"{name}:{OPS_PORT}" for name in PROCESSES} - {f"tapewatch:{OPS_PORT}"}
    assert set(targets["targets"]) == wanted
