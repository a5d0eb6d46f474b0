"""Calls to the database, its pool, and what fails."""

from dashboards import uids
from dashboards.board import Board, Row
from dashboards.tiles import note

BOARD = Board(
    uids.POSTGRESQL,
    "PostgreSQL",
    "Calls to the database, its pool, and what fails.",
    (Row("Where to begin", (note("", "Calls to the database, its pool, and what fails."),)),),
)
