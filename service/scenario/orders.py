"""The orders of a scenario, streamed from orders.csv.

A first pass checks every line and counts; `placed_at` reads again and yields what is to be stored,
with its triggers, so that a million orders never stand in memory together. Order ids are 1, 2, ...
in file order. Numbers are read once for each different text.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from service.domain.account import Account
from service.domain.checks import check_protection, check_volume
from service.domain.dealing import order_state
from service.domain.desk import Desk
from service.domain.instrument import Group, GroupSymbol, Symbol
from service.domain.money import VOLUME_DIGITS, ScaleError
from service.domain.order import Order, OrderKind, OrderState, OrderType
from service.domain.rejection import Rejected
from service.scenario.decimals import read_scaled
from service.scenario.fault import Faults
from service.scenario.settings import ScenarioAccount
from service.scenario.table import read_rows

ORDER_COLUMNS = (
    "client_order_id",
    "account_id",
    "symbol",
    "type",
    "volume",
    "price",
    "stop_loss",
    "take_profit",
)
MAX_CLIENT_ORDER_ID = 128
_MAX_REMEMBERED = 100_000
_TYPES = {str(order_type): order_type for order_type in OrderType}


class Settings(NamedTuple):
    """What orders may refer to, by key; None: declared on a line that is at fault."""

    symbols: Mapping[str, Symbol | None]
    groups: Mapping[str, Group | None]
    terms: Mapping[tuple[str, str], GroupSymbol | None]
    accounts: Mapping[int, ScenarioAccount | None]


class _Line(NamedTuple):
    client_order_id: str | None
    account: ScenarioAccount
    symbol: Symbol
    order_type: OrderType
    volume: int
    price: int | None
    stop_loss: int | None
    take_profit: int | None


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
        for order_id, line in enumerate(_read_lines(self._path, self._settings, faults), 1):
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
            )
            desk.set_triggers(order)
            yield order_state(order, None)
        faults.check()


def check_orders(path: Path, settings: Settings, faults: Faults) -> OrderFile:
    """Check every line of orders.csv, noting what is wrong."""
    count = 0
    for _ in _read_lines(path, settings, faults, set()):
        count += 1
    return OrderFile(path, settings, count)


def _read_lines(
    path: Path, settings: Settings, faults: Faults, seen: set[tuple[str, str]] | None = None
) -> Iterator[_Line]:
    """Yield the lines without fault; `seen` collects keys, to note the ones that repeat."""
    symbols, _, terms, accounts = settings
    account_texts: dict[str, ScenarioAccount | None] = {
        str(account_id): account for account_id, account in accounts.items()
    }
    numbers = {name: _Numbers(symbol) for name, symbol in symbols.items() if symbol is not None}

    for line, row in read_rows(path, ORDER_COLUMNS, faults):
        client_text, account_text, name, type_text, volume_text, *price_texts = row
        found = len(faults)

        def fault(field: str, rule: str, line: int = line) -> None:
            faults.add(path, line, field, rule)

        account = account_texts.get(account_text)
        if account is None and account_text not in account_texts:
            fault("account_id", f"must be one of accounts.csv, {account_text!r} is not")
        if name not in symbols:
            fault("symbol", f"must be one of symbols.csv, {name!r} is not")
        elif account is not None and (account.group, name) not in terms:
            fault("symbol", f"must be traded in group {account.group}: add it to group_symbols.csv")
        order_type = _TYPES.get(type_text)
        if order_type is None:
            fault("type", f"must be one of {', '.join(OrderType)}, not {type_text!r}")
        if client_text:
            if seen is not None:
                key = (account_text, client_text)
                if key in seen:
                    fault("client_order_id", f"must be unique in its account, {client_text} is not")
                seen.add(key)
            if len(client_text) > MAX_CLIENT_ORDER_ID or not client_text.isprintable():
                fault(
                    "client_order_id",
                    f"must be at most {MAX_CLIENT_ORDER_ID} printable characters",
                )
        reader = numbers.get(name)
        if reader is None:
            continue
        volume = reader.volume(volume_text)
        if isinstance(volume, str):
            fault("volume", volume)
        price, stop_loss, take_profit = (reader.price(text) for text in price_texts)
        for field, level in (
            ("price", price),
            ("stop_loss", stop_loss),
            ("take_profit", take_profit),
        ):
            if isinstance(level, str):
                fault(field, level)
        if order_type is not None and (order_type.kind is OrderKind.MARKET) != (not price_texts[0]):
            fault(
                "price",
                "a pending order needs a price"
                if price is None
                else "a market order takes no price: leave it empty",
            )
        if (
            len(faults) > found
            or account is None
            or order_type is None
            or isinstance(volume, str)
            or isinstance(price, str)
            or isinstance(stop_loss, str)
            or isinstance(take_profit, str)
        ):
            continue
        if stop_loss is not None or take_profit is not None:
            try:
                check_protection(order_type, price, stop_loss, take_profit)
            except Rejected as rejected:
                fault(rejected.field or "", rejected.detail)
                continue
        yield _Line(
            client_text or None,
            account,
            reader.symbol,
            order_type,
            volume,
            price,
            stop_loss,
            take_profit,
        )


class _Numbers:
    """Reads volumes and prices of a symbol, remembering each text; a `str` is a broken rule."""

    __slots__ = ("_prices", "_volumes", "symbol")

    def __init__(self, symbol: Symbol) -> None:
        self.symbol = symbol
        self._prices: dict[str, int | str | None] = {"": None}
        self._volumes: dict[str, int | str] = {}

    def price(self, text: str) -> int | str | None:
        """Return a price in points, above 0; None for an empty field."""
        prices = self._prices
        if text in prices:
            return prices[text]
        value: int | str
        try:
            value = read_scaled(text, self.symbol.digits)
            if value <= 0:
                value = f"must be above 0, not {text}"
        except ScaleError as error:
            value = str(error)
        if len(prices) >= _MAX_REMEMBERED:
            prices.clear()
            prices[""] = None
        prices[text] = value
        return value

    def volume(self, text: str) -> int | str:
        """Return a volume in 1/10,000 lot that the symbol allows."""
        volumes = self._volumes
        if text in volumes:
            return volumes[text]
        value: int | str
        try:
            value = read_scaled(text, VOLUME_DIGITS)
            check_volume(self.symbol, value)
        except ScaleError as error:
            value = str(error)
        except Rejected as rejected:
            value = rejected.detail
        if len(volumes) >= _MAX_REMEMBERED:
            volumes.clear()
        volumes[text] = value
        return value
