"""Values over time: lines, piled up or not, with a red one where a limit is."""

import math
import time
from collections.abc import Sequence

from dashboards.pictures.answers import Line, Span
from dashboards.pictures.frame import HEAD, RIGHT, Shown, draw_nothing
from dashboards.pictures.svg import EDGE, FAINT, LINES, RED, Drawing
from dashboards.pictures.units import shown

_FOOT, _LEFT = 34.0, 58.0
_MARKS = 4


def draw_trend(drawing: Drawing, on: Shown) -> None:
    """Draw the lines of a panel with its axes and its legend."""
    lines = [line for line in on.all_lines if any(math.isfinite(v) for _, v in line.points)]
    if not lines:
        draw_nothing(drawing, on)
        return
    if on.panel.get("options", {}).get("legend", {}).get("sortDesc"):
        lines.sort(key=_highest, reverse=True)
    stacked = on.defaults.get("custom", {}).get("stacking", {}).get("mode") == "normal"
    if stacked:
        lines = _piled(lines)
    values = [value for line in lines for _, value in line.points if math.isfinite(value)]
    steps = on.defaults.get("thresholds", {}).get("steps", ())
    red = steps[-1]["value"] if steps else None
    low = min(0.0, *values)
    high = max(*values, low, red * 1.05 if red is not None else low) or 1.0
    place, unit = on.place, on.defaults.get("unit", "short")
    left, right = place.x + _LEFT, place.right - RIGHT
    top, foot = place.y + HEAD + 6, place.foot - _FOOT

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


def _highest(line: Line) -> float:
    return max((value for _, value in line.points if math.isfinite(value)), default=0.0)


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
