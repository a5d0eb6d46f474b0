"""A scenario folder, read and checked as a whole: a folder with a fault loads nothing.

Files: symbols.csv, groups.csv, group_symbols.csv, accounts.csv, orders.csv, and ticks.csv where the
scenario brings its own ticks. All faults are reported together. Money is USD.
"""

from dataclasses import dataclass
from pathlib import Path

from service.domain.instrument import Group, GroupSymbol, Symbol
from service.scenario.fault import Faults
from service.scenario.order_lines import Settings
from service.scenario.orders import OrderFile, check_orders
from service.scenario.settings import (
    ScenarioAccount,
    read_accounts,
    read_groups,
    read_symbols,
    read_terms,
)
from service.scenario.ticks import check_ticks

DEMO_FOLDER = Path(__file__).with_name("demo")


@dataclass(frozen=True, slots=True)
class Scenario:
    """A scenario without fault. Everything in file order; `ticks` is the path of its ticks.csv."""

    symbols: tuple[Symbol, ...]
    groups: tuple[Group, ...]
    group_symbols: tuple[GroupSymbol, ...]
    accounts: tuple[ScenarioAccount, ...]
    orders: OrderFile
    ticks: Path | None


def read_scenario(folder: Path) -> Scenario:
    """Read and check a scenario folder.

    Raises:
        ScenarioError: it has faults; the first hundred are named.
    """
    faults = Faults()
    if not folder.is_dir():
        faults.add(folder, 1, "", "must be a folder with the files of a scenario")
        faults.check()
    symbols = read_symbols(folder / "symbols.csv", faults)
    groups = read_groups(folder / "groups.csv", faults)
    faults.check_whole()
    terms = read_terms(folder / "group_symbols.csv", symbols, groups, faults)
    accounts = read_accounts(folder / "accounts.csv", groups, faults)
    faults.check_whole()
    orders = check_orders(folder / "orders.csv", Settings(symbols, groups, terms, accounts), faults)
    faults.check()
    usable = {name: symbol for name, symbol in symbols.items() if symbol is not None}
    ticks = folder / "ticks.csv"
    has_ticks = ticks.exists()
    if has_ticks:
        check_ticks(ticks, usable, faults)
        faults.check()
    return Scenario(
        symbols=tuple(usable.values()),
        groups=tuple(group for group in groups.values() if group is not None),
        group_symbols=tuple(settings for settings in terms.values() if settings is not None),
        accounts=tuple(account for account in accounts.values() if account is not None),
        orders=orders,
        ticks=ticks if has_ticks else None,
    )
