-- Which settings each shard trades by
-- depends: 0008_engines

-- migrate: apply

-- How many changes of settings the triggers of a shard's orders are stored with. Shard 0 makes them,
-- so that its number is the newest; the others come after.
ALTER TABLE shard_leases ADD COLUMN settings_version bigint NOT NULL DEFAULT 0;

-- migrate: rollback

ALTER TABLE shard_leases DROP COLUMN settings_version;
