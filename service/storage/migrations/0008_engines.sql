-- Which processes share the shards
-- depends: 0007_revocations

-- migrate: apply

-- A process that has not been seen for a while has no share; what it holds is in shard_leases.
CREATE TABLE engines (
    holder text PRIMARY KEY,
    seen_at timestamptz NOT NULL
) WITH (fillfactor = 50);

-- migrate: rollback

DROP TABLE engines;
