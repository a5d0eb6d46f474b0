"""The lines of orders.csv: each one an order without fault, or faults.

Numbers are read once for each different text, for a million orders hold few different ones.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from service.domain.checks import check_protection, check_volume
from service.domain.instrument import Group, GroupSymbol, Symbol
from service.domain.money import VOLUME_DIGITS, ScaleError
from service.domain.order import OrderKind, OrderType
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


class OrderLine(NamedTuple):
    """An order of the file. Prices in points, volume in 1/10,000 lot."""

    client_order_id: str | None
    account: ScenarioAccount
    symbol: Symbol
    order_type: OrderType
    volume: int
    price: int | None
    stop_loss: int | None
    take_profit: int | None


class OrderLines:
    """Reads the lines of orders.csv; `seen` collects what must be unique, None checks it not."""

    def __init__(
        self,
        path: Path,
        settings: Settings,
        faults: Faults,
        *,
        seen: set[tuple[str, str]] | None,
    ) -> None:
        self._path = path
        self._settings = settings
        self._faults = faults
        self._seen = seen
        self._accounts = {str(key): account for key, account in settings.accounts.items()}
        self._numbers = {
            name: (symbol, _Volumes(symbol), _Prices(symbol.digits))
            for name, symbol in settings.symbols.items()
            if symbol is not None
        }

    def read(self) -> Iterator[OrderLine]:
        """Yield the lines without fault, noting what is wrong with the others."""
        for number, fields in read_rows(self._path, ORDER_COLUMNS, self._faults):
            line = self._take(number, fields)
            if line is not None:
                yield line
            else:
                self._note_faults(number, fields)

    def _take(self, number: int, fields: list[str]) -> OrderLine | None:
        """Return a line, or None if anything is wrong with it."""
        client_text, account_text, name, type_text, volume_text, *price_texts = fields
        account = self._accounts.get(account_text)
        order_type = _TYPES.get(type_text)
        numbers = self._numbers.get(name)
        if (
            account is None
            or order_type is None
            or numbers is None
            or (account.group, name) not in self._settings.terms
            or len(client_text) > MAX_CLIENT_ORDER_ID
            or not client_text.isprintable()
        ):
            return None
        symbol, volumes, prices = numbers
        volume = volumes[volume_text]
        price, stop_loss, take_profit = [prices[text] for text in price_texts]
        if (
            isinstance(volume, str)
            or isinstance(price, str)
            or isinstance(stop_loss, str)
            or isinstance(take_profit, str)
            or (price is None) != (order_type.kind is OrderKind.MARKET)
        ):
            return None
        if stop_loss is not None or take_profit is not None:
            try:
                check_protection(order_type, price, stop_loss, take_profit)
            except Rejected:
                return None
        seen = self._seen
        if client_text and seen is not None:
            key = (account_text, client_text)
            if key in seen:
                return None
            seen.add(key)
        return OrderLine(
            client_text or None,
            account,
            symbol,
            order_type,
            volume,
            price,
            stop_loss,
            take_profit,
        )

    def _note_faults(self, number: int, fields: list[str]) -> None:
        """Find everything that is wrong with a line that `_take` did not return."""

        def fault(field: str, rule: str) -> None:
            self._faults.add(self._path, number, field, rule)

        client_text, account_text, name, type_text, volume_text, *price_texts = fields
        account = self._accounts.get(account_text)
        if account_text not in self._accounts:
            fault("account_id", f"must be one of accounts.csv, {account_text!r} is not")
        if name not in self._settings.symbols:
            fault("symbol", f"must be one of symbols.csv, {name!r} is not")
        elif account is not None and (account.group, name) not in self._settings.terms:
            fault("symbol", f"must be traded in group {account.group}: add it to group_symbols.csv")
        order_type = _TYPES.get(type_text)
        if order_type is None:
            fault("type", f"must be one of {', '.join(OrderType)}, not {type_text!r}")
        if len(client_text) > MAX_CLIENT_ORDER_ID or not client_text.isprintable():
            fault("client_order_id", f"must be at most {MAX_CLIENT_ORDER_ID} printable characters")
        elif self._seen is not None and (account_text, client_text) in self._seen:
            fault("client_order_id", f"must be unique in its account, {client_text} is not")
        numbers = self._numbers.get(name)
        if numbers is not None:
            _, volumes, prices = numbers
            volume = volumes[volume_text]
            if isinstance(volume, str):
                fault("volume", volume)
            levels: list[int | None] = []
            for field, text in zip(("price", "stop_loss", "take_profit"), price_texts, strict=True):
                level = prices[text]
                if isinstance(level, str):
                    fault(field, level)
                else:
                    levels.append(level)
            if order_type is not None:
                _note_price_faults(order_type, price_texts[0], levels, fault)
        assert len(self._faults), f"line {number} was refused without a reason"


def _note_price_faults(
    order_type: OrderType,
    price_text: str,
    levels: list[int | None],
    fault: Callable[[str, str], None],
) -> None:
    """Find what is wrong with the prices of a line together; `levels` are the readable ones."""
    if order_type.kind is OrderKind.MARKET and price_text:
        fault("price", "must be empty: a market order takes no price")
    elif order_type.kind is not OrderKind.MARKET and not price_text:
        fault("price", "must be there: a pending order needs a price")
    elif len(levels) == 3:
        try:
            check_protection(order_type, *levels)
        except Rejected as rejected:
            fault(rejected.field or "", rejected.detail)


class _Volumes(dict[str, int | str]):
    """Text to volumes that a symbol allows, in 1/10,000 lot, or to the rule that it breaks."""

    __slots__ = ("_symbol",)

    def __init__(self, symbol: Symbol) -> None:
        super().__init__()
        self._symbol = symbol

    def __missing__(self, text: str) -> int | str:
        value: int | str
        try:
            value = read_scaled(text, VOLUME_DIGITS)
            check_volume(self._symbol, value)
        except ScaleError as error:
            value = str(error)
        except Rejected as rejected:
            value = rejected.detail
        if len(self) >= _MAX_REMEMBERED:
            self.clear()
        self[text] = value
        return value


class _Prices(dict[str, int | str | None]):
    """Text to prices above 0 in points (empty: None), or to the rule that it breaks."""

    __slots__ = ("_digits",)

    def __init__(self, digits: int) -> None:
        super().__init__()
        self._digits = digits

    def __missing__(self, text: str) -> int | str | None:
        value: int | str | None = None
        if text:
            try:
                value = read_scaled(text, self._digits)
                if value <= 0:
                    value = f"must be above 0, not {text}"
            except ScaleError as error:
                value = str(error)
        if len(self) >= _MAX_REMEMBERED:
            self.clear()
        self[text] = value
        return value
