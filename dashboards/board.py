"""A dashboard: its variables, annotations and links, which all have in common, and its rows.

Panels are put side by side, 24 to a line; a line must be full, so that nothing is out of place.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard

from dashboards import outside
from dashboards.panel import DATASOURCE, Placed
from telemetry import catalogue
from telemetry.catalogue import Metric

LINE_WIDTH = 24
TAG = "tapewatch"
_ALL = dashboard.VariableOption(text="All", value="$__all", selected=True)


@dataclass(frozen=True, slots=True)
class Row:
    """A heading, and what stands below it."""

    title: str
    panels: Sequence[Placed]


@dataclass(frozen=True, slots=True)
class Board:
    """A dashboard as declared.

    Args:
        jobs_by: the gauge whose jobs may be chosen: all that export it.
    """

    uid: str
    title: str
    description: str
    rows: Sequence[Row]
    jobs_by: Metric = catalogue.ROLE

    def build(self) -> dashboard.Dashboard:
        """Return it as Grafana takes it.

        Raises:
            ValueError: a line is not 24 wide.
        """
        built = (
            builders.Dashboard(f"Tapewatch / {self.title}")
            .uid(self.uid)
            .description(self.description)
            .tags([TAG])
            .readonly()
            .tooltip(dashboard.DashboardCursorSync.CROSSHAIR)
            .time("now-1h", "now")
            .refresh("30s")
            .link(_other_dashboards())
            .build()
        )
        built.annotations = dashboard.AnnotationContainer(list_val=list(_annotations()))
        built.panels = _lay_out(self.rows)
        built.templating = dashboard.DashboardDashboardTemplating(_variables(self.jobs_by))
        return built

    def encode(self) -> str:
        """Return it as the text of its file."""
        return JSONEncoder(sort_keys=True, indent=2, ensure_ascii=False).encode(self.build()) + "\n"


class _Annotation(dashboard.AnnotationQuery):
    """Marks on the time axis from Prometheus, with the fields its plug-in reads."""

    def __init__(self, name: str, expression: str, colour: str, **fields: str) -> None:
        super().__init__(
            name=name, datasource=DATASOURCE, icon_color=colour, expr=expression, built_in=0
        )
        self.fields = fields

    def to_json(self) -> dict[str, object]:
        return {**super().to_json(), **self.fields}


def _annotations() -> Sequence[dashboard.AnnotationQuery]:
    # An alert of a whole job has no instance.
    alerts = (
        f'{outside.ALERTS.name}{{alertstate="firing", severity=~"critical|warning", '
        f'job=~"$job", instance=~"$instance|"}}'
    )
    starts = f'{catalogue.PROCESS_START.name}{{job=~"$job", instance=~"$instance"}} * 1000'
    return (
        _Annotation(
            "Alerts",
            alerts,
            "red",
            titleFormat="{{alertname}}",
            textFormat="{{severity}} {{instance}}",
            tagKeys="severity",
            step="15s",
        ),
        _Annotation(
            "Starts and deployments",
            starts,
            "blue",
            titleFormat="Started",
            textFormat="{{job}} {{instance}}",
            useValueForTime="on",
            step="60s",
        ),
    )


def _variables(jobs_by: Metric) -> list[dashboard.VariableModel]:
    source = (
        builders.DatasourceVariable("datasource")
        .label("Data source")
        .type("prometheus")
        .include_all(False)
        .multi(False)
    )
    chosen: tuple[Builder[dashboard.VariableModel], ...] = (
        source,
        _choice("job", "Job", f"label_values({jobs_by.name}, job)"),
        _choice("instance", "Instance", f'label_values({jobs_by.name}{{job=~"$job"}}, instance)'),
    )
    return [_plain(builder.build()) for builder in chosen]


def _plain(variable: dashboard.VariableModel) -> dashboard.VariableModel:
    """Leave out what the SDK gives every variable though only one of intervals has it."""
    variable.auto = variable.auto_min = variable.auto_count = None
    return variable


def _choice(name: str, label: str, query: str) -> builders.QueryVariable:
    return (
        builders.QueryVariable(name)
        .label(label)
        .datasource(DATASOURCE)
        .query(query)
        .multi(True)
        .include_all(True)
        .all_value(".+")
        .current(_ALL)
        .refresh(dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(dashboard.VariableSort.ALPHABETICAL_ASC)
    )


def _other_dashboards() -> builders.DashboardLink:
    return (
        builders.DashboardLink("Dashboards")
        .type(dashboard.DashboardLinkType.DASHBOARDS)
        .icon("external link")
        .url("")
        .tooltip("The other dashboards, at the same time and for the same instances")
        .tags([TAG])
        .as_dropdown(True)
        .include_vars(True)
        .keep_time(True)
    )


def _lay_out(rows: Sequence[Row]) -> list[dashboard.Panel | dashboard.RowPanel]:
    panels: list[dashboard.Panel | dashboard.RowPanel] = []
    top = 0
    for row in rows:
        heading = builders.Row(row.title).id(len(panels) + 1).collapsed(False).build()
        heading.grid_pos = dashboard.GridPos(h=1, w=LINE_WIDTH, x=0, y=top)
        panels.append(heading)
        top += 1
        left = height = 0
        for placed in row.panels:
            panel = placed.panel
            panel.id_val = len(panels) + 1
            panel.grid_pos = dashboard.GridPos(h=placed.height, w=placed.width, x=left, y=top)
            panels.append(panel)
            left += placed.width
            height = max(height, placed.height)
            if left > LINE_WIDTH:
                raise ValueError(f"{row.title}: {panel.title} does not fit into its line")
            if left == LINE_WIDTH:
                left, top, height = 0, top + height, 0
        if left:
            raise ValueError(f"{row.title}: its last line is only {left} of {LINE_WIDTH} wide")
    return panels
