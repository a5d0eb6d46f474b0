"""What every kind of panel is drawn from: its place, and what was answered to its queries."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dashboards.pictures.answers import Line, Span
from dashboards.pictures.svg import FAINT, Drawing

HEAD, RIGHT = 24.0, 10.0
"""Room for the title, and beside what is drawn."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a panel is, in pixels."""

    x: float
    y: float
    width: float
    height: float

    @property
    def right(self) -> float:
        return self.x + self.width

    @property
    def foot(self) -> float:
        return self.y + self.height


@dataclass(frozen=True, slots=True)
class Shown:
    """A panel, where it is, what was answered to its queries, and the time drawn."""

    panel: Mapping[str, Any]
    place: Place
    lines: Mapping[str, list[Line]]
    span: Span

    @property
    def defaults(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.panel["fieldConfig"]["defaults"]
        return found

    @property
    def all_lines(self) -> list[Line]:
        return [line for lines in self.lines.values() for line in lines]


def draw_nothing(drawing: Drawing, on: Shown) -> None:
    """Say what it means that there is nothing to draw."""
    place = on.place
    said = on.defaults.get("noValue", "No data")
    middle = (place.x + place.width / 2, place.y + place.height / 2 + 8)
    drawing.words(*middle, said, size=11, fill=FAINT, anchor="middle", room=place.width - 12)
