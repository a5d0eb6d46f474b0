"""How long what happened is kept, as the settings say."""

from datetime import timedelta

from service.domain.shard import AccountShard
from service.loops.retention import Retention
from service.loops.trading import Trading
from service.settings import Settings
from service.storage.database import Database
from service.storage.retention import Kept, Pruning


def make_retention(
    settings: Settings, database: Database, trading: Trading, shard: AccountShard
) -> Retention:
    """Return what prunes for a shard; 0 days keep for ever. The audit is the first shard's."""
    days = {
        Kept.EVENTS: settings.keep_events_days,
        Kept.ANSWERS: settings.keep_answers_days,
        Kept.DEALS: settings.keep_deals_days,
    }
    if shard.number == 0:
        days[Kept.AUDIT] = settings.keep_audit_days
    keep = {what: timedelta(days=count) for what, count in days.items() if count}
    return Retention(Pruning(database, shard), trading, keep)
