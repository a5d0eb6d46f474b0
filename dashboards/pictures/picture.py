"""A whole dashboard as a picture."""

import time
from collections.abc import Mapping
from typing import Any

from dashboards.pictures.answers import Answers, Span, targets_of
from dashboards.pictures.frame import Place, Shown
from dashboards.pictures.panels import draw
from dashboards.pictures.svg import FAINT, Drawing

COLUMN, LINE, GAP, TOP = 58.0, 30.0, 6.0, 46.0
NOTICE = "Drawn by Tapewatch from Prometheus; not Grafana"


def picture(
    dashboard: Mapping[str, Any],
    answers: Answers,
    span: Span,
) -> str:
    """Return a dashboard as SVG, with what was answered to its queries."""
    panels = dashboard["panels"]
    lines = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels)
    width = 24 * COLUMN + GAP
    drawing = Drawing(width, TOP + lines * LINE + GAP)
    drawing.words(GAP + 4, 28, dashboard["title"], size=18)
    first, last = (time.strftime("%F %T", time.gmtime(at)) for at in (span.start, span.end))
    said = f"{NOTICE}. {first} to {last} UTC"
    drawing.words(width - GAP - 4, 28, said, fill=FAINT, anchor="end")
    for panel in panels:
        place = _place(panel["gridPos"])
        if panel["type"] == "row":
            drawing.words(place.x, place.y + 20, f"▾ {panel['title']}", size=15)
            continue
        lines_by = {
            target["refId"]: answers.get((panel["id"], target["refId"]), [])
            for target in targets_of(panel)
        }
        draw(drawing, Shown(panel, place, lines_by, span))
    return drawing.text()


def _place(grid: Mapping[str, int]) -> Place:
    return Place(
        x=GAP + grid["x"] * COLUMN,
        y=TOP + grid["y"] * LINE,
        width=grid["w"] * COLUMN - GAP,
        height=grid["h"] * LINE - GAP,
    )
