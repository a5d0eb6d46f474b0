"""What runs where when several workers run the tests side by side.

Some workers have normal priority, the others are nice: they yield the processors to those and to
the servers those have started. What judges whether a service is slow goes to workers of normal
priority, first thing, so that the load of others does not make it slow. Everything else goes to
whoever is free, what takes long first, and many small tests last, to fill what is left.

Some modules are cut into their tests. Any other is run by one worker, in its order, for the sake of
what its tests share. A worker is given more when two tests are left to it, so a long test stands
first in its module.
"""

from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

JUDGING = (
    "tests/integration/test_live_queries.py",
    "tests/drills/test_drills.py",
    "tests/integration/test_walkthrough.py",
)
LONG = (
    "tests/adversity/test_replay_kills.py",
    "tests/adversity/test_takeover.py",
    "tests/adversity/test_adversity.py",
    "tests/adversity/test_soak.py",
)
CUT = ("tests/adversity/test_replay_kills.py", "tests/property/test_mutants.py")
LAST = ("tests/property/test_mutants.py",)


class Scheduling(LoadScopeScheduling):
    """Gives a worker that is nearly done the next module, or a test of one that is cut."""

    def _split_scope(self, nodeid: str) -> str:
        module = nodeid.partition("::")[0]
        return nodeid if module in CUT else module

    def _assign_work_unit(self, node: WorkerController) -> None:
        is_nice = node.gateway.spec.nice is not None
        best = min(self.workqueue, key=lambda scope: rank(scope, is_nice=is_nice))
        self.workqueue.move_to_end(best, last=False)
        super()._assign_work_unit(node)


def rank(scope: str, *, is_nice: bool) -> int:
    """Return how late a worker should run a module or a test: the lowest first."""
    module = scope.partition("::")[0]
    if module in JUDGING:
        return JUDGING.index(module) + (len(LONG) + 2 if is_nice else -len(JUDGING))
    if module in LONG:
        return LONG.index(module)
    return len(LONG) + (module in LAST)
