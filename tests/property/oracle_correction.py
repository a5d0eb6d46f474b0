"""The oracle's deal corrections: a deal taken back with its ledger entries."""

from dataclasses import replace
from fractions import Fraction

from service.domain.rejection import RejectCode
from tests.property.fact import Fact, PlainDeal, Posted
from tests.property.oracle_commands import CommandOracle, Refused
from tests.property.oracle_swap import rollovers
from tests.property.valuation import SECOND, PlainOrder

WEEK = 7 * 24 * 3600 * SECOND


class CorrectionOracle(CommandOracle):
    """Takes deals back, all but a swap that was due anyway."""

    def correct(self, number: int, now: int) -> Fact:
        """Take back the deal of the fact `number`, which was not taken back yet."""
        fact, order, _ = self.deals[number]
        deal = fact.deal
        assert deal is not None
        live = order if order in self.orders else None
        match deal.event:
            case "CLOSE" if live is None:
                self.take_back(order, deal)
                # For the nights it stood closed it owes nothing.
                if self.marked_until:
                    *_, (last, _) = rollovers(self.marked_until - WEEK, self.marked_until)
                    order.swapped_until = max(order.swapped_until or 0, last)
                self.orders.append(order)
                self.orders.sort(key=lambda each: each.order_id)
                postings, told = self.reverse(order, fact), ("OPEN", "CLOSED")
            case "PARTIAL_CLOSE" if live is not None:
                assert deal.volume is not None
                assert order.margin is not None
                self.take_back(order, deal)
                whole = order.volume + deal.volume
                order.margin, order.volume = order.margin * whole / order.volume, whole
                postings, told = self.reverse(order, fact), ("OPEN", "OPEN")
            case "OPEN" if live is not None and live.volume == deal.volume:
                self.orders.remove(order)
                postings, told = self.reverse(order, fact), ("CANCELLED", "OPEN")
                if order.swap:
                    postings += self.post(order.account, CORRECTION=-order.swap)
                if not self.positions(order.account):
                    order.account.in_margin_call = False
            case _:
                raise Refused(RejectCode.DEAL_NOT_CORRECTABLE)
        taken_back = deal._replace(
            event="CORRECTION",
            profit=-deal.profit,
            commission=-deal.commission,
            balance_after=order.account.balance,
            time=now,
            corrects=number,
        )
        return self.told("CORRECTED", order, *told, now, postings, taken_back, replace(order))

    def take_back(self, order: PlainOrder, deal: PlainDeal) -> None:
        """Give a position back what a closing has earned and cost; none is left as before any."""
        assert order.commission is not None
        assert order.profit is not None
        order.commission -= deal.commission
        rest: Fraction = order.profit - deal.profit
        order.profit = rest or None

    def reverse(self, order: PlainOrder, fact: Fact) -> tuple[Posted, ...]:
        return tuple(
            entry
            for kind, amount, _ in fact.postings
            if kind != "SWAP"
            for entry in self.post(order.account, CORRECTION=-amount)
        )
