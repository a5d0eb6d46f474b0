"""The README says what is there: calls, columns, summary fields and targets."""

import re
from pathlib import Path

from service.api.gateway import ROUTES
from service.scenario.order_lines import ORDER_COLUMNS, ORDER_OPTIONS
from service.scenario.settings import (
    ACCOUNT_COLUMNS,
    GROUP_COLUMNS,
    GROUP_OPTIONS,
    SYMBOL_COLUMNS,
    SYMBOL_OPTIONS,
    TERMS_COLUMNS,
)
from service.scenario.ticks import TICK_COLUMNS
from service.storage.replays import DEAL_COLUMNS

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_columns_of_every_scenario_file_are_told_in_order() -> None:
    for file, columns in (
        ("symbols.csv", SYMBOL_COLUMNS + SYMBOL_OPTIONS),
        ("groups.csv", GROUP_COLUMNS + GROUP_OPTIONS),
        ("group_symbols.csv", TERMS_COLUMNS),
        ("accounts.csv", ACCOUNT_COLUMNS),
        ("orders.csv", ORDER_COLUMNS + ORDER_OPTIONS),
        ("ticks.csv", TICK_COLUMNS),
    ):
        row = next(line for line in TEXT.splitlines() if line.startswith(f"| `{file}`"))
        names = re.findall(r"`(\w+)`", row.split("|")[2])
        assert tuple(names) == tuple(columns), file


def test_the_columns_of_a_deals_file_are_told_in_order() -> None:
    line = next(line for line in TEXT.splitlines() if "Deals are CSV" in line)
    assert tuple(re.findall(r"`(\w+)`", line)) == DEAL_COLUMNS


def test_every_call_of_a_trader_is_told() -> None:
    for route in ROUTES:
        if "/admin/" not in route.path:
            assert f"`{route.method} {route.path}`" in TEXT
        else:
            family = f"`{'/'.join(route.path.split('/')[:5])}`"
            assert family in TEXT or f"`{route.method} {route.path}`" in TEXT


def test_every_path_it_names_exists() -> None:
    layout = TEXT.partition("## Layout")[2].partition("## Licence")[0]
    rows = [line.split("|")[1] for line in layout.splitlines() if line.startswith("| `")]
    paths = [path for row in rows for path in re.findall(r"`([^`]+)`", row)]
    assert paths
    for path in paths:
        assert (ROOT / path).exists(), path


def test_every_target_it_names_is_in_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^(\w+):", makefile, re.MULTILINE))
    assert set(re.findall(r"(?:`|^)make (\w+)", TEXT, re.MULTILINE)) <= targets


def test_every_dashboard_is_told() -> None:
    for path in (ROOT / "dashboards" / "generated").glob("*.json"):
        assert f"| `{path.stem}` |" in TEXT


def test_its_links_lead_somewhere() -> None:
    for link in re.findall(r"\]\(([^)#:\s]+)", TEXT):
        assert (ROOT / link).exists(), link
