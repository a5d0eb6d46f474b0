-- The trace that an event belongs to
-- depends: 0004_sweeps

-- migrate: apply

-- The W3C traceparent of what caused the event, null where that is not exported. Whoever finds the
-- event here rather than in Redis goes on with its trace.
ALTER TABLE outbox ADD COLUMN traceparent text;

-- migrate: rollback

ALTER TABLE outbox DROP COLUMN traceparent;
