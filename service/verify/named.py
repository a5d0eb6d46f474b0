"""What must hold between rows that name each other, without a foreign key, and of the sequences.

Statements of `RULES` return what breaks a rule: what it is, what was expected and what was found.
"""

from service.verify.fault import Rule


def _orphans(table: str, key: str, names: str, owner: str) -> str:
    """Return what of `table` names a row that `owner` does not have."""
    return f"""
SELECT '{table} ' || {key}, 'a row of {owner} with {names} ' || {names}, 'none'
FROM {table} WHERE {names} IS NOT NULL
    AND NOT EXISTS (SELECT FROM {owner} WHERE {owner}.{names} = {table}.{names})
"""


_OF_ANOTHER = """
SELECT '{table} ' || {key}, 'account ' || o.account_id || ' as of order ' || o.order_id,
    'account ' || t.account_id
FROM {table} t JOIN orders o USING (order_id) WHERE o.account_id <> t.account_id
"""
_POSTED_WITHOUT_DEAL = """
SELECT 'ledger ' || entry_id, 'a deal ' || decision_id, 'none' FROM ledger
WHERE kind IN ('PROFIT', 'COMMISSION', 'CORRECTION', 'NEGATIVE_BALANCE')
    AND decision_id > (SELECT coalesce(max(until), 0) FROM pruned WHERE what = 'deals')
    AND NOT EXISTS (SELECT FROM deals WHERE deal_id = decision_id)
"""
_NO_TERMS = """
SELECT 'order ' || order_id, 'terms of group ' || group_name || ' on ' || o.symbol, 'none'
FROM orders o JOIN accounts USING (account_id)
WHERE status IN ('PENDING', 'OPEN') AND NOT EXISTS (
    SELECT FROM group_symbols t WHERE t.group_name = accounts.group_name AND t.symbol = o.symbol)
"""
_ENDED_TRIGGER = """
SELECT 'order ' || order_id || ', ' || status, 'no trigger', concat_ws(', ', trigger_price,
    stop_loss_trigger, take_profit_trigger)
FROM orders WHERE status IN ('CLOSED', 'CANCELLED')
    AND coalesce(trigger_price, stop_loss_trigger, take_profit_trigger) IS NOT NULL
"""
_MARGIN_CALL = """
SELECT 'account ' || account_id, 'no margin call without positions', 'one'
FROM accounts a WHERE in_margin_call AND NOT EXISTS (
    SELECT FROM orders WHERE account_id = a.account_id AND status = 'OPEN')
"""
# Of what was pruned, each account has lost its first events.
_SEQUENCE = """
SELECT 'events of account ' || account_id, format('%s to %s', CASE pruned.until WHEN 0 THEN 1
        ELSE first END, sequence),
    format('%s events, %s to %s', coalesce(events, 0), first, last)
FROM accounts LEFT JOIN (
    SELECT account_id, count(*) AS events, min(sequence) AS first, max(sequence) AS last
    FROM outbox GROUP BY account_id
) AS told USING (account_id)
CROSS JOIN (
    SELECT coalesce(max(until), 0) AS until FROM pruned WHERE what = 'outbox'
) AS pruned
WHERE CASE WHEN pruned.until = 0
    THEN (sequence, sequence) <> (coalesce(events, 0), coalesce(last, 0)) OR first <> 1
    ELSE (sequence, sequence) <> (last, first + events - 1) END
"""
_ORDER_OF_EVENTS = """
SELECT 'event ' || event_id || ' of account ' || account_id, 'an id above ' || before, 'not above'
FROM (
    SELECT *, lag(event_id) OVER (PARTITION BY account_id ORDER BY sequence) AS before FROM outbox
) AS event
WHERE event_id <= before
"""
_DEAL_WITHOUT_EVENT = """
SELECT 'deal ' || deal_id, 'an event of account ' || account_id, 'none'
FROM deals d WHERE deal_id > (SELECT coalesce(max(until), 0) FROM pruned WHERE what = 'outbox')
    AND NOT EXISTS (
        SELECT FROM outbox o WHERE o.event_id = d.deal_id AND o.account_id = d.account_id)
"""
# What the owner of an account was told last.
_LAST_EVENT = """
SELECT 'last event of account ' || account_id, format('sequence %s, balance %s', sequence, balance),
    coalesce('sequence ' || (told ->> 'sequence') || ', balance ' || (told ->> 'balance'),
        'nothing readable')
FROM accounts a CROSS JOIN LATERAL (
    SELECT CASE WHEN payload IS JSON OBJECT THEN payload::jsonb END AS told FROM outbox o
    WHERE o.account_id = a.account_id ORDER BY o.sequence DESC LIMIT 1
) AS event
WHERE (told ->> 'sequence', told ->> 'balance')
    IS DISTINCT FROM (sequence::text, round(balance, 2)::text)
"""
_EVENT_RELAY = """
SELECT 'shard ' || shard || ' published until', 'at most event ' || last, published_until::text
FROM event_relay CROSS JOIN (
    SELECT greatest((SELECT max(event_id) FROM outbox),
        (SELECT max(until) FROM pruned WHERE what = 'outbox'), 0) AS last
) AS stored
WHERE published_until NOT BETWEEN 0 AND last
UNION ALL
SELECT 'shard ' || shard, 'how far it is published', 'nothing'
FROM shard_leases WHERE shard NOT IN (SELECT shard FROM event_relay)
"""
# The id of the last decision is what the next owner goes on from. A market may be shut for days,
# and the first thing it then does is to settle the rollovers of them.
_LEASE = """
SELECT 'last decision of all leases', 'at least ' || stored.last,
    coalesce(max(last_decision), 0)::text
FROM shard_leases CROSS JOIN (
    SELECT greatest((SELECT max(event_id) FROM outbox), (SELECT max(deal_id) FROM deals),
        (SELECT max(decision_id) FROM ledger), 0) AS last
) AS stored
GROUP BY stored.last HAVING coalesce(max(last_decision), 0) < stored.last
UNION ALL
SELECT 'lease of shard ' || shard, 'to expire within an hour', 'expires ' || expires_at
FROM shard_leases WHERE expires_at > now() + interval '1 hour'
UNION ALL
SELECT 'lease of shard ' || shard, 'rollovers settled until ' || latest.time || ' at most',
    rolled_until::text
FROM shard_leases CROSS JOIN (
    SELECT greatest(extract(epoch FROM now()) * 1e9, (SELECT max(time) FROM quotes),
        (SELECT time FROM deals ORDER BY deal_id DESC LIMIT 1))::bigint
        + 7 * 86400 * 10^9::bigint AS time
) AS latest
WHERE rolled_until > latest.time
UNION ALL
SELECT 'lease of shard ' || shard, 'an epoch and ticks not below 0',
    format('epoch %s, tick %s', epoch, last_tick)
FROM shard_leases WHERE least(epoch, last_tick) < 0
UNION ALL
SELECT 'lease of shard 0', 'a row', 'none'
WHERE NOT EXISTS (SELECT FROM shard_leases WHERE shard = 0)
"""
RULES = (
    (Rule.ORPHAN, _orphans("deals", "deal_id", "order_id", "orders")),
    (Rule.ORPHAN, _OF_ANOTHER.format(table="deals", key="deal_id")),
    (Rule.ORPHAN, _orphans("ledger", "entry_id", "account_id", "accounts")),
    (Rule.ORPHAN, _orphans("ledger", "entry_id", "order_id", "orders")),
    (Rule.ORPHAN, _OF_ANOTHER.format(table="ledger", key="entry_id")),
    (Rule.ORPHAN, _POSTED_WITHOUT_DEAL),
    (Rule.ORPHAN, _orphans("outbox", "event_id", "account_id", "accounts")),
    (Rule.ORPHAN, _orphans("commands", "account_id || ' ' || key", "account_id", "accounts")),
    (Rule.NO_TERMS, _NO_TERMS),
    (Rule.TRIGGER, _ENDED_TRIGGER),
    (Rule.MARGIN_CALL, _MARGIN_CALL),
    (Rule.SEQUENCE, _SEQUENCE),
    (Rule.SEQUENCE, _ORDER_OF_EVENTS),
    (Rule.EVENT, _DEAL_WITHOUT_EVENT),
    (Rule.EVENT, _LAST_EVENT),
    (Rule.EVENT_RELAY, _EVENT_RELAY),
    (Rule.LEASE, _LEASE),
)
