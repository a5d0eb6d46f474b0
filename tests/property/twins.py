"""Engine and oracle side by side: each decision of one is held against the other's."""

from collections import Counter
from collections.abc import Callable, Sequence
from decimal import Decimal
from fractions import Fraction

from service.domain.account import Account
from service.domain.commands import CommandDesk
from service.domain.decision import AccountState, Decision
from service.domain.desk import Desk
from service.domain.engine import Engine
from service.domain.instrument import GroupSymbol, UserType
from service.domain.order import OrderState, OrderStatus
from service.domain.quote import REPLAY_GUARD, Quote, QuoteRefusal
from service.domain.rejection import Rejected
from tests.property.fact import Fact, agree, fact_of
from tests.property.oracle_commands import CommandOracle, Refused
from tests.property.runs import DIGITS, GROUPS, SYMBOLS
from tests.property.steps import AccountPlan
from tests.property.valuation import PlainAccount


class Disagreement(AssertionError):
    """Engine and oracle decided differently."""


class Twins:
    """The engine and the oracle on the same market.

    What the engine decides is kept as it would be stored, in `orders` (live ones) and `accounts`;
    a restarted engine gets nothing else. `seen` counts what was decided and refused.
    """

    def __init__(
        self,
        terms: dict[tuple[str, str], GroupSymbol],
        plans: Sequence[AccountPlan],
    ) -> None:
        self.seen: Counter[str] = Counter()
        self.terms = terms
        self.plans = plans
        self.oracle = CommandOracle(
            SYMBOLS,
            GROUPS,
            terms.values(),
            [
                PlainAccount(
                    number, GROUPS[plan.group].name, Fraction(plan.leverage), Fraction(plan.balance)
                )
                for number, plan in enumerate(plans)
            ],
        )
        self.accounts = {
            number: AccountState(number, 0, Decimal(plan.balance), Decimal(0))
            for number, plan in enumerate(plans)
        }
        self.orders: dict[int, OrderState] = {}
        self.quotes: dict[str, tuple[int, Quote]] = {}
        self.commands = 0

    def start(self, decision_id: int, order_id: int, tick: int) -> None:
        """Start an engine on what is stored."""
        self.engine = self._loaded(tick)
        self.desk = self.engine.desk
        self.desk.next_decision_id, self.desk.next_order_id = decision_id, order_id
        self.command_desk = CommandDesk(self.desk, REPLAY_GUARD)

    def _loaded(self, tick: int) -> Engine:
        """Return a new engine with what is stored, primed with the quotes so far."""
        desk = Desk()
        for symbol in SYMBOLS:
            desk.set_symbol(symbol)
        for group in GROUPS:
            desk.set_group(group)
        for settings in self.terms.values():
            desk.set_terms(settings)
        for number, plan in enumerate(self.plans):
            state = self.accounts[number]
            desk.accounts[number] = Account(
                number,
                UserType.DEMO,
                GROUPS[plan.group],
                Decimal(plan.leverage),
                state.balance,
                state.sequence,
            )
        engine = Engine(desk, REPLAY_GUARD)
        for number, quote in self.quotes.values():
            desk.tick = number - 1
            engine.admit(quote, quote.time)
        desk.tick = tick
        engine.load(self.orders.values())
        return engine

    def _judge_again(self, quote: Quote) -> None:
        """Judge the last tick once more, as a resumed replay does: nothing of it is left."""
        again = self._loaded(self.desk.tick - 1).on_quote(quote, quote.time)
        if again:
            raise Disagreement(f"{quote} judged again after a restart: {again}")
        self.seen["judged again"] += 1

    def restart(self, *, keeps_quotes: bool) -> None:
        """Go on with a new engine; in a replay it has seen the ticks so far, live it has not."""
        if not keeps_quotes:
            self.quotes.clear()
            self.oracle.quotes.clear()
        desk = self.desk
        self.start(desk.next_decision_id, desk.next_order_id, desk.tick)
        self.seen["restart"] += 1

    def sweep(self) -> None:
        """Judge every live order as the timed sweeps do: no tick has missed any."""
        for order in self.oracle.orders:
            swept = self.engine.judge_order(order.order_id)
            if swept is not None:
                raise Disagreement(f"{order} was swept: {swept}")
            self.seen["left alone by a sweep"] += 1

    def change_terms(self, settings: GroupSymbol) -> None:
        self.terms[settings.group, settings.symbol] = settings
        self.oracle.terms[settings.group, settings.symbol] = settings
        self.desk.set_terms(settings)

    def quote(self, quote: Quote, now: int) -> None:
        decided = self.engine.on_quote(quote, now)
        scale = 10 ** DIGITS.get(quote.symbol, 0)
        bid, ask = Fraction(quote.bid, scale), Fraction(quote.ask, scale)
        deferred = self.oracle.deferred
        wanted = self.oracle.on_quote(quote.symbol, bid, ask, quote.time, now)
        self.seen["deferred"] += self.oracle.deferred - deferred
        if isinstance(wanted, QuoteRefusal) or isinstance(decided, QuoteRefusal):
            if decided is not wanted:
                raise Disagreement(f"{quote}: engine {decided!r}, oracle {wanted!r}")
            self.seen[f"refused {wanted}"] += 1
            return
        self.quotes[quote.symbol] = (self.desk.tick, quote)
        self.seen["several on a tick"] += len(wanted) > 1
        self.hold(decided, wanted)
        if any(fact.kind == "OPENED" for fact in wanted):
            self._judge_again(quote)

    def command(self, engine: Callable[[str], Decision], oracle: Callable[[], Fact]) -> None:
        self.commands += 1
        key = f"key-{self.commands}"
        decision = fact = code = wanted_code = None
        try:
            decision = engine(key)
        except Rejected as rejected:
            code = rejected.code
        try:
            fact = oracle()
        except Refused as refused:
            wanted_code = refused.code
        if code is not wanted_code:
            raise Disagreement(
                f"command: engine {code!r} {decision}, oracle {wanted_code!r} {fact}"
            )
        if decision is None or fact is None:
            self.seen[f"rejected {code}"] += 1
            return
        assert decision.key == key
        self.hold([decision], [fact])

    def hold(self, decided: Sequence[Decision], wanted: Sequence[Fact]) -> None:
        facts = [fact_of(decision, DIGITS) for decision in decided]
        if len(facts) != len(wanted) or not all(map(agree, facts, wanted)):
            lines = [f"engine {fact}" for fact in facts] + [f"oracle {fact}" for fact in wanted]
            raise Disagreement("\n".join(lines))
        for decision, fact in zip(decided, facts, strict=True):
            state = self.accounts[fact.account_id]
            assert decision.account.sequence == state.sequence + 1
            assert fact.balance == Fraction(state.balance) + sum(p[1] for p in fact.postings)
            self.accounts[fact.account_id] = decision.account
            self._store(decision)
            reason = fact.deal[1] if fact.deal is not None else ""
            self.seen[f"{fact.kind} {reason}".strip()] += 1

    def _store(self, decision: Decision) -> None:
        order = decision.order
        if order is None:
            return
        if order.status in (OrderStatus.PENDING, OrderStatus.OPEN):
            self.orders[order.order_id] = order
            return
        del self.orders[order.order_id]
        deal = decision.deal
        assert deal is not None
        assert order.reason is deal.reason
        if order.status is OrderStatus.CLOSED:
            ended = (order.close_price, order.close_time, order.profit)
            assert ended == (deal.price, deal.time, deal.profit)
