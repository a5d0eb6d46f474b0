"""What clients ask of a shard, and the sweep that follows."""

from service.domain.commands import CommandDesk
from service.domain.decision import Decision
from service.domain.instructions import ModifyOrder
from service.storage.views import EventView
from tests.adversity.shard import Shard


def id_of(event: EventView) -> int:
    """Return the id of an event's order."""
    assert event.order is not None
    return event.order.order_id


async def close(shard: Shard, event: EventView, account_id: int | None = None) -> EventView:
    """Close the order of an event, for its own account or another."""
    order_id, asked_by = id_of(event), account_id or event.account_id

    def decide(commands: CommandDesk, now: int) -> Decision:
        return commands.close(asked_by, order_id, now)

    return await shard.trading.command(asked_by, None, decide)


async def cancel(shard: Shard, event: EventView) -> EventView:
    order_id = id_of(event)

    def decide(commands: CommandDesk, now: int) -> Decision:
        return commands.cancel(event.account_id, order_id, now)

    return await shard.trading.command(event.account_id, None, decide)


async def modify(shard: Shard, event: EventView, **changes: int | None) -> EventView:
    command = ModifyOrder(event.account_id, id_of(event), frozenset(changes), **changes)

    def decide(commands: CommandDesk, now: int) -> Decision:
        return commands.modify(command, now)

    return await shard.trading.command(event.account_id, None, decide)


async def sweep(shard: Shard) -> None:
    """Sweep once, and wait until what that did is stored."""
    await shard.sweeps.run_once()
    await shard.drained()
