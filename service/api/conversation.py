"""What a client asks for on its open socket, and the answers.

Symbols are chosen for all groups of the socket's accounts together.
"""

import msgspec

from service.api.auth import Principal
from service.api.calls import Services
from service.api.errors import ApiError, TransportCode
from service.api.fanout import Fanout
from service.api.frames import Frame, quotes_update
from service.api.market import group_quotes, group_terms
from service.api.messages import Error, Incoming, Ping, Pong, Subscribe, Subscribed, Unsubscribe
from service.api.reading import read_json
from service.api.socket import ClientSocket
from service.domain.rejection import RejectCode

_INCOMING: msgspec.json.Decoder[Incoming] = msgspec.json.Decoder(Incoming)


class Conversation:
    """The receiving side of one socket."""

    def __init__(
        self, services: Services, fanout: Fanout, socket: ClientSocket, principal: Principal
    ) -> None:
        self._services = services
        self._fanout = fanout
        self._socket = socket
        self._principal = principal

    def take(self, data: str | bytes) -> str:
        """Do what a message asks, and return its type; `invalid` where it could not be read.

        One too many is answered RATE_LIMITED, unread: that is `invalid` as well.
        """
        try:
            self._services.doors.message(self._principal)
            if isinstance(data, bytes):
                raise ApiError(TransportCode.INVALID_JSON, "send JSON in text frames")
            message = read_json(_INCOMING, data)
            match message:
                case Ping():
                    self._answer("pong", Pong(id=message.id))
                    return "ping"
                case Subscribe():
                    self._subscribe(message.symbols)
                    return "subscribe"
                case Unsubscribe():
                    self._unsubscribe(message.symbols)
                    return "unsubscribe"
        except ApiError as error:
            self._answer("error", Error(code=error.code, detail=error.detail, field=error.field))
        return "invalid"

    def _answer(self, name: str, message: msgspec.Struct) -> None:
        self._socket.send(name, Frame(msgspec.json.encode(message)))

    def _subscribe(self, symbols: list[str] | None) -> None:
        if symbols is None:
            self._choose(None)
            return
        unknown = set(symbols) - self._symbols()
        if unknown:
            raise ApiError(
                RejectCode.UNKNOWN_SYMBOL,
                f"not traded in your group: {', '.join(sorted(unknown))}",
                "symbols",
            )
        self._choose((self._socket.symbols or frozenset()) | frozenset(symbols))

    def _unsubscribe(self, symbols: list[str] | None) -> None:
        chosen = self._symbols() if self._socket.symbols is None else self._socket.symbols
        gone = chosen if symbols is None else frozenset(symbols)
        self._choose(chosen - gone)

    def _symbols(self) -> frozenset[str]:
        desk = self._services.market.desk
        return frozenset(
            terms.market.symbol.name
            for group in self._socket.quotes_after
            for terms in group_terms(desk, group)
        )

    def _choose(self, symbols: frozenset[str] | None) -> None:
        socket = self._socket
        socket.choose(symbols)
        names = None if symbols is None else sorted(symbols)
        self._answer("subscribed", Subscribed(symbols=names))
        for group in socket.quotes_after:
            if not socket.wants_prices:
                self._fanout.leave(group, socket)
                continue
            self._fanout.join(group, socket)
            # All chosen prices anew: an update still on its way to this socket is skipped for them.
            socket.quotes_after[group] = self._services.board.sequence(group)
            quotes = {
                quote.symbol: quote
                for quote in group_quotes(self._services.market.desk, group)
                if symbols is None or quote.symbol in symbols
            }
            if quotes:
                socket.send_quotes(quotes_update(group, socket.quotes_after[group], quotes))
