"""The provisioned data source suits the panels: its interval, and the way from a dot to a trace."""

from typing import Any

import pytest
import yaml

from tests.rules import ROOT

DEPLOY = ROOT / "deploy"
FOLDER = DEPLOY / "grafana" / "provisioning" / "datasources"


@pytest.fixture(scope="module")
def sources() -> dict[str, dict[str, Any]]:
    (path,) = FOLDER.glob("*.yaml")
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    return {source["uid"]: source for source in content["datasources"]}


@pytest.fixture(scope="module")
def prometheus() -> dict[str, Any]:
    path = DEPLOY / "prometheus" / "prometheus.yml"
    content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return content


def test_its_interval_is_that_of_the_scrapes(
    sources: dict[str, dict[str, Any]], prometheus: dict[str, Any]
) -> None:
    interval = sources["prometheus"]["jsonData"]["timeInterval"]
    assert interval == prometheus["global"]["scrape_interval"]
    assert interval == prometheus["global"]["evaluation_interval"]
    assert not any("scrape_interval" in each for each in prometheus["scrape_configs"])


def test_an_exemplar_leads_to_its_trace(
    sources: dict[str, dict[str, Any]], prometheus: dict[str, Any]
) -> None:
    (destination,) = sources["prometheus"]["jsonData"]["exemplarTraceIdDestinations"]
    assert destination["name"] == "trace_id"
    assert sources[destination["datasourceUid"]]["type"] == "tempo"
    assert prometheus["storage"]["exemplars"]["max_exemplars"] > 0


def test_the_dashboards_are_provisioned_where_nobody_edits_them() -> None:
    (path,) = (DEPLOY / "grafana" / "provisioning" / "dashboards").glob("*.yaml")
    (provider,) = yaml.safe_load(path.read_text(encoding="utf-8"))["providers"]
    assert provider["type"] == "file"
    assert provider["allowUiUpdates"] is False
