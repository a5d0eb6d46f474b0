"""The page of metrics is that of the catalogue."""

from pathlib import Path

import pytest

from telemetry import metrics_page
from telemetry.catalogue import METRICS


def test_the_page_is_up_to_date() -> None:
    assert metrics_page.PAGE.read_text(encoding="utf-8") == metrics_page.page()


def test_every_metric_has_a_row() -> None:
    rows = [line for line in metrics_page.page().splitlines() if line.startswith("| `")]
    assert [row.split("`")[1] for row in rows[: len(METRICS)]] == [each.name for each in METRICS]


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
