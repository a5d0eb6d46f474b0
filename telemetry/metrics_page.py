"""`telemetry/METRICS.md`, the catalogue for people: written and checked from the catalogue itself.

`python -m telemetry.metrics_page` writes it; with `--check` it only tells whether it is up to date.
"""

import sys
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
negative edges has neither sum nor count; its last bucket is the count.
"""


def page() -> str:
    """Return the page as the catalogue would have it."""
    rows = [_row(metric) for metric in METRICS]
    labels: dict[str, list[Label]] = {}
    for metric in METRICS:
        for label in metric.labels:
            if label not in labels.setdefault(label.name, []):
                labels[label.name].append(label)
    sets = [_label_row(each) for name in sorted(labels) for each in labels[name]]
    return "\n".join(
        (
            _HEAD,
            "| Metric | Type | Unit | Labels | Meaning | Buckets |",
            "|---|---|---|---|---|---|",
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


def _row(metric: Metric) -> str:
    labels = ", ".join(f"`{label.name}`" for label in metric.labels)
    buckets = ", ".join(f"{edge:g}" for edge in metric.buckets)
    unit = metric.unit or (
        "0 or 1" if metric.kind is Kind.GAUGE and "else 0" in metric.help else ""
    )
    return (
        f"| `{metric.name}` | {metric.kind.value} | {unit} | {labels} | {metric.help} | {buckets} |"
    )


def _label_row(label: Label) -> str:
    users = ", ".join(f"`{metric.name}`" for metric in METRICS if label in metric.labels)
    if label.values is None:
        return f"| `{label.name}` | {users} | as they come, few |"
    return f"| `{label.name}` | {users} | {', '.join(f'`{value}`' for value in label.values)} |"


def main(arguments: list[str]) -> int:
    """Write the page, or with `--check` return 1 where it is not up to date."""
    if arguments == ["--check"]:
        if PAGE.exists() and PAGE.read_text(encoding="utf-8") == page():
            return 0
        print(f"{PAGE} is not up to date with the catalogue: run make metrics", file=sys.stderr)
        return 1
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
