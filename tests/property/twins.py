"""Engine and oracle side by side: each decision of one is held against the other's."""

from collections import Counter
from collections.abc import Callable, Sequence
from decimal import Decimal
from fractions import Fraction

from service.domain.account import Account
from service.domain.commands import CommandDesk
from service.domain.decision import AccountState, Decision, EventKind
from service.domain.desk import Desk
from service.domain.engine import Engine
from service.domain.instrument import Group, GroupSymbol, Symbol, UserType
from service.domain.order import CloseReason
from service.domain.quote import REPLAY_GUARD, Quote, QuoteRefusal
from service.domain.rejection import Rejected
from service.domain.swap import charge_swap, owe_swaps
from tests.property.fact import MARGIN_WITHIN, Fact, agree, fact_of
from tests.property.markets import DIGITS
from tests.property.oracle_commands import Refused
from tests.property.oracle_correction import CorrectionOracle
from tests.property.steps import AccountPlan
from tests.property.store import Store
from tests.property.valuation import PlainAccount


class Disagreement(AssertionError):
    """Engine and oracle decided differently."""


class Twins:
    """The engine and the oracle on the same market.

    What the engine decides is kept in `store` as it would be stored; a restarted engine gets
    nothing else. `seen` counts what was decided and refused.
    """

    def __init__(
        self,
        symbols: Sequence[Symbol],
        groups: Sequence[Group],
        terms: Sequence[GroupSymbol],
        plans: Sequence[AccountPlan],
        *,
        is_replay: bool,
    ) -> None:
        self.is_replay = is_replay
        self.seen: Counter[str] = Counter()
        self.symbols = {symbol.name: symbol for symbol in symbols}
        self.groups = {group.name: group for group in groups}
        self.terms = {(term.group, term.symbol): term for term in terms}
        self.plans = plans
        self.names = [groups[plan.group].name for plan in plans]
        self.oracle = CorrectionOracle(
            symbols,
            groups,
            terms,
            [
                PlainAccount(number, name, Fraction(plan.leverage), Fraction(plan.balance))
                for number, (name, plan) in enumerate(zip(self.names, plans, strict=True))
            ],
        )
        self.store = Store(
            {
                number: AccountState(number, 0, Decimal(plan.balance), Decimal(0))
                for number, plan in enumerate(plans)
            }
        )
        self.quotes: dict[str, tuple[int, Quote]] = {}
        self.commands = 0

    # In and out of memory

    def start(self, decision_id: int, order_id: int, tick: int) -> None:
        """Start an engine on what is stored."""
        self.engine = self._loaded(tick, self.store)
        self.desk = self.engine.desk
        self.desk.next_decision_id, self.desk.next_order_id = decision_id, order_id
        self.command_desk = CommandDesk(self.desk, REPLAY_GUARD)

    def _loaded(self, tick: int, store: Store) -> Engine:
        """Return a new engine with what is stored, primed with the quotes so far."""
        desk = Desk()
        for symbol in self.symbols.values():
            desk.set_symbol(symbol)
        for group in self.groups.values():
            desk.set_group(group)
        for settings in self.terms.values():
            desk.set_terms(settings)
        for number, plan in enumerate(self.plans):
            state = store.accounts[number]
            desk.accounts[number] = Account(
                number,
                UserType.DEMO,
                self.groups[self.names[number]],
                Decimal(plan.leverage),
                state.balance,
                state.sequence,
                in_margin_call=state.in_margin_call,
            )
        engine = Engine(desk, REPLAY_GUARD)
        for number, quote in self.quotes.values():
            desk.tick = number - 1
            engine.admit(quote, quote.time)
        desk.tick = tick
        engine.load(store.orders.values())
        if self.oracle.marked_until:
            owe_swaps(desk, self.oracle.marked_until)
        engine.begin()
        return engine

    def restart(self, *, keeps_quotes: bool) -> None:
        """Go on with a new engine; in a replay it has seen the ticks so far, live it has not."""
        if not keeps_quotes:
            self.quotes.clear()
            self.oracle.quotes.clear()
        desk = self.desk
        self.start(desk.next_decision_id, desk.next_order_id, desk.tick)
        self.oracle.touched.clear()
        if self.is_replay:  # which may resume within a tick
            self.engine.examine_all()
            self.oracle.touched.update(self.desk.accounts)
        for order in self.oracle.orders:
            # What came to nothing was charged without a decision, so nothing of it is stored.
            order.swapped_until = self.store.orders[order.order_id].swapped_until
        self.seen["restart"] += 1

    def _judge_again(
        self, quote: Quote, now: int, before: Store, decisions: Sequence[Decision]
    ) -> None:
        """Judge the last tick once more after a restart: nothing of it is left to decide.

        A replay is resumed where only a part of a tick was committed, too: then the rest is.
        """
        parts = {len(decisions)}
        if self.is_replay:
            parts.add(self.desk.tick % (len(decisions) + 1))
        for committed in parts:
            store = before.copy()
            for decision in decisions[:committed]:
                store.take(decision)
            engine = self._loaded(self.desk.tick - 1, store)
            if self.is_replay:
                engine.examine_all()
            again = engine.on_quote(quote, now)
            assert not isinstance(again, QuoteRefusal)
            rest = [fact_of(decision, DIGITS) for decision in decisions[committed:]]
            facts = [fact_of(decision, DIGITS) for decision in again]
            if len(facts) != len(rest) or not all(map(agree, facts, rest)):
                lines = [f"resumed {f}" for f in facts] + [f"went on {f}" for f in rest]
                raise Disagreement(f"{quote} again after {committed} commits\n" + "\n".join(lines))
            self.seen["judged again"] += 1

    # What happens

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

    def change_group(self, group: Group) -> None:
        self.groups[group.name] = self.oracle.groups[group.name] = group
        self.desk.set_group(group)
        self.seen[f"group {group.trading_state}"] += 1

    def change_symbol(self, symbol: Symbol) -> None:
        self.symbols[symbol.name] = self.oracle.symbols[symbol.name] = symbol
        self.desk.set_symbol(symbol)
        self.seen[f"symbol {symbol.trading_state}"] += 1

    def quote(self, quote: Quote, now: int) -> None:
        before = self.store.copy()
        decided = self.engine.on_quote(quote, now)
        assert not self.desk.faults, self.desk.faults
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
        self.hold(decided, wanted)
        self._note(quote, decided)
        if decided:
            self._judge_again(quote, now, before, decided)
        self.quotes[quote.symbol] = (self.desk.tick, quote)
        self.compare_accounts()

    def _note(self, quote: Quote, decisions: Sequence[Decision]) -> None:
        """Count what is rare on a tick."""
        self.seen["several on a tick"] += len(decisions) > 1
        stopped = [d.order for d in decisions if d.deal and d.deal.reason is CloseReason.STOP_OUT]
        for order in stopped:
            assert order is not None
            self.seen["stopped out elsewhere"] += order.symbol != quote.symbol
        accounts = [order.account_id for order in stopped if order is not None]
        self.seen["several stopped out"] += len(accounts) > len(set(accounts))
        for decision in decisions:
            if decision.kind is EventKind.TRAILED and decision.order is not None:
                side = "long" if decision.order.order_type.is_buy else "short"
                self.seen[f"trailed {side}"] += 1

    def compare_accounts(self) -> None:
        """Hold the live equity of every account against the oracle's, and what follows from it."""
        for number, plain in self.oracle.accounts.items():
            account, equity = self.desk.accounts[number], self.oracle.equity(plain)
            live = account.equity()
            if (live is None) != (equity is None) or (
                live is not None
                and equity is not None
                and abs(Fraction(live) - equity) > MARGIN_WITHIN
            ):
                raise Disagreement(f"equity of {plain}: engine {live}, oracle {equity}")
            if abs(Fraction(account.margin) - self.oracle.margin(plain)) > MARGIN_WITHIN:
                raise Disagreement(f"margin of {plain}: engine {account.margin}")
            if account.in_margin_call != plain.in_margin_call:
                raise Disagreement(f"margin call of {plain}: engine {account.in_margin_call}")
            self.seen["unpriced"] += equity is None
            self.seen["in debt with positions"] += (
                equity is not None and equity <= 0 < account.margin
            )
            self.seen["hedged"] += any(
                each.long_volume and each.short_volume for each in account.exposures.values()
            )

    def expire(self, now: int) -> None:
        self.hold(self.engine.expire(now), self.oracle.expire(now))

    def mark_swaps(self, now: int) -> None:
        """Look for the positions that owe a swap at `now`."""
        owe_swaps(self.desk, now)
        self.oracle.mark(now)

    def charge_swaps(self) -> None:
        charged = [charge_swap(self.desk, order) for order in list(self.desk.owing.values())]
        decided = [decision for decision in charged if decision is not None]
        self.hold(decided, self.oracle.charge_swaps())

    def command(self, engine: Callable[[str], Decision], oracle: Callable[[], Fact]) -> bool:
        """Give a command to both; tell whether it was done and not refused."""
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
            return False
        assert decision.key == key
        self.hold([decision], [fact])
        return True

    def hold(self, decided: Sequence[Decision], wanted: Sequence[Fact]) -> None:
        facts = [fact_of(decision, DIGITS) for decision in decided]
        if len(facts) != len(wanted) or not all(map(agree, facts, wanted)):
            lines = [f"engine {fact}" for fact in facts] + [f"oracle {fact}" for fact in wanted]
            raise Disagreement("\n".join(lines))
        for decision, fact in zip(decided, facts, strict=True):
            state = self.store.accounts[fact.account_id]
            assert decision.account.sequence == state.sequence + 1
            assert fact.balance == Fraction(state.balance) + sum(p[1] for p in fact.postings)
            self.store.take(decision)
            deal = fact.deal
            reason = "" if deal is None or deal.corrects is not None else deal.reason
            self.seen[f"{fact.kind} {reason}".strip()] += 1
            for kind, _, _ in fact.postings:
                self.seen[f"posted {kind}"] += 1
                self.seen["swap paid on closing"] += kind == "SWAP" and fact.kind == "CLOSED"
