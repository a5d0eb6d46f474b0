"""What is drawn, piece by piece, as SVG. Lengths are pixels, from the top left."""

from collections.abc import Sequence
from xml.sax.saxutils import escape, quoteattr

BACKGROUND, PANEL, EDGE = "#111217", "#181b1f", "#2c3235"
TEXT, FAINT = "#ccccdc", "#8e8e9a"
GREEN, RED, ORANGE, BLUE, GREY = "#56a64b", "#e02f44", "#ff780a", "#3274d9", "#6e7681"
COLOURS = {"green": GREEN, "red": RED, "orange": ORANGE, "blue": BLUE}
LINES = (
    *("#73bf69", "#f2cc0c", "#5794f2", "#ff9830", "#b877d9", "#8ab8ff"),
    *("#ff7383", "#96d98d", "#ffee52", "#ffb357", "#ca95e5", "#37872d"),
)
_LETTER = 0.56
"""Width of a letter, as a share of its height, about."""


class Drawing:
    """A picture in the making."""

    def __init__(self, width: float, height: float) -> None:
        self._width = width
        self._height = height
        self._parts: list[str] = []

    def box(
        self, x: float, y: float, width: float, height: float, fill: str, edge: str = "none"
    ) -> None:
        self._parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0):.1f}" '
            f'height="{max(height, 0):.1f}" rx="2" fill={quoteattr(fill)} stroke="{edge}"/>'
        )

    def words(
        self,
        x: float,
        y: float,
        said: str,
        *,
        size: float = 12,
        fill: str = TEXT,
        anchor: str = "start",
        room: float | None = None,
    ) -> None:
        """Write a line of text whose foot is at `y`, cut to the room it has."""
        if room is not None:
            said = cut(said, size, room)
        self._parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size:g}" fill="{fill}" '
            f'text-anchor="{anchor}">{escape(said)}</text>'
        )

    def path(
        self, points: Sequence[tuple[float, float]], stroke: str, *, dashed: bool = False
    ) -> None:
        """Draw a line through points; a single one is a dot."""
        if len(points) == 1:
            x, y = points[0]
            self._parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="1.5" fill="{stroke}"/>')
            return
        run = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        dashes = ' stroke-dasharray="6 4"' if dashed else ""
        self._parts.append(
            f'<polyline points="{run}" fill="none" stroke="{stroke}" stroke-width="1.3"{dashes}/>'
        )

    def area(self, points: Sequence[tuple[float, float]], fill: str) -> None:
        run = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self._parts.append(f'<polygon points="{run}" fill="{fill}" fill-opacity="0.25"/>')

    def text(self) -> str:
        """Return the picture."""
        size = f'width="{self._width:g}" height="{self._height:g}"'
        frame = f'viewBox="0 0 {self._width:g} {self._height:g}"'
        return "\n".join(
            (
                f'<svg xmlns="http://www.w3.org/2000/svg" {size} {frame} '
                'font-family="Inter, Helvetica, Arial, sans-serif">',
                f'<rect width="100%" height="100%" fill="{BACKGROUND}"/>',
                *self._parts,
                "</svg>\n",
            )
        )


def cut(said: str, size: float, room: float) -> str:
    """Return as much of a text as fits, about."""
    letters = int(room / (size * _LETTER))
    return said if len(said) <= letters else said[: max(letters - 1, 0)] + "…"


def lines_of(said: str, size: float, room: float) -> list[str]:
    """Break a text into lines that fit, about."""
    letters = int(room / (size * _LETTER))
    lines = [""]
    for word in said.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > letters:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".lstrip()
    return lines
