"""The portfolio job, once a minute: what every user with positions is worth, user by user."""

from tests.bench.before.cache import (
    SELECT_ORDERS,
    encode,
    order_fields,
    portfolio_key,
    scan_settings,
    user_of,
)
from tests.bench.before.money import portfolio
from tests.bench.before.positions import USER_TYPES
from tests.bench.before.stores import Session, Stores
from tests.bench.before.user_state import group_prices

SELECT_USERS = """
SELECT account_id FROM accounts WHERE user_type = $1 AND account_id <= $2 ORDER BY account_id
"""


async def run_portfolio_job(stores: Stores, last_user: int) -> int:
    """Value the users up to `last_user`; return how many have positions."""
    valued = 0
    async with stores.session() as session:
        for user_type in USER_TYPES:
            for row in await session.fetch(SELECT_USERS, user_type, last_user):
                valued += await _value(stores, session, user_type, row["account_id"])
    return valued


async def _value(stores: Stores, session: Session, user_type: str, user_id: int) -> bool:
    user = await user_of(stores, session, user_type, user_id)
    group = user["group_name"]
    settings = await scan_settings(stores, group)
    rows = await session.fetch(
        SELECT_ORDERS + "WHERE o.account_id = $1 AND o.status = 'OPEN'", user_id
    )
    if not rows:
        return False
    prices = await group_prices(stores, group, [symbol for _, symbol in settings])
    worth = portfolio(user, list(map(order_fields, rows)), prices, settings)
    await stores.redis.set(portfolio_key(user_type, user_id), encode(worth))
    stores.log.info("User %s: margin level %s", user_id, worth["margin_level"])
    return True
