"""Which group an account is in: it is opened in one and stays there, so it is read once."""

from collections import OrderedDict

from service.api.ports import Portfolios
from service.domain.rejection import RejectCode, Rejected

MAX_REMEMBERED = 100_000


class AccountGroups:
    """Remembers the groups of the accounts that were asked for last."""

    def __init__(self, portfolios: Portfolios) -> None:
        self._portfolios = portfolios
        self._groups: OrderedDict[int, str] = OrderedDict()

    async def of(self, account_id: int) -> str:
        """Return the name of an account's group.

        Raises:
            Rejected: there is no such account.
            Unreachable: it was not asked for lately, and the database is away.
        """
        groups = self._groups
        group = groups.get(account_id)
        if group is None:
            found = await self._portfolios.static_orders(account_id)
            if found is None:
                raise Rejected(RejectCode.UNKNOWN_ACCOUNT, f"there is no account {account_id}")
            group = groups[account_id] = found[0].group
            if len(groups) > MAX_REMEMBERED:
                groups.popitem(last=False)
        groups.move_to_end(account_id)
        return group
