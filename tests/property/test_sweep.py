"""What the sweep relies on: the engine finds by itself what its books have lost."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from service.domain.book import TriggerBook
from service.domain.quote import Quote, QuoteRefusal
from tests.property.fact import agree, fact_of
from tests.property.markets import BASE_POINTS, DIGITS, SYMBOLS
from tests.property.player import Player
from tests.property.runs import make_resting, make_setting, make_tick
from tests.property.steps import OrderPlan, Run, Setting, Tick

CHANCE = st.randoms(note_method_calls=False)
RESTING = st.lists(CHANCE.map(make_resting), min_size=1, max_size=8)
FAR = 10**9


def lose(book: TriggerBook) -> int:
    """Plant a miss: drop whatever rests in a book, and return how much that was."""
    return len(book.pop_crossed(-FAR if book.fires_at_most else FAR))


def books(player: Player) -> list[TriggerBook]:
    return [
        book
        for market in player.twins.desk.markets.values()
        for book in (
            market.ask_at_most,
            market.ask_at_least,
            market.bid_at_most,
            market.bid_at_least,
        )
    ]


def rich(setting: Setting) -> Setting:
    """Return a setting whose accounts never come near a margin call, in which all is traded."""
    accounts = tuple(plan._replace(balance="1000000000") for plan in setting.accounts)
    return setting._replace(accounts=accounts, sessions=(0, 0, 0, 0))


@given(CHANCE.map(make_setting), RESTING, st.lists(st.integers(-8, 8), min_size=4, max_size=4))
def test_a_planted_miss_is_found_and_executed_as_its_tick_would_have(
    setting: Setting, resting: list[OrderPlan], offsets: list[int]
) -> None:
    player = Player(Run(rich(setting), resting, []))
    twins, oracle, now = player.twins, player.oracle, player.now
    assert sum(map(lose, books(player))) == len(resting)
    for number, symbol in enumerate(SYMBOLS):
        bid = BASE_POINTS[number] + offsets[number]
        missed = twins.engine.on_quote(Quote(symbol.name, bid, bid + 1, now), now)
        assert not isinstance(missed, QuoteRefusal)
        assert list(missed) == []
        point = Fraction(1, 10**symbol.digits)
        wanted = oracle.on_quote(symbol.name, bid * point, (bid + 1) * point, now, now)
        assert not isinstance(wanted, QuoteRefusal)
        found = [twins.engine.judge_order(order) for order in range(1, len(resting) + 1)]
        facts = [fact_of(decision, DIGITS) for decision in found if decision is not None]
        assert len(facts) == len(wanted)
        assert all(map(agree, facts, wanted))


@given(CHANCE.map(make_setting), RESTING, st.lists(CHANCE.map(make_tick), max_size=30))
def test_a_sweep_after_ticks_finds_nothing(
    setting: Setting, resting: list[OrderPlan], ticks: list[Tick]
) -> None:
    """Whatever ticks came, and of whatever symbols, no trigger was missed."""
    player = Player(Run(setting, resting, list(ticks)))
    player.play()
    for order in list(player.twins.desk.orders):
        assert player.twins.engine.judge_order(order) is None
