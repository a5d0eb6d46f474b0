"""The page has a row for every metric, with who looks at it."""

from telemetry.catalogue import METRICS
from telemetry.metrics_page import page


def test_every_metric_has_a_row_and_its_users() -> None:
    text = page({metric.name: ("Overview", f"`About{at}`") for at, metric in enumerate(METRICS)})
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    assert [row.split("`")[1] for row in rows[: len(METRICS)]] == [each.name for each in METRICS]
    for at, row in enumerate(rows[: len(METRICS)]):
        assert row.endswith(f"| Overview, `About{at}` |")
