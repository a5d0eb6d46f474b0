"""What a check of a database finds."""

from enum import StrEnum
from typing import NamedTuple


class NoBook(Exception):
    """There is no database of this version to look into; the message says what to do."""


class Rule(StrEnum):
    """What must hold in every database, whatever happened to whoever wrote it."""

    UNREADABLE = "unreadable"
    NOT_FINITE = "not_finite"
    ORPHAN = "orphan"
    NO_TERMS = "no_terms"
    CENTS = "cents"
    BALANCE = "balance"
    LEDGER_CHAIN = "ledger_chain"
    DEAL_LEDGER = "deal_ledger"
    DEAL_BALANCE = "deal_balance"
    CORRECTION = "correction"
    DEALS_OF_ORDER = "deals_of_order"
    FILL = "fill"
    VOLUME = "volume"
    ORDER_MONEY = "order_money"
    ORDER_SWAP = "order_swap"
    MARGIN = "margin"
    MARGIN_CALL = "margin_call"
    TRIGGER = "trigger"
    SEQUENCE = "sequence"
    EVENT = "event"
    EVENT_RELAY = "event_relay"
    LEASE = "lease"


class Fault(NamedTuple):
    """A thing, with its id, of which something else is stored than a rule expects."""

    rule: Rule
    what: str
    expected: str
    found: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.what}: expected {self.expected}, found {self.found}"
