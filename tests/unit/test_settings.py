"""Settings: read from the environment, with all faults in one message and no secret in any."""

import os
from pathlib import Path

import pytest

from service.settings import (
    OTLP_VARIABLES,
    ConfigurationError,
    FeedKind,
    Settings,
    load_settings,
)

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith(("TAPEWATCH_", "OTEL_")):
            monkeypatch.delenv(name)


def test_nothing_needs_to_be_set() -> None:
    settings = load_settings()
    assert settings == Settings()
    assert (settings.host, settings.ops_host) == ("127.0.0.1", "127.0.0.1")
    assert settings.database_url is None


def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAPEWATCH_DATABASE_URL", "")
    monkeypatch.setenv("TAPEWATCH_PORT", "")
    assert load_settings() == Settings()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("PORT", "0"),
        ("PORT", "65536"),
        ("OPS_PORT", "tcp://10.0.0.1:9464"),
        ("FEED", "guess"),
        ("FEED_RATE", "0"),
        ("FEED_RATE", "nan"),
        ("FEED_SPEED", "-1"),
        ("FEED_CONNECTIONS", "0"),
        ("LEASE_S", "0.5"),
        ("MAX_QUOTE_AGE_S", "inf"),
        ("PORTFOLIO_INTERVAL_S", "0"),
        ("PENDING_SWEEP_INTERVAL_S", "-5"),
        ("POSITIONS_SWEEP_INTERVAL_S", "86401"),
        ("CACHE_AUDIT_INTERVAL_S", "often"),
        ("POSITIONS_SWEEP_MAX_INTERVAL_S", "9.9"),
        ("LOG_LEVEL", "LOUD"),
        ("LOG_LEVEL_ORDERS", "debug"),
        ("DATABASE_URL", "mysql://db/tapewatch"),
        ("DATABASE_URL", "postgresql://[broken"),
        ("REDIS_URL", "cache:6379"),
        ("FEED_URL", "https://quotes"),
        ("JWT_SECRET", "x" * 31),
        ("JWT_PREVIOUS_SECRET", "x" * 32),
        ("MAX_TOKEN_HOURS", "0"),
        ("TRACE_RATIO", "1.1"),
        ("ACCOUNT_COMMANDS_PER_S", "0"),
        ("TRUSTED_PROXIES", "10.0.0.0/8, the proxy"),
        ("TRUSTED_PROXIES", "10.0.0.1/8"),
    ],
)
def test_what_is_wrong_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str
) -> None:
    monkeypatch.setenv(f"TAPEWATCH_{name}", text)
    with pytest.raises(ConfigurationError, match=rf"\n  TAPEWATCH_{name}: ") as caught:
        load_settings()
    assert str(caught.value).count("\n") == 1


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
    ],
)
def test_a_collector_that_cannot_be_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str
) -> None:
    monkeypatch.setenv(name, text)
    with pytest.raises(ConfigurationError, match=rf"\n  {name}: ") as caught:
        load_settings()
    assert str(caught.value).count("\n") == 1


def test_a_collector_is_named_as_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
    settings = load_settings()
    assert settings.otlp_endpoint == "http://collector:4318"
    assert settings.otlp_protocol == "http/protobuf"


def test_all_faults_come_in_one_message_without_their_values(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TAPEWATCH_PORT", "hidden")
    monkeypatch.setenv("TAPEWATCH_FEED", "websocket")
    monkeypatch.setenv("TAPEWATCH_JWT_SECRET", "hidden")
    monkeypatch.setenv("TAPEWATCH_DATABASE_URL", "mysql://me:hidden@db")
    monkeypatch.setenv("TAPEWATCH_PENDING_SWEEP_INTERVAL_S", "hidden")
    monkeypatch.setenv("TAPEWATCH_POSITIONS_SWEEP_INTERVAL_S", "60")
    with pytest.raises(ConfigurationError) as caught:
        load_settings()
    for name in (
        *("PORT", "FEED_URL", "JWT_SECRET", "DATABASE_URL"),
        *("PENDING_SWEEP_INTERVAL_S", "POSITIONS_SWEEP_MAX_INTERVAL_S"),
    ):
        assert f"TAPEWATCH_{name}: " in str(caught.value)
    assert "hidden" not in str(caught.value)


def test_the_loops_have_the_intervals_that_were_asked_for() -> None:
    """R9.2."""
    settings = load_settings()
    assert settings.portfolio_interval_s == 60
    assert settings.positions_sweep_interval_s == 10
    assert settings.positions_sweep_max_interval_s == 30
    assert settings.pending_sweep_interval_s == 5


def test_a_feed_needs_what_it_reads(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TAPEWATCH_FEED", "replay")
    with pytest.raises(ConfigurationError, match="TAPEWATCH_FEED_FILE: the replay feed needs"):
        load_settings()
    monkeypatch.setenv("TAPEWATCH_FEED_FILE", str(tmp_path / "ticks.csv"))
    with pytest.raises(ConfigurationError, match="TAPEWATCH_FEED_FILE: there is no file"):
        load_settings()
    (tmp_path / "ticks.csv").touch()
    assert load_settings().feed is FeedKind.REPLAY


def test_secrets_do_not_show() -> None:
    settings = Settings.model_validate(
        {"jwt_secret": "hidden" * 6, "database_url": "postgresql://me:hidden@db/x"}
    )
    assert "hidden" not in repr(settings)
    assert "hidden" not in str(settings)


def test_the_readme_tells_every_setting_with_its_default() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    names = ("| `TAPEWATCH_", "| `OTEL_")
    rows = [line.split("|")[1:3] for line in text.splitlines() if line.startswith(names)]
    told = {name.strip(" `"): default.strip() for name, default in rows}
    assert told == {
        OTLP_VARIABLES.get(name, f"TAPEWATCH_{name.upper()}"): _shown(field.default)
        for name, field in Settings.model_fields.items()
    }


def _shown(default: object) -> str:
    if default is None:
        return "none"
    return str(default).lower() if isinstance(default, bool) else str(default)


@pytest.mark.parametrize("name", ["TAPEWATCH_KEEP_DEALS_DAYS", "TAPEWATCH_KEEP_AUDIT_DAYS"])
def test_history_is_kept_for_ever_or_a_year_at_least(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for days in ("0", "365"):
        monkeypatch.setenv(name, days)
        load_settings()
    monkeypatch.setenv(name, "364")
    with pytest.raises(ConfigurationError, match=f"{name}: must be 0, to keep for ever, or 365"):
        load_settings()
