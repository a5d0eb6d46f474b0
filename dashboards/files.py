"""All dashboards, and the files made of them."""

import sys
from pathlib import Path

from dashboards import (
    accounts,
    loops,
    market_data,
    orders,
    overview,
    postgresql,
    process,
    redis,
    shards,
)

FOLDER = Path(__file__).with_name("generated")
BOARDS = tuple(
    each.BOARD
    for each in (
        *(overview, shards, market_data, orders, accounts),
        *(postgresql, redis, loops, process),
    )
)


def wanted() -> dict[Path, str]:
    """Return every file and its text."""
    return {FOLDER / f"{board.uid}.json": board.encode() for board in BOARDS}


def main(arguments: list[str]) -> int:
    """Write the files, or with `--check` return 1 where they are not up to date."""
    files = wanted()
    present = {path: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.json")}
    if arguments == ["--check"]:
        stale = sorted(
            path.name for path in files.keys() | present if files.get(path) != present.get(path)
        )
        if stale:
            print(f"not up to date: {', '.join(stale)}: run make dashboards", file=sys.stderr)
        return 1 if stale else 0
    FOLDER.mkdir(exist_ok=True)
    for path in present.keys() - files:
        path.unlink()
    for path, text in files.items():
        path.write_text(text, encoding="utf-8")
    return 0
