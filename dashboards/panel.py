"""What all kinds of panel share: their queries, their room, their limits and their links.

A description is no option: what the panel shows, and what to do when it is bad. A `limit` draws the
number of an alert in red and says so in the description. `empty` is for panels without data while
all is well, and says just that.
"""

from dataclasses import dataclass

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.builders import prometheus
from grafana_foundation_sdk.models import dashboard
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from dashboards.query import Query
from telemetry.thresholds import ALERT_LIMITS, AlertLimit

DATASOURCE = dashboard.DataSourceRef(type_val="prometheus", uid="${datasource}")
KEEP_CHOICES = "${__url_time_range}&${__all_variables}"
_LIMITS = {limit.alert: limit for limit in ALERT_LIMITS}

Steps = tuple[tuple[float | None, str], ...]
Names = dict[int, tuple[str, str]]
DOWN_UP: Names = {0: ("down", "red"), 1: ("up", "green")}
NO_YES: Names = {0: ("no", "red"), 1: ("yes", "green")}


@dataclass(frozen=True, slots=True)
class Placed:
    """A panel and the room it takes: a line of a dashboard is 24 wide."""

    panel: dashboard.Panel
    width: int
    height: int


def limit_of(alert: str) -> AlertLimit:
    """Return the number an alert compares with.

    Raises:
        KeyError: the alert compares with none.
    """
    return _LIMITS[alert]


def with_limit(description: str, limit: AlertLimit | None) -> str:
    """Add to a description what is red in the panel."""
    if limit is None:
        return description
    return f"{description} Red beyond {_number(limit)}: {limit.alert} ({limit.meaning})."


def target(query: Query, letter: str, *, exemplars: bool = False) -> prometheus.Dataquery:
    """Ask for a query over the whole time shown."""
    return _ask(query, letter).range().exemplar(exemplars)


def now(query: Query, letter: str, *, as_table: bool = False) -> prometheus.Dataquery:
    """Ask for a query at the end of the time shown."""
    asked = _ask(query, letter).instant().exemplar(False)
    return asked.format(PromQueryFormat.TABLE) if as_table else asked


def letters(queries: tuple[object, ...]) -> list[str]:
    """Return what Grafana calls queries one after another: A, B, C..."""
    return [chr(ord("A") + at) for at in range(len(queries))]


def steps_of(steps: Steps) -> builders.ThresholdsConfig:
    """Return colours by the value each begins at."""
    return (
        builders.ThresholdsConfig()
        .mode(dashboard.ThresholdsMode.ABSOLUTE)
        .steps([dashboard.Threshold(value, colour) for value, colour in steps])
    )


def names_of(names: Names) -> dashboard.ValueMap:
    """Return words and colours for single values."""
    return dashboard.ValueMap(
        {
            str(value): dashboard.ValueMappingResult(text=word, color=colour, index=at)
            for at, (value, (word, colour)) in enumerate(names.items())
        }
    )


def link_to(uid: str, title: str) -> builders.DashboardLink:
    """Link to another dashboard, with the time and the variables chosen here."""
    return (
        builders.DashboardLink(title)
        .type(dashboard.DashboardLinkType.LINK)
        .url(f"/d/{uid}?{KEEP_CHOICES}")
    )


def _ask(query: Query, letter: str) -> prometheus.Dataquery:
    return (
        prometheus.Dataquery()
        .datasource(DATASOURCE)
        .expr(query.expression)
        .legend_format(query.legend)
        .ref_id(letter)
    )


def _number(limit: AlertLimit) -> str:
    match limit.unit:
        case "percentunit":
            return f"{limit.value * 100:g} %"
        case "s":
            return f"{limit.value:g} s"
        case _:
            return f"{limit.value:g}"
