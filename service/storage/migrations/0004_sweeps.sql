-- Indexes of the sweeps, and how far swaps are settled
-- depends: 0002_every_loop

-- migrate: apply

-- A stop-limit rests twice, on either side of its market: in one index the sweep for one stage would
-- read all that waits in the other.
DROP INDEX orders_pending_trigger;
CREATE INDEX orders_pending_trigger ON orders (symbol, order_type, trigger_price)
    WHERE status = 'PENDING' AND activated_time IS NULL;
CREATE INDEX orders_activated_trigger ON orders (symbol, order_type, trigger_price)
    WHERE status = 'PENDING' AND activated_time IS NOT NULL;
CREATE INDEX orders_expiry ON orders (expires_at)
    WHERE status = 'PENDING' AND expires_at IS NOT NULL;

-- The last rollover up to which no position owes a swap (ns UTC); null before the first.
ALTER TABLE shard_leases ADD COLUMN rolled_until bigint;

-- migrate: rollback

ALTER TABLE shard_leases DROP COLUMN rolled_until;
DROP INDEX orders_expiry, orders_activated_trigger, orders_pending_trigger;
CREATE INDEX orders_pending_trigger ON orders (symbol, order_type, trigger_price)
    WHERE status = 'PENDING';
