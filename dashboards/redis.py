"""The cache, its memory, and the events that go through it."""

from dashboards import uids
from dashboards.board import Board, Row
from dashboards.tiles import note

BOARD = Board(
    uids.REDIS,
    "Redis",
    "The cache, its memory, and the events that go through it.",
    (
        Row(
            "Where to begin",
            (note("", "The cache, its memory, and the events that go through it."),),
        ),
    ),
)
