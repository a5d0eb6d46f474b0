"""The lines of orders.csv: each one an order without fault, or faults."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from service.domain.checks import check_protection
from service.domain.instrument import Group, GroupSymbol, Symbol
from service.domain.order import OrderKind, OrderType
from service.domain.rejection import Rejected
from service.scenario.fault import Faults
from service.scenario.order_fields import Distances, Expiries, Expiry, Prices, Volumes
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
ORDER_OPTIONS = ("limit_price", "trailing_distance", "expires_at")
MAX_CLIENT_ORDER_ID = 128
_PRICE_FIELDS = ("price", "stop_loss", "take_profit", "limit_price")
_MARKET, _STOP_LIMIT = OrderKind.MARKET, OrderKind.STOP_LIMIT
_TYPES = {str(order_type): order_type for order_type in OrderType}


class Settings(NamedTuple):
    """What orders may refer to, by key; None: declared on a line that is at fault."""

    symbols: Mapping[str, Symbol | None]
    groups: Mapping[str, Group | None]
    terms: Mapping[tuple[str, str], GroupSymbol | None]
    accounts: Mapping[int, ScenarioAccount | None]


class OrderLine(NamedTuple):
    """An order of the file. Prices and trailing distance in points, volume in 1/10,000 lot."""

    client_order_id: str | None
    account: ScenarioAccount
    symbol: Symbol
    order_type: OrderType
    volume: int
    price: int | None
    stop_loss: int | None
    take_profit: int | None
    limit_price: int | None
    trailing_distance: int | None
    expiry: Expiry | None


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
            name: (symbol, Volumes(symbol), Prices(symbol.digits))
            for name, symbol in settings.symbols.items()
            if symbol is not None
        }
        self._distances = Distances()
        self._expiries = Expiries()

    def read(self) -> Iterator[OrderLine]:
        """Yield the lines without fault, noting what is wrong with the others."""
        rows = read_rows(self._path, ORDER_COLUMNS, self._faults, ORDER_OPTIONS)
        for number, fields in rows:
            line = self._take(number, fields)
            if line is not None:
                yield line
            else:
                self._note_faults(number, fields)

    def _take(self, number: int, fields: list[str]) -> OrderLine | None:
        """Return a line, or None if anything is wrong with it."""
        client_text, account_text, name, type_text, volume_text = fields[:5]
        price_text, loss_text, profit_text, limit_text, distance_text, expiry_text = fields[5:]
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
        price, stop_loss, take_profit = prices[price_text], prices[loss_text], prices[profit_text]
        limit_price, distance = prices[limit_text], self._distances[distance_text]
        expiry = self._expiries[expiry_text]
        if (
            volume is None
            or isinstance(volume, str)
            or isinstance(price, str)
            or isinstance(stop_loss, str)
            or isinstance(take_profit, str)
            or isinstance(limit_price, str)
            or isinstance(distance, str)
            or isinstance(expiry, str)
            or _misfit(order_type, price, limit_price, expiry) is not None
        ):
            return None
        if stop_loss is not None or take_profit is not None:
            opens_at = price if limit_price is None else limit_price
            try:
                check_protection(order_type, opens_at, stop_loss, take_profit)
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
            limit_price,
            distance,
            expiry,
        )

    def _note_faults(self, number: int, fields: list[str]) -> None:
        """Find everything that is wrong with a line that `_take` did not return."""

        def fault(field: str, rule: str) -> None:
            self._faults.add(self._path, number, field, rule)

        client_text, account_text, name, type_text, volume_text = fields[:5]
        price_texts = fields[5:9]
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
        distance, expiry = self._distances[fields[9]], self._expiries[fields[10]]
        if isinstance(distance, str):
            fault("trailing_distance", distance)
        if isinstance(expiry, str):
            fault("expires_at", expiry)
            expiry = None
        numbers = self._numbers.get(name)
        if numbers is not None:
            _, volumes, prices = numbers
            volume = volumes[volume_text]
            if isinstance(volume, str):
                fault("volume", volume)
            levels: list[int | None] = []
            for field, text in zip(_PRICE_FIELDS, price_texts, strict=True):
                level = prices[text]
                if isinstance(level, str):
                    fault(field, level)
                else:
                    levels.append(level)
            if order_type is not None and len(levels) == len(_PRICE_FIELDS):
                _note_misfits(order_type, levels, expiry, fault)
        assert len(self._faults), f"line {number} was refused without a reason"


def _note_misfits(
    order_type: OrderType,
    levels: list[int | None],
    expiry: Expiry | None,
    fault: Callable[[str, str], None],
) -> None:
    """Find what is wrong with the prices of a line together."""
    price, stop_loss, take_profit, limit_price = levels
    misfit = _misfit(order_type, price, limit_price, expiry)
    if misfit is not None:
        fault(*misfit)
        return
    opens_at = price if limit_price is None else limit_price
    try:
        check_protection(order_type, opens_at, stop_loss, take_profit)
    except Rejected as rejected:
        fault(rejected.field or "", rejected.detail)


def _misfit(
    order_type: OrderType, price: int | None, limit_price: int | None, expiry: Expiry | None
) -> tuple[str, str] | None:
    """Return the field that does not go with the order's type, and the rule; None: all do."""
    kind = order_type.kind
    if kind is _MARKET:
        if price is not None:
            return "price", "must be empty: a market order takes no price"
        if expiry is not None:
            return "expires_at", "must be empty: a market order does not wait"
    elif price is None:
        return "price", "must be there: a pending order needs a price"
    if kind is not _STOP_LIMIT:
        if limit_price is not None:
            return "limit_price", "must be empty: only a stop-limit order takes one"
        return None
    if limit_price is None:
        return "limit_price", "must be there: a stop-limit order needs one"
    assert price is not None
    if (limit_price < price) != order_type.is_buy or limit_price == price:
        side = "below" if order_type.is_buy else "above"
        return "limit_price", f"must be {side} the price of a {order_type}"
    return None
