-- Expiry, trailing stops, stop-limits, partial closes, swaps, corrections, margin calls, trading states
-- depends: 0001_trading_core

-- migrate: apply

ALTER TABLE symbols
    ADD COLUMN trading_state text NOT NULL DEFAULT 'active'
        CHECK (trading_state IN ('active', 'close_only', 'halted')),
    ADD COLUMN sessions text,
    ADD COLUMN triple_swap_weekday smallint DEFAULT 2 CHECK (triple_swap_weekday BETWEEN 0 AND 4);

ALTER TABLE groups
    ADD COLUMN margin_call_hysteresis numeric NOT NULL DEFAULT 5
        CHECK (margin_call_hysteresis >= 0),
    ADD COLUMN trading_state text NOT NULL DEFAULT 'active'
        CHECK (trading_state IN ('active', 'close_only', 'halted'));

ALTER TABLE accounts ADD COLUMN in_margin_call boolean NOT NULL DEFAULT false;

ALTER TABLE orders
    DROP CONSTRAINT orders_order_type_check,
    ADD CONSTRAINT orders_order_type_check CHECK (order_type IN
        ('BUY', 'SELL', 'BUY_LIMIT', 'SELL_LIMIT', 'BUY_STOP', 'SELL_STOP',
         'BUY_STOP_LIMIT', 'SELL_STOP_LIMIT')),
    ADD COLUMN limit_price bigint CHECK (limit_price > 0),
    ADD COLUMN activated_time bigint,
    ADD COLUMN trailing_distance bigint CHECK (trailing_distance > 0),
    ADD COLUMN expires_at bigint,
    ADD COLUMN swap numeric,
    ADD COLUMN swapped_until bigint,
    ADD CONSTRAINT orders_limit_price CHECK
        ((limit_price IS NOT NULL) = (order_type IN ('BUY_STOP_LIMIT', 'SELL_STOP_LIMIT')));

-- A position is closed in parts as often as its owner likes, and a deal that was corrected no longer
-- stands in the way of the next.
ALTER TABLE deals
    DROP CONSTRAINT deals_event_check,
    ADD CONSTRAINT deals_event_check CHECK
        (event IN ('OPEN', 'CLOSE', 'CANCEL', 'PARTIAL_CLOSE', 'CORRECTION')),
    ADD COLUMN corrects bigint,
    ADD COLUMN corrected_by bigint;
DROP INDEX deals_once;
CREATE UNIQUE INDEX deals_once ON deals (order_id, event)
    WHERE event IN ('OPEN', 'CLOSE', 'CANCEL') AND corrected_by IS NULL;
CREATE INDEX deals_of_order ON deals (order_id);

-- The decision that posted an entry; a deal has the id of its decision.
ALTER TABLE ledger ADD COLUMN decision_id bigint;
CREATE INDEX ledger_of_decision ON ledger (decision_id) WHERE decision_id IS NOT NULL;

-- What administrators did, who and why: written with what was done, never changed.
CREATE TABLE audit (
    audit_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    time bigint NOT NULL,
    actor text NOT NULL,
    action text NOT NULL,
    target text NOT NULL,
    reason text NOT NULL,
    decision_id bigint
);

-- migrate: rollback

DROP TABLE audit;
DROP INDEX ledger_of_decision, deals_of_order, deals_once;
ALTER TABLE ledger DROP COLUMN decision_id;
ALTER TABLE deals DROP COLUMN corrects, DROP COLUMN corrected_by, DROP CONSTRAINT deals_event_check,
    ADD CONSTRAINT deals_event_check CHECK (event IN ('OPEN', 'CLOSE', 'CANCEL'));
CREATE UNIQUE INDEX deals_once ON deals (order_id, event);
ALTER TABLE orders DROP CONSTRAINT orders_limit_price, DROP COLUMN limit_price,
    DROP COLUMN activated_time, DROP COLUMN trailing_distance, DROP COLUMN expires_at,
    DROP COLUMN swap, DROP COLUMN swapped_until, DROP CONSTRAINT orders_order_type_check,
    ADD CONSTRAINT orders_order_type_check CHECK (order_type IN
        ('BUY', 'SELL', 'BUY_LIMIT', 'SELL_LIMIT', 'BUY_STOP', 'SELL_STOP'));
ALTER TABLE accounts DROP COLUMN in_margin_call;
ALTER TABLE groups DROP COLUMN margin_call_hysteresis, DROP COLUMN trading_state;
ALTER TABLE symbols DROP COLUMN trading_state, DROP COLUMN sessions,
    DROP COLUMN triple_swap_weekday;
