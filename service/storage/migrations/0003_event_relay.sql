-- How far the outbox has been published
-- depends: 0001_trading_core

-- migrate: apply

-- Up to which event Redis is known to have had everything, so that nobody who listens there misses
-- one. What was stored before this was kept is taken to have been published.
CREATE TABLE event_relay (
    shard integer PRIMARY KEY,
    published_until bigint NOT NULL
) WITH (fillfactor = 50);

INSERT INTO event_relay SELECT 0, coalesce(max(event_id), 0) FROM outbox;

-- migrate: rollback

DROP TABLE event_relay;
