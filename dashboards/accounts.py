"""Margin, stop-outs, swaps, and whether the books agree."""

from dashboards import uids
from dashboards.board import Board, Row
from dashboards.tiles import note

BOARD = Board(
    uids.ACCOUNTS,
    "Accounts and risk",
    "Margin, stop-outs, swaps, and whether the books agree.",
    (Row("Where to begin", (note("", "Margin, stop-outs, swaps, and whether the books agree."),)),),
)
