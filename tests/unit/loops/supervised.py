"""A supervisor on a clock of the test's, and runs that end as they are told."""

from random import Random

from prometheus_client.parser import text_string_to_metric_families

from service.instruments import Instruments
from service.loops.loop_status import LoopStatus
from service.loops.supervisor import LoopGroup, Supervisor
from tests.unit.loops.clock import ManualClock

LOOP = "sweep"
INTERVAL_S, MAX_INTERVAL_S, DEADLINE_S = 10.0, 30.0, 20.0
BAD = ValueError("bad")


class NoJitter(Random):
    def uniform(self, a: float, b: float) -> float:
        return b


class Script:
    """A run that ends as it is told, one outcome after the other, and is well in the end."""

    def __init__(self, clock: ManualClock, *outcomes: BaseException | float | None) -> None:
        self._clock = clock
        self._outcomes = list(outcomes)
        self.begun: list[float] = []
        self.running = 0

    async def __call__(self) -> None:
        self.begun.append(self._clock.now_s)
        self.running += 1
        assert self.running == 1, "there are never two runs at once"
        try:
            outcome = self._outcomes.pop(0) if self._outcomes else None
            if isinstance(outcome, float):
                await self._clock.sleep(outcome)
            elif outcome is not None:
                raise outcome
        finally:
            self.running -= 1

    @property
    def waits(self) -> list[float]:
        """The times between one beginning and the next."""
        return [after - before for before, after in zip(self.begun, self.begun[1:], strict=False)]


class Loops:
    """A supervisor on a clock of the test's, with one group."""

    def __init__(self, clock: ManualClock, instruments: Instruments) -> None:
        self.clock = clock
        self.instruments = instruments
        self.supervisor = Supervisor(instruments, NoJitter(), clock.clock)
        self.group: LoopGroup

    def repeat(self, *outcomes: BaseException | float | None, name: str = LOOP) -> Script:
        script = Script(self.clock, *outcomes)
        self.hurry = self.group.repeat(
            name,
            script,
            interval_s=INTERVAL_S,
            max_interval_s=MAX_INTERVAL_S,
            deadline_s=DEADLINE_S,
        )
        return script

    def status(self, name: str = LOOP) -> LoopStatus:
        return next(each for each in self.supervisor.statuses() if each.name == name)

    def exported(self, name: str = LOOP) -> dict[str, float]:
        """Return what is exported of a loop, by the metric's name without `tapewatch_loop_`."""
        text = "".join(self.instruments.metrics.render())
        return {
            sample.name.removeprefix("tapewatch_loop_"): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.labels.get("loop") == name and "le" not in sample.labels
        }
