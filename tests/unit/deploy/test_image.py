"""The image holds what serving needs, pinned, and starts as the files beside it say."""

import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from service.settings import Settings
from tests.unit.deploy.files import DEPLOY, ROOT

DOCKERFILE = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
ENTRYPOINT = DEPLOY / "entrypoint.sh"


def locked(path: Path) -> dict[str, str]:
    """Return each package's pin with its hashes."""
    text = re.sub(r"^ *#.*\n", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    pins = re.split(r"\n(?=\S)", text.strip())
    return {re.split(r"[=\[ ]", pin)[0]: pin for pin in pins}


def test_hadolint_has_no_complaint() -> None:
    program = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    assert program is not None
    said = subprocess.run(
        [program, "--no-color", DEPLOY / "Dockerfile"], capture_output=True, text=True, timeout=60
    )
    assert (said.returncode, said.stdout) == (0, "")


def test_the_images_lock_is_a_part_of_the_whole() -> None:
    whole, image = locked(ROOT / "requirements.lock"), locked(DEPLOY / "requirements.lock")
    assert {name: whole.get(name) for name in image} == image


def test_the_image_has_what_serving_needs_and_nothing_else() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    image = locked(DEPLOY / "requirements.lock").keys()

    def names(requirements: list[str]) -> set[str]:
        return {re.split(r"[\[<>=!; ]", each)[0] for each in requirements}

    assert names(project["dependencies"]) <= image
    assert not names(project["optional-dependencies"]["embedded"]) & image
    assert not names(project["optional-dependencies"]["dev"]) & image


def test_the_image_is_pinned_and_not_root() -> None:
    assert re.search(r"^ARG PYTHON=3\.11\.\d+-slim-\w+$", DOCKERFILE, re.MULTILINE)
    assert set(re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)) == {"python:${PYTHON}"}
    final = DOCKERFILE.rpartition("\nFROM ")[2]
    assert "\nUSER 10001:10001\n" in final
    ports = [Settings.model_fields[name].default for name in ("port", "ops_port")]
    assert f"\nEXPOSE {ports[0]} {ports[1]}\n" in final
    assert "--require-hashes" in DOCKERFILE
    settings = {f"TAPEWATCH_{name.upper()}" for name in Settings.model_fields}
    assert set(re.findall(r"(TAPEWATCH_\w+)=", final)) <= settings


def start(*command: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["/bin/sh", ENTRYPOINT, *command],
        env={"PATH": "/usr/bin:/bin", **environment},
        capture_output=True,
        text=True,
        timeout=30,
    )


def test_secret_settings_are_read_from_files(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("postgresql://u:p w$x'\"@db/t")
    said = start(
        *("/bin/sh", "-c", 'printf "%s|%s|%s" "$TAPEWATCH_DATABASE_URL" "$TAPEWATCH_REDIS_URL" $0'),
        "argument",
        TAPEWATCH_DATABASE_URL_FILE=str(tmp_path / "url"),
        TAPEWATCH_REDIS_URL="redis://as-it-is",
    )
    assert said.stdout == "postgresql://u:p w$x'\"@db/t|redis://as-it-is|argument"


def test_a_secret_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    said = start("true", TAPEWATCH_JWT_SECRET_FILE=str(tmp_path / "none"))
    assert said.returncode == 2
    assert "TAPEWATCH_JWT_SECRET_FILE: cannot read" in said.stderr


@pytest.fixture
def ops_port(request: pytest.FixtureRequest) -> Iterator[int]:
    """The port of a server that answers /livez with the status that is asked for."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(request.param if self.path == "/livez" else 404)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Answers)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def health(port: int) -> int:
    return subprocess.run(
        [sys.executable, "-I", "-S", DEPLOY / "healthcheck.py"],
        env={"TAPEWATCH_OPS_PORT": str(port)},
        capture_output=True,
        timeout=30,
    ).returncode


@pytest.mark.parametrize(("ops_port", "code"), [(200, 0), (503, 1)], indirect=["ops_port"])
def test_the_health_check_asks_livez(ops_port: int, code: int) -> None:
    assert health(ops_port) == code


def test_where_nothing_listens_is_not_healthy() -> None:
    assert health(1) == 1
