"""The process, its event loop, and what telemetry itself loses."""

from dashboards import uids
from dashboards.board import Board, Row
from dashboards.tiles import note

BOARD = Board(
    uids.PROCESS,
    "Telemetry and process",
    "The process, its event loop, and what telemetry itself loses.",
    (
        Row(
            "Where to begin",
            (note("", "The process, its event loop, and what telemetry itself loses."),),
        ),
    ),
)
