"""The kinds of panel, each drawn into its place."""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from dashboards.pictures.answers import Line
from dashboards.pictures.frame import HEAD, RIGHT, Shown, draw_nothing
from dashboards.pictures.svg import (
    COLOURS,
    EDGE,
    FAINT,
    GREEN,
    GREY,
    ORANGE,
    PANEL,
    RED,
    Drawing,
    lines_of,
)
from dashboards.pictures.trend import draw_trend
from dashboards.pictures.units import shown

_ROW = 17.0
_ALERT = ("severity", "alertname", "instance", "alertstate")


def draw(drawing: Drawing, shown_panel: Shown) -> None:
    """Draw a panel: its frame, its title, and what it shows."""
    panel, place = shown_panel.panel, shown_panel.place
    drawing.box(place.x, place.y, place.width, place.height, PANEL, EDGE)
    drawing.words(place.x + 8, place.y + 16, panel["title"], room=place.width - 16)
    _KINDS[panel["type"]](drawing, shown_panel)


def _tile(drawing: Drawing, on: Shown) -> None:
    lines = on.all_lines
    if not lines or not math.isfinite(lines[0].last):
        draw_nothing(drawing, on)
        return
    value = lines[0].last
    said, colour = _named(on, value)
    if not said:
        said = shown(value, on.defaults.get("unit", "short"))
        for step in on.defaults.get("thresholds", {}).get("steps", ()):
            if step["value"] is None or value >= step["value"]:
                colour = COLOURS.get(step["color"], step["color"])
    place = on.place
    drawing.box(place.x + 6, place.y + HEAD, place.width - 12, place.height - HEAD - 6, colour)
    middle = (place.x + place.width / 2, place.y + (place.height + HEAD) / 2 + 6)
    drawing.words(*middle, said, size=min(26, place.width / 6), fill="#ffffff", anchor="middle")


def _states(drawing: Drawing, on: Shown) -> None:
    lines = on.all_lines
    if not lines:
        draw_nothing(drawing, on)
        return
    place = on.place
    left = place.x + min(180.0, place.width * 0.4)
    width = place.right - RIGHT - left
    room = (place.height - HEAD - 12) / len(lines)
    for number, line in enumerate(lines):
        top = place.y + HEAD + 4 + number * room
        drawing.words(
            left - 6, top + room * 0.6, line.name, size=10, anchor="end", room=left - place.x - 8
        )
        scale = width / (on.span.end - on.span.start)
        for start, end, value in _same(line, on.span.step_s):
            x = left + scale * (start - on.span.start)
            length = min(scale * (end - start), place.right - RIGHT - x)
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
    fitting = int((place.height - HEAD - _ROW) / _ROW)
    drawing.words(place.x + 8, place.y + HEAD + 12, by, size=11, fill=FAINT)
    for column, (field, heading) in enumerate(headings.items(), 1):
        x = place.x + 8 + column * width
        drawing.words(x, place.y + HEAD + 12, heading, size=11, fill=FAINT)
        properties = {each["id"]: each["value"] for each in rules.get(heading, ())}
        for number, row in enumerate(rows[:fitting], 1):
            y = place.y + HEAD + 12 + number * _ROW
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
    """List alerts of a name and an instance as one, those that are critical first."""
    place = on.place
    found = Counter(tuple(line.labels.get(name, "") for name in _ALERT) for line in on.all_lines)
    if not found:
        drawing.words(place.x + 12, place.y + HEAD + 18, "No alerts", fill=GREEN)
    fitting = int((place.height - HEAD) / 20)
    for number, alert in enumerate(sorted(found)[:fitting]):
        severity, name, instance, state = alert
        y = place.y + HEAD + 18 + 20 * number
        colour = RED if severity == "critical" else ORANGE
        drawing.box(place.x + 10, y - 10, 8, 12, colour if state == "firing" else GREY)
        times = f" ×{found[alert]}" if found[alert] > 1 else ""
        said = f"{name}{times} {instance} ({state})"
        drawing.words(place.x + 26, y, said, room=place.width - 34)


def _named(on: Shown, value: float) -> tuple[str, str]:
    """Return the word and the colour of a value, "" and grey for one without."""
    for mapping in on.defaults.get("mappings", ()):
        found = mapping["options"].get(f"{value:g}")
        if found is not None:
            return found["text"], COLOURS.get(found["color"], found["color"])
    return "", GREY


_KINDS: Mapping[str, Callable[[Drawing, Shown], None]] = {
    "timeseries": draw_trend,
    "stat": _tile,
    "state-timeline": _states,
    "table": _listing,
    "text": _text,
    "alertlist": _alerts,
}
