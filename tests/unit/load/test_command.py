"""The command: what keeps a load from beginning is told in a line, with exit code 2."""

import os
from pathlib import Path

import pytest

from service.cli import main
from service.storage.server_process import LOOPBACK
from tests.support import free_port

SECRET = "a secret of the tests, long enough"


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in os.environ:
        if name.startswith("TAPEWATCH_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("TAPEWATCH_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("TAPEWATCH_JWT_SECRET", SECRET)
    monkeypatch.setenv("TAPEWATCH_FEED_URL", f"ws://{LOOPBACK}:{free_port()}")
    monkeypatch.setenv("TAPEWATCH_OPS_PORT", str(free_port()))


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("TAPEWATCH_FEED_URL", "", "set TAPEWATCH_FEED_URL, as for the service"),
        ("TAPEWATCH_FEED_URL", "wss://127.0.0.1", "must start with ws:// for a load"),
        ("TAPEWATCH_JWT_SECRET", "", "start the service first"),
        ("TAPEWATCH_HOST", "127.0.0.1", "nothing answers at 127.0.0.1:"),
    ],
)
def test_what_is_wrong_is_told(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    value: str,
    why: str,
) -> None:
    monkeypatch.setenv(name, value)
    assert main(["load", "--seconds", "1"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("tapewatch: ")
    assert why in error


def test_traders_without_sockets_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["load", "--sockets", "0"]) == 2
    assert "who trades listens" in capsys.readouterr().err
