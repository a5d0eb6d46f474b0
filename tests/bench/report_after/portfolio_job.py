"""The portfolio job, once a minute: what every user with positions is worth, group by group."""

from tests.bench.before.cache import (
    SELECT_ORDERS,
    Fields,
    decode,
    encode,
    order_fields,
    portfolio_key,
    scan_settings,
    user_key,
)
from tests.bench.before.money import portfolio
from tests.bench.before.positions import USER_TYPES
from tests.bench.before.stores import Session, Stores
from tests.bench.before.user_state import prices_at_once

_SELECT_USERS = """
SELECT account_id, group_name FROM accounts WHERE user_type = $1 AND account_id <= $2
ORDER BY account_id
"""


async def run_portfolio_job(stores: Stores, last_user: int) -> int:
    """Value the users up to `last_user`; return how many have positions."""
    groups: dict[str, list[tuple[str, int]]] = {}
    async with stores.session() as session:
        for user_type in USER_TYPES:
            for row in await session.fetch(_SELECT_USERS, user_type, last_user):
                user = user_type, row["account_id"]
                groups.setdefault(row["group_name"], []).append(user)
        valued = 0
        for group, users in groups.items():
            valued += await _value(stores, session, group, users)
    return valued


async def _value(stores: Stores, session: Session, group: str, users: list[tuple[str, int]]) -> int:
    settings = await scan_settings(stores, group)
    prices = await prices_at_once(stores, group, [symbol for _, symbol in settings])
    found = await stores.redis.mget([user_key(*user) for user in users])
    rows = await session.fetch(
        SELECT_ORDERS + "WHERE o.account_id = ANY ($1) AND o.status = 'OPEN'",
        [user_id for _, user_id in users],
    )
    held: dict[int, list[Fields]] = {}
    for row in rows:
        held.setdefault(row["account_id"], []).append(order_fields(row))
    async with stores.redis.pipeline(transaction=False) as pipe:
        for (user_type, user_id), text in zip(users, found, strict=True):
            if user_id in held:
                worth = portfolio(decode(text), held[user_id], prices, settings)
                pipe.set(portfolio_key(user_type, user_id), encode(worth))
                stores.log.debug("User %s: margin level %s", user_id, worth["margin_level"])
        await pipe.execute()
    stores.log.info("Group %s: %s users valued", group, len(held))
    return len(held)
