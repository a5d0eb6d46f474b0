"""What fires, how fast it is committed, at what price, how it is written."""

from dashboards import uids
from dashboards.board import Board, Row
from dashboards.tiles import note

BOARD = Board(
    uids.ORDERS,
    "Orders and triggers",
    "What fires, how fast it is committed, at what price, how it is written.",
    (
        Row(
            "Where to begin",
            (
                note(
                    "",
                    "What fires, how fast it is committed, at what price, how it is written.",
                ),
            ),
        ),
    ),
)
