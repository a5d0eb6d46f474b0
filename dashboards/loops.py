"""The background loops: do they run, in time, and do they recover."""

from dashboards import uids
from dashboards.board import Board, Row
from dashboards.tiles import note

BOARD = Board(
    uids.LOOPS,
    "Loops",
    "The background loops: do they run, in time, and do they recover.",
    (
        Row(
            "Where to begin",
            (note("", "The background loops: do they run, in time, and do they recover."),),
        ),
    ),
)
