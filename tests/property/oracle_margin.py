"""The oracle's margin calls and stop-outs: every account looked at on every tick of its markets."""

from fractions import Fraction

from tests.property.fact import Fact
from tests.property.oracle_dealing import Dealing
from tests.property.valuation import PlainAccount, PlainOrder


class MarginOracle(Dealing):
    """Judges accounts."""

    def depends(self, account: PlainAccount, symbol: str) -> bool:
        """Tell whether a quote of a symbol moves what an account is worth."""
        for order in self.positions(account):
            rate = self.rate_of(self.symbols[order.symbol].profit_currency)
            if order.symbol == symbol or (rate is not None and rate[0] == symbol):
                return True
        return False

    def level(self, account: PlainAccount, percent: Fraction) -> Fraction:
        """Return the equity at which the margin level of an account is `percent`."""
        return self.margin(account) * percent / 100

    def judge_account(self, account: PlainAccount, symbol: str) -> list[Fact]:
        """Judge an account on a tick of a symbol."""
        group, time = self.groups[account.group], self.quotes[symbol].time
        equity = self.equity(account)
        if equity is None or not self.positions(account):
            return []
        facts = []
        call_level = Fraction(group.margin_call_level)
        if not account.in_margin_call and (equity <= 0 or equity < self.level(account, call_level)):
            account.in_margin_call = True
            facts.append(self.told_of_account("MARGIN_CALLED", account, time))
        while self.is_stopped_out(account):
            order = self.worst(account, time)
            if order is None:
                return facts
            fact = self.close(order, "STOP_OUT", time)
            assert fact is not None
            facts.append(fact)
        equity = self.equity(account)
        restored = self.level(account, call_level + Fraction(group.margin_call_hysteresis))
        if account.in_margin_call and equity is not None and equity >= restored:
            account.in_margin_call = False
            facts.append(self.told_of_account("MARGIN_RESTORED", account, time))
        return facts

    def is_stopped_out(self, account: PlainAccount) -> bool:
        equity = self.equity(account)
        if equity is None or not self.positions(account):
            return False
        stop_out = Fraction(self.groups[account.group].stop_out_level)
        return equity <= 0 or equity < self.level(account, stop_out)

    def worst(self, account: PlainAccount, time: int) -> PlainOrder | None:
        """Return the largest loss that can be dealt at `time`, the older one of equals."""
        found: list[tuple[Fraction, int, PlainOrder]] = []
        for order in self.positions(account):
            profit = self.live_profit(order)
            assert profit is not None
            if (
                self.may_close(order)
                and self.is_live(order.symbol, time)
                and self.closing(order, "STOP_OUT") is not None
            ):
                found.append((profit, order.order_id, order))
        return min(found)[2] if found else None
