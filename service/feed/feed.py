"""What every feed is to the rest of the service.

A feed hands each quote to `on_quote`, in the order it got them, on the event loop, without waiting
for anything in between. It guards nothing: that is the engine's part. What cannot be read as a
quote at all is told to its `on_malformed` and skipped. An error of `on_quote` ends `run`.
"""

from collections.abc import Awaitable, Callable
from typing import Protocol

from service.domain.quote import Quote, QuoteRefusal

OnQuote = Callable[[Quote], None]
OnMalformed = Callable[[QuoteRefusal], None]
Sleep = Callable[[float], Awaitable[object]]
Clock = Callable[[], int]


class Feed(Protocol):
    """A source of quotes."""

    @property
    def healthy(self) -> bool:
        """Tell whether quotes are coming: never before the first message."""
        ...

    @property
    def last_message_time(self) -> int | None:
        """When the last message came, ns UTC by the feed's clock; None before the first."""
        ...

    async def run(self, on_quote: OnQuote) -> None:
        """Deliver quotes until cancelled, or until a feed that ends has ended."""
        ...
