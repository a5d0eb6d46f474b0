"""Why a command is refused: one closed set for API, database, metric label and log."""

from enum import StrEnum


class RejectCode(StrEnum):
    UNKNOWN_SYMBOL = "UNKNOWN_SYMBOL"
    UNKNOWN_ACCOUNT = "UNKNOWN_ACCOUNT"
    ACCOUNT_FAULTED = "ACCOUNT_FAULTED"
    UNKNOWN_GROUP = "UNKNOWN_GROUP"
    ACCOUNT_EXISTS = "ACCOUNT_EXISTS"
    ORDER_NOT_FOUND = "ORDER_NOT_FOUND"
    ORDER_NOT_PENDING = "ORDER_NOT_PENDING"
    ORDER_NOT_OPEN = "ORDER_NOT_OPEN"
    INVALID_VOLUME = "INVALID_VOLUME"
    INVALID_PRICE = "INVALID_PRICE"
    INVALID_STOP_LOSS = "INVALID_STOP_LOSS"
    INVALID_TAKE_PROFIT = "INVALID_TAKE_PROFIT"
    INVALID_LIMIT_PRICE = "INVALID_LIMIT_PRICE"
    INVALID_TRAILING_DISTANCE = "INVALID_TRAILING_DISTANCE"
    INVALID_EXPIRY = "INVALID_EXPIRY"
    INVALID_AMOUNT = "INVALID_AMOUNT"
    INVALID_SETTINGS = "INVALID_SETTINGS"
    WRONG_SIDE_OF_MARKET = "WRONG_SIDE_OF_MARKET"
    INSUFFICIENT_MARGIN = "INSUFFICIENT_MARGIN"
    INSUFFICIENT_FUNDS = "INSUFFICIENT_FUNDS"
    MARKET_CLOSED = "MARKET_CLOSED"
    CLOSE_ONLY = "CLOSE_ONLY"
    TRADING_HALTED = "TRADING_HALTED"
    DEAL_NOT_FOUND = "DEAL_NOT_FOUND"
    DEAL_NOT_CORRECTABLE = "DEAL_NOT_CORRECTABLE"
    NO_QUOTE = "NO_QUOTE"
    NO_RATE = "NO_RATE"


class Rejected(Exception):
    """A command that was refused and changed nothing.

    Attributes:
        code: the reason, from the closed set.
        detail: one sentence that says what to do.
        field: the field of the command at fault, where there is one.
    """

    def __init__(self, code: RejectCode, detail: str, field: str | None = None) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
        self.field = field
