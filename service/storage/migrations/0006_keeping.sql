-- Finite money, an audit of before and after that nobody changes, and how long what happened is kept
-- depends: 0005_event_traces

-- migrate: apply

-- NaN is above every number in PostgreSQL, so that a check for more than zero lets it in. An amount
-- that is none stops whoever loads it from trading.
ALTER TABLE symbols ADD CONSTRAINT symbols_finite CHECK (contract_size < 'Infinity');
ALTER TABLE groups ADD CONSTRAINT groups_finite CHECK (
    margin_call_level > '-Infinity' AND margin_call_level < 'Infinity'
    AND stop_out_level > '-Infinity' AND stop_out_level < 'Infinity'
    AND margin_call_hysteresis < 'Infinity');
ALTER TABLE group_symbols ADD CONSTRAINT group_symbols_finite CHECK (
    spread < 'Infinity' AND spread_pip < 'Infinity' AND commission < 'Infinity'
    AND swap_long > '-Infinity' AND swap_long < 'Infinity'
    AND swap_short > '-Infinity' AND swap_short < 'Infinity' AND margin_factor < 'Infinity');
ALTER TABLE accounts ADD CONSTRAINT accounts_finite CHECK (
    leverage < 'Infinity' AND margin < 'Infinity'
    AND balance > '-Infinity' AND balance < 'Infinity');
ALTER TABLE orders ADD CONSTRAINT orders_finite CHECK (
    margin < 'Infinity' AND commission > '-Infinity' AND commission < 'Infinity'
    AND profit > '-Infinity' AND profit < 'Infinity'
    AND swap > '-Infinity' AND swap < 'Infinity');
ALTER TABLE deals ADD CONSTRAINT deals_finite CHECK (
    profit > '-Infinity' AND profit < 'Infinity'
    AND commission > '-Infinity' AND commission < 'Infinity'
    AND balance_after > '-Infinity' AND balance_after < 'Infinity');
ALTER TABLE ledger ADD CONSTRAINT ledger_finite CHECK (
    amount > '-Infinity' AND amount < 'Infinity'
    AND balance_after > '-Infinity' AND balance_after < 'Infinity');

-- What changed, each a JSON object of the same fields; null before what is new.
ALTER TABLE audit ADD COLUMN before jsonb, ADD COLUMN after jsonb;

-- Whoever may write it may only add to it, the owner too: a year must pass before an entry may go.
CREATE FUNCTION refuse_audit_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND OLD.time < extract(epoch FROM now() - interval '365 days') * 1e9 THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'the audit is only added to: % is refused', TG_OP USING ERRCODE = 'TW002';
END
$$;
CREATE TRIGGER audit_stays BEFORE UPDATE OR DELETE ON audit
    FOR EACH ROW EXECUTE FUNCTION refuse_audit_change();
CREATE TRIGGER audit_is_not_emptied BEFORE TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change();

-- The event that an answer was given with; of what was stored before this, none.
ALTER TABLE commands ADD COLUMN event_id bigint NOT NULL DEFAULT 0;
CREATE INDEX commands_by_event ON commands (event_id);

-- Events and deals have no time of storage, and need none: what a shard had decided last when a mark
-- was made was stored before, and so was all of that shard that has a lower id.
CREATE TABLE retention_marks (
    shards integer NOT NULL,
    shard integer NOT NULL,
    event_id bigint NOT NULL,
    made_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (shards, shard, made_at)
);

-- Up to where each table was pruned: an event, a deal that ended its order, an audit entry.
CREATE TABLE pruned (
    what text NOT NULL,
    shards integer NOT NULL,
    shard integer NOT NULL,
    until bigint NOT NULL DEFAULT 0,
    stored_before timestamptz NOT NULL DEFAULT '-infinity',
    PRIMARY KEY (what, shards, shard)
);

CREATE FUNCTION make_retention_mark() RETURNS void LANGUAGE sql
SECURITY DEFINER SET search_path = public, pg_temp AS $$
    INSERT INTO retention_marks (shards, shard, event_id)
    SELECT count(*) OVER (), shard, last_decision FROM shard_leases
    ON CONFLICT DO NOTHING
$$;

-- Each call removes a batch of what is older than `keep` of a shard's accounts and returns how many
-- rows it has looked at, less than `most` at the end. Whoever may call this and not delete can
-- remove nothing younger than the least.
CREATE FUNCTION prune(what_ text, shards_ integer, shard_ integer, keep interval, most integer)
RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    least_ interval := CASE WHEN what_ IN ('deals', 'audit') THEN '365 days' ELSE '1 day' END;
    from_ bigint;
    to_ bigint;
    last_ bigint;
    seen bigint;
BEGIN
    IF keep < least_ THEN
        RAISE EXCEPTION '% are kept for % at least', what_, least_ USING ERRCODE = 'TW003';
    END IF;
    INSERT INTO pruned (what, shards, shard) VALUES (what_, shards_, shard_) ON CONFLICT DO NOTHING;
    SELECT until INTO STRICT from_ FROM pruned
    WHERE (what, shards, shard) = (what_, shards_, shard_) FOR UPDATE;
    SELECT event_id INTO to_ FROM retention_marks
    WHERE (shards, shard) = (shards_, shard_) AND made_at < now() - keep
    ORDER BY made_at DESC LIMIT 1;
    CASE what_
    WHEN 'outbox' THEN
        SELECT least(to_, published_until) INTO to_ FROM event_relay
        WHERE shard = shard_ AND to_ IS NOT NULL;
        WITH gone AS (
            DELETE FROM outbox WHERE event_id IN (
                SELECT event_id FROM outbox
                WHERE event_id > from_ AND event_id <= to_ AND account_id % shards_ = shard_
                ORDER BY event_id LIMIT most)
            RETURNING event_id
        )
        SELECT count(*), max(event_id) INTO seen, last_ FROM gone;
    WHEN 'commands' THEN
        -- From the first on: what was stored before events were known has none.
        WITH gone AS (
            DELETE FROM commands WHERE ctid = ANY (ARRAY(
                SELECT ctid FROM commands WHERE event_id <= to_ AND account_id % shards_ = shard_
                ORDER BY event_id LIMIT most))
            RETURNING event_id
        )
        SELECT count(*), max(event_id) INTO seen, last_ FROM gone;
    WHEN 'deals' THEN
        -- An order goes as a whole, with the deal that ended it.
        WITH page AS MATERIALIZED (
            SELECT deal_id, order_id FROM deals
            WHERE deal_id > from_ AND deal_id <= to_ AND account_id % shards_ = shard_
            ORDER BY deal_id LIMIT most
        ), ended AS (
            SELECT order_id FROM page JOIN orders USING (order_id)
            WHERE status IN ('CLOSED', 'CANCELLED') AND NOT EXISTS (
                SELECT FROM deals d WHERE d.order_id = page.order_id AND d.deal_id > page.deal_id)
        ), gone AS (
            DELETE FROM deals WHERE order_id IN (SELECT order_id FROM ended)
        )
        SELECT count(*), max(deal_id) INTO seen, last_ FROM page;
    WHEN 'audit' THEN
        WITH gone AS (
            DELETE FROM audit WHERE audit_id IN (
                SELECT audit_id FROM audit WHERE audit_id > from_
                    AND time < extract(epoch FROM now() - keep) * 1e9
                ORDER BY audit_id LIMIT most)
            RETURNING audit_id
        )
        SELECT count(*), max(audit_id) INTO seen, last_ FROM gone;
    END CASE;
    IF seen > 0 THEN
        UPDATE pruned SET until = greatest(from_, last_), stored_before = now() - keep
        WHERE (what, shards, shard) = (what_, shards_, shard_);
    END IF;
    RETURN seen;
END
$$;
REVOKE EXECUTE ON FUNCTION make_retention_mark, prune FROM PUBLIC;

-- migrate: rollback

DROP FUNCTION prune, make_retention_mark;
DROP TABLE pruned, retention_marks;
ALTER TABLE commands DROP COLUMN event_id;
DROP TRIGGER audit_is_not_emptied ON audit;
DROP TRIGGER audit_stays ON audit;
DROP FUNCTION refuse_audit_change;
ALTER TABLE audit DROP COLUMN before, DROP COLUMN after;
ALTER TABLE ledger DROP CONSTRAINT ledger_finite;
ALTER TABLE deals DROP CONSTRAINT deals_finite;
ALTER TABLE orders DROP CONSTRAINT orders_finite;
ALTER TABLE accounts DROP CONSTRAINT accounts_finite;
ALTER TABLE group_symbols DROP CONSTRAINT group_symbols_finite;
ALTER TABLE groups DROP CONSTRAINT groups_finite;
ALTER TABLE symbols DROP CONSTRAINT symbols_finite;
