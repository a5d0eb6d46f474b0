"""Which dashboards and alerts look at a metric, for the page of metrics; and the page's command.

`python -m dashboards.metrics_page` writes `telemetry/METRICS.md`; with `--check` it only tells
whether it is up to date. An alert looks at a metric also by way of what a rule records of it.
"""

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import yaml

from dashboards.board import Board
from dashboards.files import BOARDS
from telemetry.catalogue import METRICS
from telemetry.metrics_page import PAGE, page

RULES = Path(__file__).parents[1] / "alerts" / "rules"
_WORD = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_SUFFIX = re.compile(r"_(?:bucket|sum|count)$")


def used_by() -> Mapping[str, Sequence[str]]:
    """Return, by the name of a metric, the dashboards and then the alerts that look at it."""
    users: dict[str, list[str]] = {metric.name: [] for metric in METRICS}
    for board in BOARDS:
        _enter(board.title, _words(_queries(board)), users)
    alerts = dict(_rules("alert"))
    recorded = {name: _words([query]) for name, query in _rules("record")}
    for alert in sorted(alerts):
        words = _words([alerts[alert]])
        for name in words & recorded.keys():
            words |= recorded[name]
        _enter(f"`{alert}`", words, users)
    return users


def _enter(user: str, words: set[str], users: dict[str, list[str]]) -> None:
    for word in sorted(words):
        name = word if word in users else _SUFFIX.sub("", word)
        if name in users and user not in users[name]:
            users[name].append(user)


def _words(queries: Sequence[str]) -> set[str]:
    return {word for query in queries for word in _WORD.findall(query)}


def _queries(board: Board) -> list[str]:
    panels = [placed.panel for row in board.rows for placed in row.panels]
    targets = [target for panel in panels for target in panel.targets or ()]
    return [query for target in targets if (query := getattr(target, "expr", ""))]


def _rules(kind: str) -> Iterator[tuple[str, str]]:
    """Yield the name and the expression of every rule of a kind: `alert` or `record`."""
    for path in sorted(RULES.glob("*.yml")):
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]:
            for rule in group["rules"]:
                if kind in rule:
                    yield rule[kind], rule["expr"]


def main(arguments: list[str]) -> int:
    """Write the page, or with `--check` return 1 where it is not up to date."""
    wanted = page(used_by())
    if arguments == ["--check"]:
        if PAGE.exists() and PAGE.read_text(encoding="utf-8") == wanted:
            return 0
        print(f"{PAGE} is not up to date with the catalogue: run make metrics", file=sys.stderr)
        return 1
    PAGE.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
