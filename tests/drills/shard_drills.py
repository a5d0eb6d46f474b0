"""The drills of shards, and of what goes between processes of several roles."""

from functools import partial

from tests.drills import processes, shards, stores
from tests.drills.drill import Drill

_apart = partial(Drill, roles=shards.ROLES, settings={"SHARDS": shards.SHARDS})

SHARD_DRILLS = (
    _apart(
        "TapewatchNoLeaseHolder",
        shards.lease_taken_by_nobody,
        "SQL gives the lease of one shard of four to a holder that does not exist",
        true_s=30,
        labels={"shard": str(shards.NOBODYS)},
    ),
    Drill(
        "TapewatchLeaseFlapping",
        processes.leaders_stopped_in_turn,
        "whoever of two processes leads is stopped (SIGSTOP) past its lease, five times",
        true_s=180,
        window_s=600,
        labels={"shard": "0"},
        also={"TapewatchDatabaseSlow": "calls on their way when a process is stopped take as long"},
        roles=("all", "all"),
        settings={"LEASE_S": processes.LEASE_S},
    ),
    _apart(
        "TapewatchShardsUnevenlySpread",
        shards.engine_unregistered,
        "one of two engines starts anew, and a trigger in PostgreSQL keeps the other from knowing",
        true_s=30,
    ),
    _apart(
        "TapewatchSettingsNotTakenOver",
        shards.settings_unread,
        "a symbol is halted while another client holds the lock of the groups",
        true_s=30,
        also={
            "TapewatchDatabaseSlow": "whoever reads settings waits for the lock",
            "TapewatchLoopFailing": "the loop that takes them over fails while it waits",
            "TapewatchLoopRecoveredSlowly": "and recovers when the lock is gone",
        },
    ),
    _apart(
        "TapewatchFeedWithoutWriter",
        shards.feed_lease_taken_by_nobody,
        "SQL gives the lease of the feeds to a holder that does not exist",
        true_s=30,
        hold_s=60,
    ),
    _apart(
        "TapewatchNoGateway",
        shards.gateway_ended,
        "the only gateway is ended (SIGTERM)",
        true_s=15,
        also={"TapewatchInstanceDown": "a gateway that is gone is down as long as it is a target"},
    ),
    _apart(
        "TapewatchTickLagHigh",
        shards.ticks_unheard,
        # For less than the minute that ticks are kept: else they are lost, too.
        "what Redis answers to readers of ticks is held back, each time they ask",
        true_s=30,
    ),
    _apart(
        "TapewatchTicksLost",
        shards.ticks_deleted,
        "the same for a second, in which the ticks are deleted",
        true_s=30,
        window_s=300,
    ),
    _apart(
        "TapewatchCommandsUnanswered",
        shards.commands_unheard,
        "what Redis answers to the engine of one shard is held back when it asks for commands",
        true_s=150,
        window_s=60,
        labels={"shard": str(shards.NOBODYS)},
    ),
    _apart(
        "TapewatchBusDown",
        stores.redis_cut,
        "as for TapewatchRedisDown, with a feed, engines and a gateway in processes of their own",
        true_s=20,
        hold_s=90,
    ),
)
