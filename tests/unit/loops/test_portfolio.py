"""A portfolio is valued where its group's settings are known."""

import pytest

from service.domain.desk import Desk
from service.domain.instrument import UserType
from service.loops.answers import Unavailable
from service.loops.portfolio import value
from service.storage.views import AccountView


def test_settings_that_are_not_here_yet_are_waited_for() -> None:
    """They come to a gateway after they are stored, and so may an account of a new group."""
    account = AccountView(
        account_id=1,
        user_type=UserType.LIVE,
        group="new",
        leverage="100",
        balance="0.00",
        margin="0",
        sequence=0,
    )
    with pytest.raises(Unavailable, match="group new are not here yet"):
        value(account, [], Desk())
