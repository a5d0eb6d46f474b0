"""The orders of a scenario, streamed from orders.csv.

A first pass checks every line and counts; `placed_at` reads again and yields what is to be stored,
with its triggers, so that a million orders never stand in memory together. Order ids are 1, 2, ...
in file order.
"""

from collections.abc import Iterator
from pathlib import Path

from service.domain.account import Account
from service.domain.desk import Desk
from service.domain.order import Order, OrderState
from service.domain.record import order_state
from service.scenario.fault import Faults
from service.scenario.order_lines import OrderLines, Settings


class OrderFile:
    """The checked orders of a scenario; the file must stay as it was."""

    def __init__(self, path: Path, settings: Settings, count: int) -> None:
        self._path = path
        self._settings = settings
        self._count = count

    def __len__(self) -> int:
        return self._count

    def placed_at(self, time: int) -> Iterator[OrderState]:
        """Yield every order as placed at `time` (ns UTC): PENDING, its trigger normalised.

        Raises:
            ScenarioError: the file has changed since it was checked, and is at fault now.
        """
        desk, accounts = Desk(), {}
        symbols, groups, terms, account_rows = self._settings
        for symbol in symbols.values():
            if symbol is not None:
                desk.set_symbol(symbol)
        for group in groups.values():
            if group is not None:
                desk.set_group(group)
        for settings in terms.values():
            if settings is not None:
                desk.set_terms(settings)
        for row in account_rows.values():
            if row is not None:
                accounts[row.account_id] = Account(
                    row.account_id, row.user_type, desk.groups[row.group], row.leverage, row.balance
                )
        faults = Faults()
        lines = OrderLines(self._path, self._settings, faults, seen=None)
        for order_id, line in enumerate(lines.read(), 1):
            order = Order(
                order_id,
                accounts[line.account.account_id],
                desk.terms[line.account.group, line.symbol.name],
                line.order_type,
                line.volume,
                line.price,
                line.stop_loss,
                line.take_profit,
                line.client_order_id,
                time,
                line.limit_price,
                line.trailing_distance,
                None if line.expiry is None else line.expiry.at(time),
            )
            desk.set_triggers(order)
            yield order_state(order, None)
        faults.check()


def check_orders(path: Path, settings: Settings, faults: Faults) -> OrderFile:
    """Check every line of orders.csv, noting what is wrong."""
    count = 0
    for _ in OrderLines(path, settings, faults, seen=set()).read():
        count += 1
    return OrderFile(path, settings, count)
