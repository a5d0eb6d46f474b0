"""`telemetry/METRICS.md`, the catalogue for people, as text.

`make metrics` writes it and `make check` compares it: `dashboards/metrics_page.py`, which knows who
looks at which metric.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from telemetry.catalogue import METRICS, Kind, Label, Metric
from telemetry.thresholds import SERIES_BUDGET

PAGE = Path(__file__).with_name("METRICS.md")

_HEAD = f"""\
# Metrics

What `/metrics` exposes, all of it. This page is made from `telemetry/catalogue.py` by \
`make metrics`; `make check` compares them.

Every series of closed labels exists from the start, at 0. The budget is {SERIES_BUDGET} series \
for a whole service; `tapewatch_exported_series` says how many there are. No label is ever an \
account, an order or a trace. Asked for OpenMetrics (`Accept: application/openmetrics-text`), \
histograms give exemplars: the `trace_id` of the last traced value of a bucket. A histogram with \
negative edges has neither sum nor count; its last bucket is the count. The last column names the \
dashboards, then the alerts, that look at a metric.
"""


def page(used_by: Mapping[str, Sequence[str]]) -> str:
    """Return the page as the catalogue would have it.

    Args:
        used_by: the dashboards and alerts that look at a metric, by its name.
    """
    rows = [_row(metric, used_by[metric.name]) for metric in METRICS]
    labels: dict[str, list[Label]] = {}
    for metric in METRICS:
        for label in metric.labels:
            if label not in labels.setdefault(label.name, []):
                labels[label.name].append(label)
    sets = [_label_row(each) for name in sorted(labels) for each in labels[name]]
    return "\n".join(
        (
            _HEAD,
            "| Metric | Type | Unit | Labels | Meaning | Buckets | Used by |",
            "|---|---|---|---|---|---|---|",
            *rows,
            "",
            "## Label values",
            "",
            "| Label | Of | Values |",
            "|---|---|---|",
            *sets,
            "",
        )
    )


def _row(metric: Metric, users: Sequence[str]) -> str:
    labels = ", ".join(f"`{label.name}`" for label in metric.labels)
    buckets = ", ".join(f"{edge:g}" for edge in metric.buckets)
    unit = metric.unit or (
        "0 or 1" if metric.kind is Kind.GAUGE and "else 0" in metric.help else ""
    )
    return (
        f"| `{metric.name}` | {metric.kind.value} | {unit} | {labels} | {metric.help} | {buckets} "
        f"| {', '.join(users)} |"
    )


def _label_row(label: Label) -> str:
    users = ", ".join(f"`{metric.name}`" for metric in METRICS if label in metric.labels)
    if label.values is None:
        return f"| `{label.name}` | {users} | as they come, few |"
    return f"| `{label.name}` | {users} | {', '.join(f'`{value}`' for value in label.values)} |"
