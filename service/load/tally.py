"""What the load counts: of the interval that runs, and of all since the measurement began."""

from collections import Counter
from dataclasses import dataclass, field

from service.load.latencies import Latencies


@dataclass(slots=True)
class Tally:
    """Counts and latencies of a time.

    Attributes:
        ticks: sent. `ticks_held_back`: not sent, as the service did not read, or is not connected;
            `ticks_late`: not sent, as the generator itself was too late.
        dips: of the ticks, those that orders rest for; `fired`: orders of which a dip was told.
        commands: sent. `commands_held_back`: not sent, as too many waited for their answers;
            `commands_late`: as of ticks.
        answers: by the code of the refusal, `OK`, or why there was none.
        messages: heard on the sockets, by type.
        tick_lag, command_lag: from when one was due until the generator sent it.
        answered: from when a command was due to its answer.
        quotes: from the newest tick in a message of quotes to its arrival at a socket.
        fills: from a dip to the arrival of what it did to an order.
        events: from when a command was due to the arrival of what it did.
    """

    ticks: int = 0
    ticks_held_back: int = 0
    ticks_late: int = 0
    dips: int = 0
    fired: int = 0
    commands: int = 0
    commands_held_back: int = 0
    commands_late: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    messages: Counter[str] = field(default_factory=Counter)
    tick_lag: Latencies = field(default_factory=Latencies)
    command_lag: Latencies = field(default_factory=Latencies)
    answered: Latencies = field(default_factory=Latencies)
    quotes: Latencies = field(default_factory=Latencies)
    fills: Latencies = field(default_factory=Latencies)
    events: Latencies = field(default_factory=Latencies)

    def add(self, other: "Tally") -> None:
        """Take all that another has counted."""
        for name in self.__slots__:
            mine, its = getattr(self, name), getattr(other, name)
            if isinstance(mine, int):
                setattr(self, name, mine + its)
            elif isinstance(mine, Counter):
                mine.update(its)
            else:
                mine.add(its)


class Tallies:
    """Where everybody counts: `now` is another one in each interval."""

    def __init__(self) -> None:
        self.now = Tally()
        self.total = Tally()

    def begin(self) -> None:
        """Forget what was counted so far."""
        self.now, self.total = Tally(), Tally()

    def turn(self) -> Tally:
        """End an interval: return what it counted, which the total has too."""
        ended, self.now = self.now, Tally()
        self.total.add(ended)
        return ended
