"""The command: what it prints, and how it refuses."""

import os
import subprocess
import sys
from io import StringIO
from pathlib import Path

import jwt
import pytest
from loguru import logger

from service import cli
from service.cli import UNREAD, main
from service.settings import Settings
from service.signing import SigningSecrets
from tests.service_process import COMMAND, ROOT

SECRET = "a secret of the tests, long enough"


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in os.environ:
        if name.startswith("TAPEWATCH_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("TAPEWATCH_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("TAPEWATCH_JWT_SECRET", SECRET)


def claims(token: str) -> dict[str, object]:
    return dict(jwt.decode(token.strip(), SECRET, algorithms=["HS256"]))


def test_a_token_is_for_the_first_demo_trader(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["token"]) == 0
    printed = claims(capsys.readouterr().out)
    assert (printed["sub"], printed["role"]) == ("1", "trader")


def test_a_token_is_for_whom_it_is_asked(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["token", "--account", "7", "--role", "admin", "--hours", "1"]) == 0
    printed = claims(capsys.readouterr().out)
    assert (printed["sub"], printed["role"]) == ("7", "admin")


def test_a_token_covers_the_accounts_it_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["token", "--account", "7", "--account", "9"]) == 0
    found = claims(capsys.readouterr().out)
    assert (found["sub"], found["accounts"]) == ("7", [7, 9])


@pytest.mark.parametrize("more", [["--account", "7"], ["--account", "9", "--role", "admin"]])
def test_accounts_that_make_no_token_are_told(
    capsys: pytest.CaptureFixture[str], more: list[str]
) -> None:
    assert main(["token", "--account", "7", *more]) == 2
    assert "1 to 32 different accounts" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["dance"],
        ["token", "--role", "king"],
        ["token", "--account", "0"],
        ["token", "--hours", "0"],
        ["token", "--hours", "nan"],
        ["replay"],
        ["replay", "x", "--speed", "2"],
    ],
)
def test_what_it_does_not_know_it_refuses(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2


def test_a_token_that_would_not_be_accepted_is_not_issued(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TAPEWATCH_MAX_TOKEN_HOURS", "2")
    monkeypatch.setenv("TAPEWATCH_JWT_SECRET", SECRET)
    assert main(["token", "--hours", "2.5"]) == 2
    assert "2 hours at most" in capsys.readouterr().err


def test_a_folder_that_is_no_scenario_is_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["replay", str(tmp_path / "nowhere")]) == 2
    assert "nowhere:1: must be a folder" in capsys.readouterr().err


def test_a_scenario_that_cannot_be_made_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["scenario", "make", str(tmp_path), "--symbols", "0"]) == 2
    assert capsys.readouterr().err.startswith("tapewatch: ")


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_who_has_read_enough_of_it_is_told_no_more(
    unbuffered: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    read, write = os.pipe()
    os.close(read)
    try:
        ended = subprocess.run(
            [*COMMAND, "token"], cwd=ROOT, stdout=write, stderr=subprocess.PIPE, check=False
        )
    finally:
        os.close(write)
    assert (ended.returncode, ended.stderr) == (UNREAD, b"")


def test_what_nobody_expected_is_logged_without_values_and_secrets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    errors = StringIO()
    monkeypatch.setattr(sys, "stderr", errors)
    monkeypatch.setattr(cli, "read_secrets", lambda _: _fail("".join(("hid", "den"))))
    assert main(["token"]) == os.EX_SOFTWARE
    assert "CRITICAL" in errors.getvalue()
    assert "ValueError: 6 in postgresql://tape:***@db/x" in errors.getvalue()
    assert "_fail" in errors.getvalue()
    assert "hidden" not in errors.getvalue()
    assert SECRET not in errors.getvalue()


def test_what_is_logged_is_written_before_the_command_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    errors = StringIO()
    monkeypatch.setattr(sys, "stderr", errors)
    monkeypatch.setattr(cli, "read_secrets", _tell)
    assert main(["token"]) == 0
    assert "reading it" in errors.getvalue()


def _tell(_: Settings) -> SigningSecrets:
    logger.info("reading it")
    return SigningSecrets(SECRET)


def _fail(password: str) -> str:
    raise ValueError(f"{len(password)} in postgresql://tape:{password}@db/x, signed with {SECRET}")
