"""The jump guard: a spike never triggers, and no history of quotes can make it latch."""

from hypothesis import assume, given
from hypothesis import strategies as st

from service.domain.decision import EventKind
from service.domain.order import OrderType
from service.domain.quote import JUMP_CONFIRMATIONS, Quote, QuoteGuard, QuoteRefusal
from tests.unit.domain.floor import Floor

LIMIT = 100
LEVEL = 110_000
MOVES = st.integers(-20_000, 20_000)


def guarded(limit: int | None = LIMIT) -> Floor:
    """Return a floor where EURUSD stands at LEVEL and jumps are refused."""
    floor = Floor(QuoteGuard())
    floor.set_symbol("EURUSD", max_jump_points=limit)
    floor.tick("EURUSD", LEVEL, LEVEL)
    return floor


def rest_beyond(floor: Floor) -> None:
    """Rest orders that anything beyond the limit would fire."""
    floor.rest(OrderType.BUY_LIMIT, LEVEL - LIMIT - 1)
    floor.rest(OrderType.SELL_STOP, LEVEL - LIMIT - 1)
    floor.rest(OrderType.BUY_STOP, LEVEL + LIMIT + 1)
    floor.rest(OrderType.SELL_LIMIT, LEVEL + LIMIT + 1)


@given(st.lists(st.tuples(MOVES, st.integers(1, JUMP_CONFIRMATIONS - 1)), max_size=10))
def test_a_spike_short_of_the_confirmations_triggers_nothing(
    spikes: list[tuple[int, int]],
) -> None:
    floor = guarded()
    rest_beyond(floor)
    for move, quotes in spikes:
        assume(abs(move) > LIMIT)
        for _ in range(quotes):
            assert floor.quote("EURUSD", LEVEL + move, LEVEL + move) is QuoteRefusal.JUMP
        assert floor.tick("EURUSD", LEVEL, LEVEL) == []
    assert len(floor.desk.orders) == 4


@given(MOVES)
def test_a_jump_is_taken_with_its_last_confirmation(move: int) -> None:
    assume(abs(move) > LIMIT)
    floor = guarded()
    rest_beyond(floor)
    for _ in range(JUMP_CONFIRMATIONS - 1):
        assert floor.quote("EURUSD", LEVEL + move, LEVEL + move) is QuoteRefusal.JUMP
    decided = floor.tick("EURUSD", LEVEL + move, LEVEL + move)
    assert [decision.kind for decision in decided] == [EventKind.OPENED] * 2
    assert floor.desk.markets["EURUSD"].bid == LEVEL + move


@given(
    st.sampled_from((LIMIT, 1, None)),
    st.lists(st.tuples(st.integers(1, 400_000), st.integers(0, 5_000)), max_size=30),
    st.integers(1, 400_000),
)
def test_no_history_latches(limit: int | None, history: list[tuple[int, int]], level: int) -> None:
    floor = guarded(limit)
    for bid, spread in history:
        floor.quote("EURUSD", bid, bid + spread)
    refusals = [floor.quote("EURUSD", level, level) for _ in range(JUMP_CONFIRMATIONS)]
    assert refusals[-1] is not QuoteRefusal.JUMP
    assert floor.desk.markets["EURUSD"].bid == level
    assert floor.quote("EURUSD", level, level) == ()


@given(st.lists(st.integers(-LIMIT, LIMIT), max_size=30))
def test_a_move_within_the_limit_always_passes(moves: list[int]) -> None:
    floor = guarded()
    bid = LEVEL
    for move in moves:
        bid += move
        assert floor.quote("EURUSD", bid, bid) == ()


@given(MOVES, st.integers(0, 3))
def test_other_refusals_between_them_do_not_confirm_a_jump(move: int, between: int) -> None:
    assume(abs(move) > LIMIT)
    floor = guarded()
    bid = LEVEL + move
    for _ in range(JUMP_CONFIRMATIONS - 1):
        assert floor.quote("EURUSD", bid, bid) is QuoteRefusal.JUMP
        for _ in range(between):
            assert floor.quote("EURUSD", bid, bid - 1) is QuoteRefusal.CROSSED
            late = Quote("EURUSD", bid, bid, 1)
            assert floor.engine.on_quote(late, floor.now) is QuoteRefusal.OUT_OF_ORDER
    assert floor.desk.markets["EURUSD"].bid == LEVEL


def test_a_wide_ask_alone_is_a_jump_and_a_replay_takes_the_past_as_it_was() -> None:
    floor = guarded()
    assert floor.quote("EURUSD", LEVEL, LEVEL + LIMIT + 1) is QuoteRefusal.JUMP
    replay = Floor()
    replay.tick("EURUSD", LEVEL, LEVEL)
    assert replay.tick("EURUSD", 2 * LEVEL, 3 * LEVEL) == []


def test_the_limit_is_two_percent_where_the_symbol_names_none() -> None:
    floor = guarded(None)
    assert floor.quote("EURUSD", LEVEL + 2_201, LEVEL + 2_201) is QuoteRefusal.JUMP
    assert floor.quote("EURUSD", LEVEL + 2_200, LEVEL + 2_200) == ()
