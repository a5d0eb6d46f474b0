"""The page of metrics is that of the catalogue, of the dashboards and of the alerts."""

from pathlib import Path

import pytest

from dashboards import metrics_page
from telemetry.catalogue import (
    DECISIONS,
    DEPENDENCY_UP,
    METRICS,
    SLIPPAGE,
    STORE_OPERATION,
    TICK_TO_COMMIT,
)
from telemetry.metrics_page import PAGE, page
from tests.rules import read_alerts


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(metrics_page.used_by())


def test_it_names_dashboards_and_alerts_also_those_of_a_recorded_series() -> None:
    users = metrics_page.used_by()
    assert "PostgreSQL" in users[STORE_OPERATION.name]
    assert "`TapewatchDatabaseSlow`" in users[STORE_OPERATION.name]
    assert "`TapewatchWritesFenced`" in users[DECISIONS.name]
    assert "`TapewatchTriggerBudgetBurns`" in users[TICK_TO_COMMIT.name]
    assert users[SLIPPAGE.name] == ["Orders and triggers"]
    assert "`TapewatchRedisDown`" in users[DEPENDENCY_UP.name]


def test_every_metric_is_used_and_every_alert_but_those_of_others_uses_one() -> None:
    users = metrics_page.used_by()
    assert [metric.name for metric in METRICS if not users[metric.name]] == []
    named = {user.strip("`") for found in users.values() for user in found}
    of_others = {"TapewatchInstanceDown", "TapewatchNotificationsFailing", "TapewatchWatchdog"}
    assert {rule.name for rule in read_alerts()} - named == of_others


def test_a_page_out_of_date_is_told_and_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(metrics_page, "PAGE", tmp_path / "METRICS.md")
    assert metrics_page.main(["--check"]) == 1
    assert metrics_page.main([]) == 0
    assert metrics_page.main(["--check"]) == 0
    (tmp_path / "METRICS.md").write_text("old")
    assert metrics_page.main(["--check"]) == 1
    assert "run make metrics" in capsys.readouterr().err
