"""Columns for a terminal."""

from collections.abc import Sequence


def text_table(rows: Sequence[Sequence[str]], alignments: str) -> str:
    """Return rows in columns, each aligned as its letter says: `<` left, `>` right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    columns = list(zip(alignments, widths, strict=bool(rows)))
    lines = (
        "  "
        + "  ".join(
            f"{cell:{side}{width}}" for cell, (side, width) in zip(row, columns, strict=True)
        )
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)
