"""Random administrators: halts, changed terms and levels, corrections; one of each at a time."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from decimal import Decimal
from random import Random

from service.domain.commands import CommandDesk
from service.domain.corrections import CorrectDeal
from service.domain.decision import Audit, Decision
from service.domain.instrument import FillPolicy, TradingState
from service.domain.rejection import Rejected
from service.domain.shard import ALL_ACCOUNTS
from service.loops.administration import Administration
from service.loops.answers import Unavailable, Withdrawn
from service.loops.bus import MemoryBus
from service.loops.intake import Intake
from service.loops.requests import Author
from service.loops.trading import Trading
from service.storage.audit import AuditAction
from service.storage.database import Database
from service.storage.errors import Unreachable
from service.storage.reader import Reader
from service.storage.settings_version import SettingsVersions
from tests.soak.book import INSTRUMENTS, random_terms
from tests.soak.market import Clock

PAUSE_S = 0.2
MAX_HALTED = 4
AUTHOR = Author("soak", "as the dice fell")
_RECENT = """
SELECT deal_id FROM deals WHERE event IN ('OPEN', 'CLOSE', 'PARTIAL_CLOSE')
ORDER BY deal_id DESC LIMIT 300
"""
_STATES = (TradingState.CLOSE_ONLY, TradingState.HALTED)


class Administrators:
    """What administrators do to one shard."""

    def __init__(
        self, random: Random, trading: Trading, database: Database, reader: Reader, clock: Clock
    ) -> None:
        self._random = random
        self._trading = trading
        self._database = database
        self._reader = reader
        self._clock = clock
        bus = MemoryBus(ALL_ACCOUNTS.of)
        bus.serve(ALL_ACCOUNTS, Intake(trading, reader), trading.on_quote)
        self._administration = Administration(bus, SettingsVersions(database))
        self._halted: list[Callable[[TradingState], Awaitable[object]]] = []
        self._may_act = asyncio.Event()
        self._at_rest = asyncio.Event()
        self.outcomes: Counter[str] = Counter()
        self.faults: list[str] = []

    async def run(self) -> None:
        """Do one thing after the other until cancelled, but while `rest` holds."""
        while True:
            self._at_rest.set()
            await self._may_act.wait()
            self._at_rest.clear()
            await self._act(
                self._random.choice(
                    (
                        self._halt,
                        self._resume,
                        self._change_terms,
                        self._change_group,
                        self._change_symbol,
                        self._correct,
                        self._correct,
                    )
                )
            )
            await asyncio.sleep(PAUSE_S)

    def resume(self) -> None:
        self._may_act.set()

    async def rest(self) -> None:
        """Finish what is under way, and do nothing more until `resume`."""
        self._may_act.clear()
        await self._at_rest.wait()

    async def resume_all_trading(self) -> None:
        """Let everything trade that was halted; only at rest."""
        while self._halted:
            await self._act(self._resume)

    async def _act(self, what: Callable[[], Awaitable[None]]) -> None:
        name = what.__name__.strip("_")
        try:
            await what()
        except Rejected as refused:
            self.outcomes[f"{name} {refused.code}"] += 1
        except (Unavailable, Unreachable, Withdrawn) as error:
            self.outcomes[f"{name} {type(error).__name__}"] += 1
        except Exception as error:
            self.faults.append(f"{name} failed: {error!r}")
        else:
            self.outcomes[name] += 1

    # The kill switch

    async def _halt(self) -> None:
        if len(self._halted) >= MAX_HALTED:
            return
        desk, random = self._trading.desk, self._random
        if random.random() < 0.7:
            symbol = random.choice(list(desk.markets))
            switch = self._switch(self._administration.set_symbol_state, symbol)
        else:
            switch = self._switch(
                self._administration.set_group_state, random.choice([*desk.groups])
            )
        self._halted.append(switch)
        await switch(random.choice(_STATES))

    async def _resume(self) -> None:
        if self._halted:
            switch = self._random.choice(self._halted)
            await switch(TradingState.ACTIVE)
            self._halted.remove(switch)

    def _switch(
        self, set_state: Callable[[str, TradingState, Author], Awaitable[object]], name: str
    ) -> Callable[[TradingState], Awaitable[object]]:
        return lambda state: set_state(name, state, AUTHOR)

    # Settings

    async def _change_terms(self) -> None:
        group = self._random.choice(list(self._trading.desk.groups))
        terms = random_terms(self._random, group, self._random.choice(INSTRUMENTS))
        await self._administration.set_terms(terms, AUTHOR)

    async def _change_group(self) -> None:
        random = self._random
        group = random.choice(list(self._trading.desk.groups.values()))
        call = Decimal(random.randint(50, 150))
        changed = replace(
            group,
            margin_call_level=call,
            stop_out_level=Decimal(random.randint(0, int(call))),
            margin_call_hysteresis=Decimal(random.randint(0, 30)),
            negative_balance_protection=random.random() < 0.6,
            fill_policy=random.choice(tuple(FillPolicy)),
        )
        await self._administration.set_group(changed, AUTHOR)

    async def _change_symbol(self) -> None:
        random = self._random
        market = random.choice(list(self._trading.desk.markets.values()))
        changed = replace(market.symbol, trigger_tolerance_points=random.randint(0, 3))
        await self._administration.set_symbol(changed, AUTHOR)

    # Corrections

    async def _correct(self) -> None:
        async with self._database.read("dealt") as connection:
            recent = [row["deal_id"] for row in await connection.fetch(_RECENT)]
        if not recent:
            return
        deal_id = self._random.choice(recent)
        dealt = await self._reader.dealt(deal_id)
        assert dealt is not None
        if dealt.corrected_by is not None:
            return
        command = CorrectDeal(deal_id, dealt.deal, dealt.order, dealt.postings)
        audit = Audit(AUTHOR.actor, AuditAction.CORRECT_DEAL, f"deal {deal_id}", AUTHOR.reason)

        def decide(desk: CommandDesk, _: int) -> Decision:
            return desk.correct(command, self._clock.now, None, audit)

        await self._trading.command(dealt.order.account_id, None, decide)
