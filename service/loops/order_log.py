"""Deals in the log, for whoever follows the orders there (R9.1): one line at DEBUG a commit.

However many deals a commit has, the line names `NAMED` of them at most.
"""

from collections.abc import Sequence

from loguru import logger

from service.storage.queue import Written

NAMED = 5


def log_deals(written: Sequence[Written]) -> None:
    """Log the deals among what was committed."""
    dealt = [each.decision for each in written if each.decision.deal is not None]
    if not dealt:
        return
    named = []
    for decision in dealt[:NAMED]:
        order, deal = decision.order, decision.deal
        assert deal is not None
        whose = "" if order is None else f" order {order.order_id}"
        named.append(
            f"{decision.kind}{whose} of account {decision.account.account_id} ({deal.reason})"
        )
    more = f" and {len(dealt) - NAMED} more" if len(dealt) > NAMED else ""
    logger.debug("committed {}{}", ", ".join(named), more)
