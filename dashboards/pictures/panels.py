"""The kinds of panel, each drawn into its place."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dashboards.pictures.answers import Line, Span
from dashboards.pictures.svg import (
    COLOURS,
    EDGE,
    FAINT,
    GREEN,
    GREY,
    LINES,
    ORANGE,
    PANEL,
    RED,
    Drawing,
    lines_of,
)
from dashboards.pictures.units import shown

_HEAD, _FOOT, _LEFT, _RIGHT = 24.0, 34.0, 58.0, 10.0
_MARKS = 4
_ROW = 17.0


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
    """A panel, where it is, what was answered to its queries, the time drawn, and the alerts."""

    panel: Mapping[str, Any]
    place: Place
    lines: Mapping[str, list[Line]]
    span: Span
    alerts: Sequence[Mapping[str, Any]]

    @property
    def defaults(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.panel["fieldConfig"]["defaults"]
        return found

    @property
    def all_lines(self) -> list[Line]:
        return [line for lines in self.lines.values() for line in lines]


def draw(drawing: Drawing, shown_panel: Shown) -> None:
    """Draw a panel: its frame, its title, and what it shows."""
    panel, place = shown_panel.panel, shown_panel.place
    drawing.box(place.x, place.y, place.width, place.height, PANEL, EDGE)
    drawing.words(place.x + 8, place.y + 16, panel["title"], room=place.width - 16)
    _KINDS[panel["type"]](drawing, shown_panel)


def _trend(drawing: Drawing, on: Shown) -> None:
    lines = [line for line in on.all_lines if any(math.isfinite(v) for _, v in line.points)]
    if not lines:
        _nothing(drawing, on)
        return
    stacked = on.defaults.get("custom", {}).get("stacking", {}).get("mode") == "normal"
    if stacked:
        lines = _piled(lines)
    values = [value for line in lines for _, value in line.points if math.isfinite(value)]
    steps = on.defaults.get("thresholds", {}).get("steps", ())
    red = steps[-1]["value"] if steps else None
    low = min(0.0, *values)
    high = max(*values, low, red * 1.05 if red is not None else low) or 1.0
    place, unit = on.place, on.defaults.get("unit", "short")
    left, right = place.x + _LEFT, place.right - _RIGHT
    top, foot = place.y + _HEAD + 6, place.foot - _FOOT

    def x(at: float) -> float:
        return left + (right - left) * (at - on.span.start) / (on.span.end - on.span.start)

    def y(value: float) -> float:
        return foot - (foot - top) * (value - low) / ((high - low) or 1)

    for mark in range(_MARKS):
        value = low + (high - low) * mark / (_MARKS - 1)
        drawing.path(((left, y(value)), (right, y(value))), EDGE)
        drawing.words(left - 6, y(value) + 3, shown(value, unit), size=9, fill=FAINT, anchor="end")
        at = on.span.start + (on.span.end - on.span.start) * mark / (_MARKS - 1)
        clock = time.strftime("%H:%M:%S", time.gmtime(at))
        anchor = "start" if not mark else "end" if mark == _MARKS - 1 else "middle"
        drawing.words(x(at), foot + 12, clock, size=9, fill=FAINT, anchor=anchor)
    below: dict[float, float] = {}
    for number, line in enumerate(lines):
        colour = LINES[number % len(LINES)]
        for run in _unbroken(line, on.span):
            points = [(x(at), y(value)) for at, value in run]
            if stacked and len(run) > 1:
                under = [(x(at), y(below.get(at, 0.0))) for at, _ in reversed(run)]
                drawing.area([*points, *under], colour)
            drawing.path(points, colour)
        if stacked:
            below |= dict(line.points)
    if red is not None:
        drawing.path(((left, y(red)), (right, y(red))), RED, dashed=True)
    _legend(drawing, on, [line.name for line in lines])


def _legend(drawing: Drawing, on: Shown, names: Sequence[str]) -> None:
    x, y = on.place.x + 10, on.place.foot - 8
    for number, name in enumerate(names):
        width = 16 + 5.6 * len(name)
        if x + width > on.place.right - 24 and number:
            drawing.words(x, y, f"+{len(names) - number}", size=10, fill=FAINT)
            return
        drawing.box(x, y - 5, 10, 3, LINES[number % len(LINES)])
        drawing.words(x + 13, y, name, size=10, fill=FAINT, room=on.place.right - x - 16)
        x += width + 8


def _piled(lines: Sequence[Line]) -> list[Line]:
    """Put each line upon those before."""
    sums: dict[float, float] = {}
    piled = []
    for line in lines:
        for at, value in line.points:
            sums[at] = sums.get(at, 0.0) + (value if math.isfinite(value) else 0.0)
        piled.append(Line(line.name, line.labels, tuple((at, sums[at]) for at, _ in line.points)))
    return piled


def _unbroken(line: Line, span: Span) -> list[list[tuple[float, float]]]:
    """Return the parts of a line without a gap."""
    runs: list[list[tuple[float, float]]] = []
    last = -math.inf
    for at, value in line.points:
        if not math.isfinite(value):
            continue
        if at - last > 1.5 * span.step_s:
            runs.append([])
        runs[-1].append((at, value))
        last = at
    return runs


def _tile(drawing: Drawing, on: Shown) -> None:
    lines = on.all_lines
    if not lines or not math.isfinite(lines[0].last):
        _nothing(drawing, on)
        return
    value = lines[0].last
    said, colour = _named(on, value)
    if not said:
        said = shown(value, on.defaults.get("unit", "short"))
        for step in on.defaults.get("thresholds", {}).get("steps", ()):
            if step["value"] is None or value >= step["value"]:
                colour = COLOURS.get(step["color"], step["color"])
    place = on.place
    drawing.box(place.x + 6, place.y + _HEAD, place.width - 12, place.height - _HEAD - 6, colour)
    middle = (place.x + place.width / 2, place.y + (place.height + _HEAD) / 2 + 6)
    drawing.words(*middle, said, size=min(26, place.width / 6), fill="#ffffff", anchor="middle")


def _states(drawing: Drawing, on: Shown) -> None:
    lines = on.all_lines
    if not lines:
        _nothing(drawing, on)
        return
    place = on.place
    left = place.x + min(180.0, place.width * 0.4)
    width = place.right - _RIGHT - left
    room = (place.height - _HEAD - 12) / len(lines)
    for number, line in enumerate(lines):
        top = place.y + _HEAD + 4 + number * room
        drawing.words(
            left - 6, top + room * 0.6, line.name, size=10, anchor="end", room=left - place.x - 8
        )
        scale = width / (on.span.end - on.span.start)
        for start, end, value in _same(line, on.span.step_s):
            x = left + scale * (start - on.span.start)
            length = min(scale * (end - start), place.right - _RIGHT - x)
            drawing.box(x, top, length, room * 0.8, _named(on, value)[1])


def _same(line: Line, step_s: float) -> Iterator[tuple[float, float, float]]:
    """Yield the times a value stayed: from, until, value."""
    start, held = line.points[0]
    last = start
    for at, value in line.points[1:]:
        if value != held or at - last > 1.5 * step_s:
            yield start, last + step_s, held
            start, held = at, value
        last = at
    yield start, last + step_s, held


def _listing(drawing: Drawing, on: Shown) -> None:
    options = on.panel["transformations"]
    by: str = options[0]["options"]["byField"]
    headings: Mapping[str, str] = options[1]["options"]["renameByName"]
    rules = {each["matcher"]["options"]: each["properties"] for each in _overrides(on)}
    cells = {
        (letter, line.labels[by]): line.last for letter, lines in on.lines.items() for line in lines
    }
    first = next(iter(on.lines))
    names = {row for _, row in cells}
    rows = sorted(names, key=lambda row: (-cells.get((first, row), 0.0), row))
    place = on.place
    width = (place.width - 16) / (len(headings) + 1)
    fitting = int((place.height - _HEAD - _ROW) / _ROW)
    drawing.words(place.x + 8, place.y + _HEAD + 12, by, size=11, fill=FAINT)
    for column, (field, heading) in enumerate(headings.items(), 1):
        x = place.x + 8 + column * width
        drawing.words(x, place.y + _HEAD + 12, heading, size=11, fill=FAINT)
        properties = {each["id"]: each["value"] for each in rules.get(heading, ())}
        for number, row in enumerate(rows[:fitting], 1):
            y = place.y + _HEAD + 12 + number * _ROW
            value = cells.get((field.removeprefix("Value #"), row), math.nan)
            steps = properties.get("thresholds", {}).get("steps", ())
            if steps and value >= steps[-1]["value"]:
                drawing.box(x - 4, y - 12, width - 6, _ROW - 2, RED)
            drawing.words(x, y, shown(value, properties.get("unit", "short")), size=11)
            drawing.words(place.x + 8, y, row, size=11)


def _overrides(on: Shown) -> Sequence[Mapping[str, Any]]:
    found: Sequence[Mapping[str, Any]] = on.panel["fieldConfig"].get("overrides", ())
    return found


def _text(drawing: Drawing, on: Shown) -> None:
    content = on.panel["options"]["content"].replace("**", "")
    for number, line in enumerate(lines_of(content, 13, on.place.width - 24)):
        drawing.words(on.place.x + 12, on.place.y + 26 + 18 * number, line, size=13)


def _alerts(drawing: Drawing, on: Shown) -> None:
    place = on.place
    found = [
        each for each in on.alerts if each["labels"].get("severity") in ("critical", "warning")
    ]
    if not found:
        drawing.words(place.x + 12, place.y + _HEAD + 18, "No alerts", fill=GREEN)
    for number, alert in enumerate(found[: int((place.height - _HEAD) / 20)]):
        labels, y = alert["labels"], place.y + _HEAD + 18 + 20 * number
        colour = RED if labels["severity"] == "critical" else ORANGE
        drawing.box(place.x + 10, y - 10, 8, 12, colour)
        said = f"{labels['alertname']} {labels.get('instance', '')} ({alert['state']})"
        drawing.words(place.x + 26, y, said, room=place.width - 34)


def _named(on: Shown, value: float) -> tuple[str, str]:
    """Return the word and the colour of a value, "" and grey for one without."""
    for mapping in on.defaults.get("mappings", ()):
        found = mapping["options"].get(f"{value:g}")
        if found is not None:
            return found["text"], COLOURS.get(found["color"], found["color"])
    return "", GREY


def _nothing(drawing: Drawing, on: Shown) -> None:
    place = on.place
    said = on.defaults.get("noValue", "No data")
    middle = (place.x + place.width / 2, place.y + place.height / 2 + 8)
    drawing.words(*middle, said, size=11, fill=FAINT, anchor="middle", room=place.width - 12)


_KINDS: Mapping[str, Callable[[Drawing, Shown], None]] = {
    "timeseries": _trend,
    "stat": _tile,
    "state-timeline": _states,
    "table": _listing,
    "text": _text,
    "alertlist": _alerts,
}
