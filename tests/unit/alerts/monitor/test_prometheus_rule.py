"""The PrometheusRule is written from the rules, and is told to be out of date when it is."""

from pathlib import Path

import pytest

from alerts.monitor import prometheus_rule


def test_a_prometheus_rule_that_is_out_of_date_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = tmp_path / "prometheus-rule.yaml"
    monkeypatch.setattr(prometheus_rule, "ROOT", tmp_path)
    monkeypatch.setattr(prometheus_rule, "WRITTEN", written)
    assert prometheus_rule.main(["--check"]) == 1
    assert prometheus_rule.main([]) == 0
    assert prometheus_rule.main(["--check"]) == 0
    written.write_text(written.read_text().replace("critical", "warning"))
    assert prometheus_rule.main(["--check"]) == 1


def test_two_groups_of_one_name_are_refused(tmp_path: Path) -> None:
    for name in ("a.yml", "b.yml"):
        (tmp_path / name).write_text("groups: [{name: same, rules: []}]")
    with pytest.raises(ValueError, match=r"b\.yml: there is a group same already"):
        prometheus_rule.prometheus_rule(tmp_path)
