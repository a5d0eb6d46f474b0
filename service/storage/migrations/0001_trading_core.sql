-- Accounts, orders, deals, ledger, outbox, leases
-- depends:

-- migrate: apply

-- Prices and triggers are integers in points (10^-digits of the symbol), volumes integers in
-- 1/10,000 lot, times nanoseconds UTC; money is exact.

CREATE TABLE symbols (
    symbol text PRIMARY KEY,
    digits smallint NOT NULL CHECK (digits BETWEEN 0 AND 8),
    contract_size numeric NOT NULL CHECK (contract_size > 0),
    base_currency text NOT NULL,
    profit_currency text NOT NULL,
    instrument_type text NOT NULL
        CHECK (instrument_type IN ('forex', 'metal', 'index', 'commodity', 'crypto')),
    min_volume bigint NOT NULL CHECK (min_volume > 0),
    max_volume bigint NOT NULL CHECK (max_volume >= min_volume),
    volume_step bigint NOT NULL CHECK (volume_step > 0),
    trigger_tolerance_points bigint NOT NULL CHECK (trigger_tolerance_points >= 0),
    max_jump_points bigint CHECK (max_jump_points > 0)
);

-- The last quote seen, so that positions can be priced right after a restart.
CREATE TABLE quotes (
    symbol text PRIMARY KEY REFERENCES symbols,
    bid bigint NOT NULL CHECK (bid > 0),
    ask bigint NOT NULL CHECK (ask >= bid),
    time bigint NOT NULL
);

CREATE TABLE groups (
    group_name text PRIMARY KEY,
    margin_call_level numeric NOT NULL,
    stop_out_level numeric NOT NULL,
    negative_balance_protection boolean NOT NULL,
    fill_policy text NOT NULL CHECK (fill_policy IN ('market', 'requested'))
);

CREATE TABLE group_symbols (
    group_name text NOT NULL REFERENCES groups,
    symbol text NOT NULL REFERENCES symbols,
    spread numeric NOT NULL CHECK (spread >= 0),
    spread_pip numeric NOT NULL CHECK (spread_pip >= 0),
    commission_type text NOT NULL CHECK (commission_type IN ('entry', 'exit', 'entry_and_exit')),
    commission_value_type text NOT NULL CHECK (commission_value_type IN ('per_lot', 'percent')),
    commission numeric NOT NULL CHECK (commission >= 0),
    swap_long numeric NOT NULL,
    swap_short numeric NOT NULL,
    margin_factor numeric NOT NULL CHECK (margin_factor > 0),
    PRIMARY KEY (group_name, symbol)
);

-- Live and demo accounts share one table, so that their ids never collide.
CREATE TABLE accounts (
    account_id bigint PRIMARY KEY CHECK (account_id > 0),
    user_type text NOT NULL CHECK (user_type IN ('live', 'demo')),
    group_name text NOT NULL REFERENCES groups,
    leverage numeric NOT NULL CHECK (leverage > 0),
    balance numeric NOT NULL,
    margin numeric NOT NULL DEFAULT 0 CHECK (margin >= 0),
    sequence bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 70);

CREATE TABLE orders (
    order_id bigint PRIMARY KEY,
    account_id bigint NOT NULL REFERENCES accounts,
    client_order_id text,
    symbol text NOT NULL REFERENCES symbols,
    order_type text NOT NULL CHECK (order_type IN
        ('BUY', 'SELL', 'BUY_LIMIT', 'SELL_LIMIT', 'BUY_STOP', 'SELL_STOP')),
    status text NOT NULL CHECK (status IN ('PENDING', 'OPEN', 'CLOSED', 'CANCELLED')),
    volume bigint NOT NULL CHECK (volume > 0),
    price bigint CHECK (price > 0),
    stop_loss bigint CHECK (stop_loss > 0),
    take_profit bigint CHECK (take_profit > 0),
    trigger_price bigint,
    stop_loss_trigger bigint,
    take_profit_trigger bigint,
    placed_time bigint NOT NULL,
    open_price bigint CHECK (open_price > 0),
    open_time bigint,
    open_tick bigint,
    margin numeric CHECK (margin >= 0),
    commission numeric,
    close_price bigint CHECK (close_price > 0),
    close_time bigint,
    profit numeric,
    reason text,
    CHECK (status <> 'PENDING' OR (trigger_price IS NOT NULL AND open_price IS NULL)),
    CHECK (status NOT IN ('OPEN', 'CLOSED') OR
        (open_price IS NOT NULL AND margin IS NOT NULL AND commission IS NOT NULL)),
    CHECK (status NOT IN ('CLOSED', 'CANCELLED') OR reason IS NOT NULL)
) WITH (fillfactor = 80);

CREATE UNIQUE INDEX orders_client_order_id ON orders (account_id, client_order_id)
    WHERE client_order_id IS NOT NULL;
CREATE INDEX orders_of_account ON orders (account_id, order_id);
CREATE INDEX orders_live_of_account ON orders (account_id) WHERE status IN ('PENDING', 'OPEN');
-- The sweeps ask these for what the last quotes have crossed.
CREATE INDEX orders_pending_trigger ON orders (symbol, order_type, trigger_price)
    WHERE status = 'PENDING';
CREATE INDEX orders_stop_loss_trigger ON orders (symbol, order_type, stop_loss_trigger)
    WHERE status = 'OPEN' AND stop_loss_trigger IS NOT NULL;
CREATE INDEX orders_take_profit_trigger ON orders (symbol, order_type, take_profit_trigger)
    WHERE status = 'OPEN' AND take_profit_trigger IS NOT NULL;

-- Deals and ledger name orders and accounts that the same statement has changed and counted; foreign
-- keys would look each of them up once more, for a quarter of the time of a commit.
CREATE TABLE deals (
    deal_id bigint PRIMARY KEY,
    order_id bigint NOT NULL,
    account_id bigint NOT NULL,
    event text NOT NULL CHECK (event IN ('OPEN', 'CLOSE', 'CANCEL')),
    reason text NOT NULL,
    volume bigint,
    price bigint,
    slippage bigint,
    profit numeric NOT NULL,
    commission numeric NOT NULL,
    balance_after numeric NOT NULL,
    group_sell bigint,
    group_buy bigint,
    tick bigint NOT NULL,
    time bigint NOT NULL
);
CREATE INDEX deals_of_account ON deals (account_id, deal_id);
-- No order opens, closes or is cancelled twice, whatever the code believes.
CREATE UNIQUE INDEX deals_once ON deals (order_id, event);

CREATE TABLE ledger (
    entry_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account_id bigint NOT NULL,
    order_id bigint,
    kind text NOT NULL,
    amount numeric NOT NULL,
    balance_after numeric NOT NULL,
    time bigint NOT NULL
);
CREATE INDEX ledger_of_account ON ledger (account_id, entry_id);

CREATE TABLE outbox (
    event_id bigint PRIMARY KEY,
    account_id bigint NOT NULL,
    sequence bigint NOT NULL,
    payload text NOT NULL
);
CREATE UNIQUE INDEX outbox_of_account ON outbox (account_id, sequence);

-- The answer to each command that carried an idempotency key.
CREATE TABLE commands (
    account_id bigint NOT NULL,
    key text NOT NULL,
    answer text NOT NULL,
    PRIMARY KEY (account_id, key)
);

-- Who owns a shard. Every write names the epoch and the batch before it: a stale owner, or a batch
-- sent twice, changes nothing.
CREATE TABLE shard_leases (
    shard integer PRIMARY KEY,
    epoch bigint NOT NULL,
    holder text NOT NULL,
    expires_at timestamptz NOT NULL,
    last_batch uuid NOT NULL,
    last_tick bigint NOT NULL,
    last_decision bigint NOT NULL
) WITH (fillfactor = 50);

INSERT INTO shard_leases VALUES
    (0, 0, '', '-infinity', '00000000-0000-0000-0000-000000000000', 0, 0);

-- What a replay database holds, so that an interrupted replay is resumed and no other.
CREATE TABLE replays (
    scenario text NOT NULL,
    ticks text NOT NULL,
    is_finished boolean NOT NULL DEFAULT false
);

CREATE FUNCTION refuse_batch(orders bigint[], accounts bigint[]) RETURNS text
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'not in the expected state: orders %, accounts %', orders, accounts
        USING ERRCODE = 'TW001';
END
$$;

-- migrate: rollback

DROP FUNCTION refuse_batch;
DROP TABLE replays, shard_leases, commands, outbox, ledger, deals, orders, accounts, group_symbols, groups,
    quotes, symbols;
