"""The levels of planned orders: in points for the engine, as prices for the oracle."""

from fractions import Fraction
from typing import NamedTuple

from service.domain.instructions import PlaceOrder
from service.domain.order import OrderState, OrderStatus
from tests.property.markets import DIGITS, NAMES
from tests.property.oracle import FALLS
from tests.property.oracle_dealing import MARKET
from tests.property.steps import OrderPlan
from tests.property.valuation import LONG, SECOND, STOP_LIMITS, PlainAccount, PlainOrder


class Levels(NamedTuple):
    """Prices and distances in points, a time in ns UTC."""

    price: int | None
    stop_loss: int | None
    take_profit: int | None
    limit_price: int | None
    trailing: int | None
    expires_at: int | None

    @classmethod
    def of(cls, order: PlainOrder) -> "Levels":
        scale = 10 ** DIGITS[order.symbol]

        def points(price: Fraction | None) -> int | None:
            return None if price is None else int(price * scale)

        return cls(
            points(order.price),
            points(order.stop_loss),
            points(order.take_profit),
            points(order.limit_price),
            points(order.trailing),
            order.expires_at,
        )

    def place(self, plan: OrderPlan) -> PlaceOrder:
        return PlaceOrder(
            plan.account,
            NAMES[plan.symbol],
            plan.order_type,
            plan.volume,
            self.price,
            self.stop_loss,
            self.take_profit,
            None,
            self.limit_price,
            self.trailing,
            self.expires_at,
        )


def placed(plan: OrderPlan, base: int, now: int) -> Levels:
    """Return the levels of an order around its price of `base` points."""
    sign = 1 if plan.order_type in LONG else -1
    is_market = plan.order_type in MARKET
    is_stop_limit = plan.order_type in STOP_LIMITS
    opens_at = base - sign * plan.limit if is_stop_limit else base
    return Levels(
        None if is_market else base,
        None if plan.stop is None else opens_at - sign * plan.stop,
        None if plan.take is None else opens_at + sign * plan.take,
        opens_at if is_stop_limit else None,
        plan.trailing,
        None if plan.life is None or is_market else now + plan.life * SECOND,
    )


def near(bid: int, plan: OrderPlan, now: int) -> Levels:
    """Return levels near the last bid, mostly on the side where the order may rest."""
    if plan.order_type not in MARKET:
        bid += -plan.offset if plan.order_type in FALLS else plan.offset
    return placed(plan, bid, now)


def plain_order(number: int, account: PlainAccount, plan: OrderPlan, levels: Levels) -> PlainOrder:
    """Return a planned order as the oracle keeps it."""
    scale = 10 ** DIGITS[NAMES[plan.symbol]]

    def price(points: int | None) -> Fraction | None:
        return None if points is None else Fraction(points, scale)

    return PlainOrder(
        number,
        account,
        NAMES[plan.symbol],
        plan.order_type,
        plan.volume,
        price(levels.price),
        price(levels.stop_loss),
        price(levels.take_profit),
        price(levels.limit_price),
        price(levels.trailing),
        levels.expires_at,
    )


def resting_state(number: int, plan: OrderPlan, levels: Levels, now: int) -> OrderState:
    """Return a planned order as it is stored before a run."""
    return OrderState(
        number,
        plan.account,
        None,
        NAMES[plan.symbol],
        plan.order_type,
        OrderStatus.PENDING,
        plan.volume,
        levels.price,
        levels.stop_loss,
        levels.take_profit,
        trigger=None,
        stop_loss_trigger=None,
        take_profit_trigger=None,
        placed_time=now,
        open_price=None,
        open_time=None,
        open_tick=None,
        margin=None,
        commission=None,
        close_price=None,
        close_time=None,
        profit=None,
        reason=None,
        limit_price=levels.limit_price,
        trailing_distance=levels.trailing,
        expires_at=levels.expires_at,
    )
