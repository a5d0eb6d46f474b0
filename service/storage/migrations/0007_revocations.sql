-- Tokens that are not believed any more
-- depends: 0005_event_traces

-- migrate: apply

-- Either one token, by its id, or all of an account in a role that were issued up to revoked_at.
-- Once a row has expired, so have the tokens it is about. Times are ns UTC.
CREATE TABLE revocations (
    revocation_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    token_id      text UNIQUE,
    account_id    bigint,
    role          text CHECK (role IN ('trader', 'admin')),
    revoked_at    bigint NOT NULL,
    expires_at    bigint NOT NULL,
    UNIQUE (account_id, role),
    CHECK ((token_id IS NULL) = (account_id IS NOT NULL) AND (account_id IS NULL) = (role IS NULL))
);

-- migrate: rollback

DROP TABLE revocations;
