"""Requests as data: all that a gateway asks of whoever trades a shard, and what it is answered.

Closed sets, so that both can travel: `encode_request`, `decode_request`, `encode_reply` and
`decode_reply` are their form on the way (msgpack). A refusal travels as a reply too: `refusal`
makes it of what was raised where it was decided, and `given` raises it again where it was asked.

Limit: integers have 64 bits; whoever makes a request sees to that.
"""

from decimal import Decimal
from typing import NamedTuple

import msgspec

from service.domain.instrument import TradingState, UserType
from service.domain.rejection import RejectCode, Rejected
from service.loops.answers import Unavailable, Withdrawn
from service.loops.commands import Command
from service.storage.errors import Unreachable
from service.storage.rows import GroupRow, SymbolRow, TermsRow
from service.storage.views import EventView


class Author(NamedTuple):
    """Who changes something (the subject of the token), and why, in a line."""

    actor: str
    reason: str = ""


# What is asked


class _Change(msgspec.Struct, frozen=True, tag_field="set", tag=str.lower):
    """Base of all changes of settings; rows are those of `service.storage.rows`."""


class SetSymbol(_Change, frozen=True):
    """Add or change a symbol. Its trading state stays: another call changes that."""

    row: SymbolRow


class SetGroup(_Change, frozen=True):
    """Add or change a group. Its trading state stays."""

    row: GroupRow


class SetTerms(_Change, frozen=True):
    """Add or change a group's terms on a symbol."""

    row: TermsRow


class SetSymbolState(_Change, frozen=True):
    """Let a symbol be traded, be closed only, or halt it."""

    symbol: str
    state: TradingState


class SetGroupState(_Change, frozen=True):
    """Let a group trade, close only, or halt it."""

    group: str
    state: TradingState


Change = SetSymbol | SetGroup | SetTerms | SetSymbolState | SetGroupState


class _Request(msgspec.Struct, frozen=True, tag_field="ask", tag=str.lower):
    """Base of all requests."""


class TakeCommand(_Request, frozen=True):
    """Decide a command for an account of the shard; answered `Taken`."""

    account_id: int
    key: str | None
    command: Command


class ChangeSettings(_Request, frozen=True):
    """Change settings, which shard 0 has for all shards; answered `SettingsStored`."""

    change: Change
    author: Author


class CreateAccount(_Request, frozen=True):
    """Open an account of the shard with a first deposit of `balance` USD; answered `Done`."""

    account_id: int
    user_type: UserType
    group: str
    leverage: Decimal
    balance: Decimal
    author: Author


class ListExposure(_Request, frozen=True):
    """Tell what the clients of the shard hold; answered `Exposure`."""


Request = TakeCommand | ChangeSettings | CreateAccount | ListExposure


# What is answered


class _Reply(msgspec.Struct, frozen=True, tag_field="is", tag=str.lower):
    """Base of all replies."""


class Taken(_Reply, frozen=True):
    """The event of a command; `is_repeated`: of an earlier one with the same key."""

    event: EventView
    is_repeated: bool


class SettingsStored(_Reply, frozen=True):
    """The version of the settings that has the change, and what it made of them."""

    version: int
    stored: SetSymbol | SetGroup | SetTerms


class Done(_Reply, frozen=True):
    """It was done, and is stored."""


class Exposure(_Reply, frozen=True):
    """(group, symbol, long, short), volumes in 1/10,000 lot."""

    rows: list[tuple[str, str, int, int]]


Answer = Taken | SettingsStored | Done | Exposure


class RejectedReply(_Reply, frozen=True, tag="rejected"):
    code: RejectCode
    detail: str
    field: str | None = None


class UnavailableReply(_Reply, frozen=True, tag="unavailable"):
    detail: str
    retry_after_s: int


class WithdrawnReply(_Reply, frozen=True, tag="withdrawn"):
    detail: str


Refusal = RejectedReply | UnavailableReply | WithdrawnReply
Reply = Answer | Refusal

encode_request = encode_reply = msgspec.msgpack.Encoder().encode
_request: msgspec.msgpack.Decoder[Request] = msgspec.msgpack.Decoder(Request)
decode_request = _request.decode
_reply: msgspec.msgpack.Decoder[Reply] = msgspec.msgpack.Decoder(Reply)
decode_reply = _reply.decode


def refusal(error: Exception) -> Refusal | None:
    """Return how a refusal travels; None: it is none, but something nobody expected."""
    match error:
        case Rejected():
            return RejectedReply(error.code, error.detail, error.field)
        case Unavailable():
            return UnavailableReply(error.detail, error.retry_after_s)
        case Unreachable():
            return UnavailableReply("the database is away: try again", 1)
        case Withdrawn():
            return WithdrawnReply(str(error))
    return None


def given(reply: Reply) -> Answer:
    """Return an answer.

    Raises:
        Rejected, Unavailable, Withdrawn: it is such a refusal.
    """
    match reply:
        case RejectedReply():
            raise Rejected(reply.code, reply.detail, reply.field)
        case UnavailableReply():
            raise Unavailable(reply.detail, reply.retry_after_s)
        case WithdrawnReply():
            raise Withdrawn(reply.detail)
        case _:
            return reply
