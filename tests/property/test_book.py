"""The trigger book against a plain list of what rests in it."""

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from service.domain.book import TriggerBook

PRICES = st.integers(-30, 30)
SLACK = 64
"""Dead entries a book may hold before it looks at how many there are."""


class BookMachine(RuleBasedStateMachine):
    """`live` is what should fire; what else lies in the book may fire too, and is dropped."""

    @initialize(at_most=st.booleans())
    def start(self, at_most: bool) -> None:
        self.book = TriggerBook(at_most=at_most)
        self.live: set[tuple[int, int]] = set()
        self.sign = -1 if at_most else 1
        self.entries = 0

    def crossed(self, price: int, quote: int) -> bool:
        return self.sign * price <= self.sign * quote

    def is_live(self, book: TriggerBook, price: int, order_id: int) -> bool:
        assert book is self.book
        return (price, order_id) in self.live

    @rule(price=PRICES, order_id=st.integers(1, 2**48 - 1))
    def add(self, price: int, order_id: int) -> None:
        self.book.add(price, order_id)
        self.live.add((price, order_id))
        self.entries += 1

    @rule(price=PRICES, count=st.integers(40, 120), step=st.integers(0, 2))
    def add_many(self, price: int, count: int, step: int) -> None:
        for number in range(count):
            self.add(price + number * step * self.sign, number + 1)

    @rule(data=st.data(), times=st.sampled_from((1, 5, 90)))
    def withdraw(self, data: st.DataObject, times: int) -> None:
        for _ in range(min(times, len(self.live))):
            chosen = sorted(self.live)[data.draw(st.integers(0, len(self.live) - 1))]
            self.live.discard(chosen)
            self.book.discard(self.is_live)
            assert self.book._dead <= max(SLACK, len(self.book._heap) // 2)

    @rule(price=PRICES, order_id=st.integers(1, 3))
    def move_away_and_back(self, price: int, order_id: int) -> None:
        """A -> B -> A: the entry of the first A is dead, then stands again beside the new one."""
        for step in (0, 1, 0):
            self.add(price + step, order_id)
            if (price + 1 - step, order_id) in self.live:
                self.live.discard((price + 1 - step, order_id))
                self.book.discard(self.is_live)

    @rule(quote=PRICES)
    def cross(self, quote: int) -> None:
        fired = self.book.pop_crossed(quote)
        self.entries -= len(fired)
        keys = [self.sign * price for price, _ in fired]
        assert keys == sorted(keys)
        assert all(self.crossed(price, quote) for price, _ in fired)
        due = {entry for entry in self.live if self.crossed(entry[0], quote)}
        assert {entry for entry in fired if entry in self.live} == due
        self.live -= due
        for _ in range(len(fired) - len(due)):
            self.book.bury()

    @invariant()
    def top_never_hides_what_is_due(self) -> None:
        if not hasattr(self, "book"):
            return
        if self.live:
            first = min(self.sign * price for price, _ in self.live)
            assert self.sign * self.book.top <= first
        entries = len(self.book._heap)
        assert entries <= self.entries
        if entries == 0:
            assert abs(self.book.top) >= 2**60


TestTriggerBook = BookMachine.TestCase
TestTriggerBook.settings = settings(max_examples=300, stateful_step_count=25, deadline=None)


@given(
    st.booleans(),
    st.lists(st.tuples(st.integers(-(10**15), 10**15), st.integers(1, 2**48 - 1)), max_size=40),
    st.integers(-(10**15), 10**15),
)
def test_everything_crossed_fires_once_and_nothing_else(
    at_most: bool, entries: list[tuple[int, int]], quote: int
) -> None:
    book = TriggerBook(at_most=at_most)
    for entry in entries:
        book.add(*entry)
    due = [e for e in entries if (quote <= e[0] if at_most else quote >= e[0])]
    reached = quote <= book.top if at_most else quote >= book.top
    assert reached is bool(due)
    assert sorted(book.pop_crossed(quote)) == sorted(due)
    assert book.pop_crossed(quote) == []
