"""Panels of the present: tiles, listings, the alerts that fire, and texts."""

from dataclasses import dataclass

from grafana_foundation_sdk.builders import common, stat, table, text
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.models import common as styles
from grafana_foundation_sdk.models import dashboard
from grafana_foundation_sdk.models import text as texts

from dashboards.panel import (
    DATASOURCE,
    Names,
    Placed,
    Steps,
    letters,
    link_to,
    names_of,
    now,
    steps_of,
    with_limit,
)
from dashboards.query import Query
from telemetry.thresholds import AlertLimit


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a listing: red from `red` on."""

    heading: str
    expression: str
    unit: str
    red: float | None = None


def tile(
    title: str,
    description: str,
    unit: str,
    query: Query,
    *,
    steps: Steps = ((None, "blue"),),
    names: Names | None = None,
    limit: AlertLimit | None = None,
    more: str | None = None,
    width: int = 4,
    height: int = 4,
    empty: str | None = None,
) -> Placed:
    """Show what a value is now, coloured by steps: each colour begins at its value.

    Args:
        names: words and colours for single values.
        limit: an alert from whose number on the tile is red; before, it is green.
        more: the UID of the dashboard that tells more.
    """
    if limit is not None:
        steps = ((None, "green"), (limit.value, "red"))
    drawn = (
        stat.Panel()
        .title(title)
        .description(with_limit(description, limit))
        .datasource(DATASOURCE)
        .unit(unit)
        .thresholds(steps_of(steps))
        .color_mode(styles.BigValueColorMode.BACKGROUND)
        .graph_mode(styles.BigValueGraphMode.NONE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .targets([now(query, "A")])
    )
    if names is not None:
        drawn.mappings([names_of(names)])
    if more is not None:
        drawn.links([link_to(more, "More")])
    if empty is not None:
        drawn.no_value(empty)
    return Placed(drawn.build(), width, height)


def listing(
    title: str,
    description: str,
    row: str,
    *columns: Column,
    width: int = 24,
    height: int = 9,
    empty: str | None = None,
) -> Placed:
    """Show a row for each value of a label, `row`, as it is now: the most of the first on top."""
    drawn = table.Panel().title(title).description(description).datasource(DATASOURCE).unit("short")
    names = letters(columns)
    drawn.targets(
        [
            now(Query(column.expression, ""), name, as_table=True)
            for column, name in zip(columns, names, strict=True)
        ]
    )
    times = ("Time", *(f"Time {at + 1}" for at in range(len(columns))))
    headings = {f"Value #{name}": each.heading for name, each in zip(names, columns, strict=True)}
    drawn.transformations(
        [
            dashboard.DataTransformerConfig(
                "joinByField", options={"byField": row, "mode": "outer"}
            ),
            dashboard.DataTransformerConfig(
                "organize",
                options={
                    "excludeByName": dict.fromkeys(times, True),
                    "indexByName": {},
                    "renameByName": headings,
                },
            ),
        ]
    )
    for column in columns:
        drawn.override_by_name(column.heading, _properties(column))
    if empty is not None:
        drawn.no_value(empty)
    panel = drawn.build()
    # The SDK's own would have a footer, which Grafana has done away with since.
    panel.options = {"sortBy": [{"displayName": columns[0].heading, "desc": True}]}
    return Placed(panel, width, height)


def alerts(
    title: str,
    description: str,
    *,
    named: str = "Tapewatch.*",
    width: int = 8,
    height: int = 8,
) -> Placed:
    """List the alerts that fire or are about to, the worst first.

    Args:
        named: only those whose names match this regular expression.
    """
    drawn = (
        builders.Panel()
        .type("alertlist")
        .title(title)
        .description(description)
        .options(
            {
                "alertName": "",
                "alertInstanceLabelFilter": (
                    f'{{alertname=~"{named}", severity=~"critical|warning"}}'
                ),
                "dashboardAlerts": False,
                "groupBy": [],
                "groupMode": "default",
                "maxItems": 30,
                "sortOrder": 3,
                "stateFilter": {
                    "error": True,
                    "firing": True,
                    "noData": False,
                    "normal": False,
                    "pending": True,
                },
                "viewMode": "list",
            }
        )
    )
    return Placed(drawn.build(), width, height)


def note(title: str, content: str, *, width: int = 24, height: int = 3) -> Placed:
    """Write a text, in Markdown."""
    drawn = (
        text.Panel()
        .title(title)
        .description("What this dashboard is for, and where to begin.")
        .mode(texts.TextMode.MARKDOWN)
        .content(content)
    )
    return Placed(drawn.build(), width, height)


def _properties(column: Column) -> list[dashboard.DynamicConfigValue]:
    unit = dashboard.DynamicConfigValue("unit", column.unit)
    if column.red is None:
        return [unit]
    steps = steps_of(((None, "transparent"), (column.red, "red"))).build()
    return [
        unit,
        dashboard.DynamicConfigValue("thresholds", steps),
        dashboard.DynamicConfigValue("custom.cellOptions", {"type": "color-background"}),
    ]
