-- Which feed writes the ticks
-- depends: 0007_revocations

-- migrate: apply

-- One row. Readers of ticks refuse those of a lower epoch than they have seen.
CREATE TABLE feed_lease (
    only_row   boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    epoch      bigint NOT NULL,
    holder     text NOT NULL,
    expires_at timestamptz NOT NULL
) WITH (fillfactor = 50);

INSERT INTO feed_lease (epoch, holder, expires_at) VALUES (0, '', now());

-- migrate: rollback

DROP TABLE feed_lease;
