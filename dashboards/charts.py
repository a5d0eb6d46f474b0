"""Panels over time: trends and states."""

from grafana_foundation_sdk.builders import common, statetimeline, timeseries
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.models import common as styles
from grafana_foundation_sdk.models import dashboard

from dashboards.panel import (
    DATASOURCE,
    Names,
    Placed,
    letters,
    names_of,
    steps_of,
    target,
    with_limit,
)
from dashboards.query import Query
from telemetry.thresholds import AlertLimit

_CALM = "transparent"


def trend(
    title: str,
    description: str,
    unit: str,
    *queries: Query,
    width: int = 8,
    height: int = 7,
    limit: AlertLimit | None = None,
    line: float | None = None,
    latency: bool = False,
    stacked: bool = False,
    logarithmic: bool = False,
    many: bool = False,
    empty: str | None = None,
) -> Placed:
    """Draw values over time.

    Args:
        limit: an alert whose number is drawn as a red line.
        line: a number to draw as a red line though no alert compares with it.
        latency: show exemplars, each of which leads to its trace.
        stacked: pile the lines up; for parts of a whole.
        many: there are so many lines that they are listed beside, the highest first.
    """
    drawn = (
        timeseries.Panel()
        .title(title)
        .description(with_limit(description, limit))
        .datasource(DATASOURCE)
        .unit(unit)
        .line_width(1)
        .fill_opacity(30 if stacked else 8)
        .show_points(styles.VisibilityMode.AUTO)
        .targets(
            [
                target(query, letter, exemplars=latency)
                for query, letter in zip(queries, letters(queries), strict=True)
            ]
        )
        .tooltip(
            common.VizTooltipOptions()
            .mode(styles.TooltipDisplayMode.MULTI)
            .sort(styles.SortOrder.DESCENDING)
        )
        .legend(_beside() if many else _below())
    )
    value = line if limit is None else limit.value
    if value is not None:
        drawn.thresholds(steps_of(((None, _CALM), (value, "red")))).thresholds_style(
            common.GraphThresholdsStyleConfig().mode(styles.GraphThresholdsStyleMode.DASHED)
        )
    if stacked:
        drawn.stacking(common.StackingConfig().mode(styles.StackingMode.NORMAL).group("A"))
    if logarithmic:
        drawn.scale_distribution(
            common.ScaleDistributionConfig().type(styles.ScaleDistribution.LOG).log(10)
        )
    if empty is not None:
        drawn.no_value(empty)
    return Placed(drawn.build(), width, height)


def states(
    title: str,
    description: str,
    *queries: Query,
    names: Names,
    width: int = 12,
    height: int = 6,
    empty: str | None = None,
) -> Placed:
    """Draw how long something was in which state; `names` are words and colours of the values."""
    drawn = (
        statetimeline.Panel()
        .title(title)
        .description(description)
        .datasource(DATASOURCE)
        .unit("none")
        .mappings([names_of(names)])
        .thresholds(steps_of(((None, "blue"),)))
        .color_scheme(builders.FieldColor().mode(dashboard.FieldColorModeId.THRESHOLDS))
        .show_value(styles.VisibilityMode.NEVER)
        .row_height(0.8)
        .targets(
            [target(query, letter) for query, letter in zip(queries, letters(queries), strict=True)]
        )
    )
    if empty is not None:
        drawn.no_value(empty)
    return Placed(drawn.build(), width, height)


def _below() -> common.VizLegendOptions:
    return (
        common.VizLegendOptions()
        .display_mode(styles.LegendDisplayMode.LIST)
        .placement(styles.LegendPlacement.BOTTOM)
        .show_legend(True)
        .calcs([])
    )


def _beside() -> common.VizLegendOptions:
    return (
        common.VizLegendOptions()
        .display_mode(styles.LegendDisplayMode.TABLE)
        .placement(styles.LegendPlacement.RIGHT)
        .show_legend(True)
        .calcs(["max"])
        .sort_by("Max")
        .sort_desc(True)
    )
