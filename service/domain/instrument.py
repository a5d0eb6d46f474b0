"""Instruments, client groups and the terms a group trades a symbol on.

The markup of a group on a symbol is `spread * spread_pip`, in points whole and >= 0; it is split
`ceil(m/2)` on the buy side and `floor(m/2)` on the sell side.
"""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING

from service.domain.money import EXACT, ScaleError, to_scaled

if TYPE_CHECKING:
    from service.domain.sessions import Sessions

MARGIN_CALL_HYSTERESIS = Decimal(5)
WEDNESDAY = 2


class SettingsError(ValueError):
    """Trading settings that contradict themselves; the message says which value and why."""


class InstrumentType(StrEnum):
    FOREX = "forex"
    METAL = "metal"
    INDEX = "index"
    COMMODITY = "commodity"
    CRYPTO = "crypto"


class FillPolicy(StrEnum):
    """At what price a triggered order fills: the tick's group price, or the price asked for."""

    MARKET = "market"
    REQUESTED = "requested"


class TradingState(StrEnum):
    """What may be dealt: the kill switch of a symbol or a group.

    What is triggered meanwhile waits, and is judged by the first quote after it may be dealt again.
    """

    ACTIVE = "active"
    CLOSE_ONLY = "close_only"
    HALTED = "halted"

    @property
    def may_open(self) -> bool:
        return self is TradingState.ACTIVE

    @property
    def may_close(self) -> bool:
        return self is not TradingState.HALTED


class CommissionType(StrEnum):
    ENTRY = "entry"
    EXIT = "exit"
    ENTRY_AND_EXIT = "entry_and_exit"

    @property
    def at_entry(self) -> bool:
        return self is not CommissionType.EXIT

    @property
    def at_exit(self) -> bool:
        return self is not CommissionType.ENTRY


class CommissionValueType(StrEnum):
    PER_LOT = "per_lot"
    PERCENT = "percent"


class UserType(StrEnum):
    LIVE = "live"
    DEMO = "demo"


@dataclass(frozen=True, slots=True)
class Symbol:
    """An instrument. Volumes are in units of 1/10,000 lot.

    Attributes:
        digits: decimals of the price, 0 to 8; one point is 10^-digits.
        contract_size: units of the base currency in one lot.
        trigger_tolerance_points: how near a trigger counts as reached (R2.3); 0 is exact.
        max_jump_points: largest move between two quotes that needs no confirmation; None is 2 %.
        sessions: when it is traded; None: always. Quotes outside are refused.
        triple_swap_weekday: the day (Monday 0 to Friday 4) whose rollover charges three nights, and
            none is charged on Saturday and Sunday; None: one night on each of the seven days.
    """

    name: str
    digits: int
    contract_size: Decimal
    base_currency: str
    profit_currency: str
    instrument_type: InstrumentType
    min_volume: int
    max_volume: int
    volume_step: int
    trigger_tolerance_points: int = 0
    max_jump_points: int | None = None
    trading_state: TradingState = TradingState.ACTIVE
    sessions: "Sessions | None" = None
    triple_swap_weekday: int | None = WEDNESDAY

    def __post_init__(self) -> None:
        if not 0 <= self.digits <= 8:
            raise SettingsError(f"digits of {self.name} must be 0 to 8, not {self.digits}")
        if not (self.contract_size.is_finite() and self.contract_size > 0):
            raise SettingsError(f"contract_size of {self.name} must be > 0")
        if not 0 < self.min_volume <= self.max_volume:
            raise SettingsError(f"lots of {self.name} must satisfy 0 < min_lot <= max_lot")
        if self.volume_step <= 0:
            raise SettingsError(f"lot_step of {self.name} must be > 0")
        if self.trigger_tolerance_points < 0:
            raise SettingsError(f"trigger_tolerance_points of {self.name} must be >= 0")
        if self.max_jump_points is not None and self.max_jump_points <= 0:
            raise SettingsError(f"max_jump_points of {self.name} must be > 0")
        if self.triple_swap_weekday is not None and not 0 <= self.triple_swap_weekday <= 4:
            raise SettingsError(f"triple_swap_weekday of {self.name} must be 0 (Monday) to 4")


@dataclass(frozen=True, slots=True)
class Group:
    """A set of accounts with the same terms. Levels are margin levels in percent.

    Attributes:
        negative_balance_protection: whether a negative balance is reset once the account is flat.
        margin_call_hysteresis: how far above `margin_call_level` a margin call is over, >= 0.
    """

    name: str
    margin_call_level: Decimal
    stop_out_level: Decimal
    negative_balance_protection: bool
    fill_policy: FillPolicy
    margin_call_hysteresis: Decimal = MARGIN_CALL_HYSTERESIS
    trading_state: TradingState = TradingState.ACTIVE

    def __post_init__(self) -> None:
        where = f"of group {self.name}"
        _check_finite("margin_call_level", self.margin_call_level, where)
        _check_finite("stop_out_level", self.stop_out_level, where)
        _check_finite("margin_call_hysteresis", self.margin_call_hysteresis, where)
        if not 0 <= self.stop_out_level <= self.margin_call_level:
            raise SettingsError(
                f"levels of group {self.name} must satisfy 0 <= stop_out_level <= margin_call_level"
            )
        if self.margin_call_hysteresis < 0:
            raise SettingsError(f"margin_call_hysteresis {where} must be >= 0")


@dataclass(frozen=True, slots=True)
class GroupSymbol:
    """The terms on which a group trades a symbol.

    Attributes:
        spread: markup in pips, >= 0; `spread_pip`: the size of one pip as a price.
        commission: USD per lot, or percent of the notional, by `commission_value_type`.
        swap_long, swap_short: what a night costs or, where positive, brings: points of the price,
            so `swap * contract_size * 10^-digits` in the profit currency for each lot.
        margin_factor: multiplies the margin, > 0.
    """

    group: str
    symbol: str
    spread: Decimal
    spread_pip: Decimal
    commission_type: CommissionType
    commission_value_type: CommissionValueType
    commission: Decimal
    swap_long: Decimal
    swap_short: Decimal
    margin_factor: Decimal

    def __post_init__(self) -> None:
        where = f"of group {self.group} on {self.symbol}"
        _check_finite("spread", self.spread, where)
        _check_finite("spread_pip", self.spread_pip, where)
        _check_finite("commission", self.commission, where)
        _check_finite("swap_long", self.swap_long, where)
        _check_finite("swap_short", self.swap_short, where)
        _check_finite("margin_factor", self.margin_factor, where)
        if self.spread < 0 or self.spread_pip < 0:
            raise SettingsError(f"spread and spread_pip {where} must be >= 0")
        if self.commission < 0:
            raise SettingsError(f"commission {where} must be >= 0")
        if self.margin_factor <= 0:
            raise SettingsError(f"margin_factor {where} must be > 0")

    def markup_points(self, digits: int) -> int:
        """Return the markup in whole points of a symbol with `digits` decimals.

        Raises:
            SettingsError: the markup is not a whole number of points.
        """
        markup = EXACT.multiply(self.spread, self.spread_pip)
        try:
            return to_scaled(markup, digits)
        except ScaleError:
            raise SettingsError(
                f"spread * spread_pip of group {self.group} on {self.symbol} is {markup}, "
                f"which is not a whole number of points of 10^-{digits}"
            ) from None


def _check_finite(name: str, value: Decimal, where: str) -> None:
    # First of all: a comparison with NaN raises.
    if not value.is_finite():
        raise SettingsError(f"{name} {where} must be a finite number, not {value}")
