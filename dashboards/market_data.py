"""Do quotes come, are they good, and do clients get them."""

from dashboards import uids
from dashboards.board import Board, Row
from dashboards.tiles import note

BOARD = Board(
    uids.MARKET_DATA,
    "Market data and WebSocket",
    "Do quotes come, are they good, and do clients get them.",
    (
        Row(
            "Where to begin", (note("", "Do quotes come, are they good, and do clients get them."),)
        ),
    ),
)
