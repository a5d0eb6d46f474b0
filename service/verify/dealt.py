"""What must hold between orders and their deals: one of each kind, volumes, prices and money.

A deal stands unless it was corrected. An order that ended long ago may have lost all its deals
together, to retention. Statements of `RULES` return what breaks a rule: what it is,
what was expected and what was found.
"""

from service.verify.fault import Rule

# One row an order; of an order that a correction ended, the opening that was taken back counts.
_DEALT = """
WITH dealt AS (
    SELECT order_id,
        count(*) FILTER (WHERE event = 'OPEN' AND stands) AS opens,
        count(*) FILTER (WHERE event = 'CLOSE' AND stands) AS closes,
        count(*) FILTER (WHERE event = 'CANCEL' AND stands) AS cancels,
        count(*) FILTER (WHERE event = 'OPEN' AND NOT stands) AS undone,
        max(volume) FILTER (WHERE event = 'OPEN') AS opened,
        max(volume) FILTER (WHERE event = 'CLOSE' AND stands) AS closed,
        coalesce(sum(volume) FILTER (WHERE event = 'PARTIAL_CLOSE' AND stands), 0) AS parts,
        max(price) FILTER (WHERE event = 'OPEN') AS open_price,
        max(reason) FILTER (WHERE event = 'OPEN') AS order_type,
        max(price) FILTER (WHERE event = 'CLOSE' AND stands) AS close_price,
        max(time) FILTER (WHERE event = 'CLOSE' AND stands) AS close_time,
        max(reason) FILTER (WHERE event IN ('CLOSE', 'CANCEL') AND stands) AS reason,
        coalesce(sum(profit) FILTER (WHERE event <> 'CORRECTION' AND stands), 0) AS profit,
        coalesce(sum(commission) FILTER (
            WHERE event = 'OPEN' OR (event <> 'CORRECTION' AND stands)), 0) AS commission
    FROM (SELECT *, corrected_by IS NULL AS stands FROM deals) AS deal GROUP BY order_id
)
"""
_NOT_PRUNED = """NOT (d.order_id IS NULL AND o.status IN ('CLOSED', 'CANCELLED')
    AND coalesce(o.close_time, o.placed_time) < (
        SELECT coalesce(extract(epoch FROM max(stored_before)) * 1e9, 0)
        FROM pruned WHERE what = 'deals'))"""
_DEALS_OF_ORDER = f"""{_DEALT}
SELECT format('deals of order %s, %s', o.order_id, concat_ws(' ', o.status, o.reason)),
    format(told, e.opens, e.closes, e.cancels, e.undone),
    format(told, coalesce(d.opens, 0), coalesce(d.closes, 0), coalesce(d.cancels, 0),
        coalesce(d.undone, 0))
FROM orders o LEFT JOIN dealt d USING (order_id)
JOIN (VALUES ('PENDING', false, 0, 0, 0, 0), ('OPEN', false, 1, 0, 0, 0),
    ('CLOSED', false, 1, 1, 0, 0), ('CANCELLED', false, 0, 0, 1, 0),
    ('CANCELLED', true, 0, 0, 0, 1)) AS e (status, is_corrected, opens, closes, cancels, undone)
    ON e.status = o.status AND e.is_corrected = (o.reason IS NOT DISTINCT FROM 'CORRECTED')
CROSS JOIN (VALUES ('%s OPEN, %s CLOSE, %s CANCEL, %s taken back')) AS text (told)
WHERE (coalesce(d.opens, 0), coalesce(d.closes, 0), coalesce(d.cancels, 0), coalesce(d.undone, 0))
    <> (e.opens, e.closes, e.cancels, e.undone) AND {_NOT_PRUNED}
"""
_FILL = f"""{_DEALT}
SELECT 'order ' || o.order_id,
    format(told, d.open_price, d.order_type, d.close_price, d.close_time, ended.reason),
    format(told, o.open_price, o.order_type, o.close_price, o.close_time, o.reason)
FROM orders o JOIN dealt d USING (order_id)
CROSS JOIN LATERAL (SELECT coalesce(d.reason, CASE WHEN d.undone > 0 THEN 'CORRECTED' END) AS reason
) AS ended
CROSS JOIN (VALUES ('open price %s, type %s, close price %s at %s, reason %s')) AS text (told)
WHERE (o.open_price, o.close_price, o.close_time, o.reason)
        IS DISTINCT FROM (d.open_price, d.close_price, d.close_time, ended.reason)
    OR d.order_type <> o.order_type
"""
_VOLUME = f"""{_DEALT}
SELECT 'volume of order ' || o.order_id,
    format('%s = %s opened - %s closed in parts', d.opened - d.parts, d.opened, d.parts),
    concat(o.volume, ', its last deal of ' || d.closed)
FROM orders o JOIN dealt d USING (order_id)
WHERE o.volume <> d.opened - d.parts OR o.volume <> d.closed
"""
_MONEY = f"""{_DEALT}
SELECT 'order ' || o.order_id,
    format('profit %s and commission %s as dealt', coalesce(d.profit, 0),
        coalesce(d.commission, 0)),
    format('profit %s and commission %s', coalesce(o.profit, 0), coalesce(o.commission, 0))
FROM orders o LEFT JOIN dealt d USING (order_id)
WHERE (coalesce(o.profit, 0), coalesce(o.commission, 0))
    <> (coalesce(d.profit, 0), coalesce(d.commission, 0)) AND {_NOT_PRUNED}
"""
_SWAP = """
SELECT 'swap of order ' || order_id, coalesce(posted.swap, 0) || ' as posted',
    coalesce(o.swap, 0)::text
FROM orders o LEFT JOIN (
    SELECT order_id, sum(amount) AS swap FROM ledger WHERE kind = 'SWAP' GROUP BY order_id
) AS posted USING (order_id)
WHERE coalesce(o.swap, 0) <> coalesce(posted.swap, 0)
"""
RULES = (
    (Rule.DEALS_OF_ORDER, _DEALS_OF_ORDER),
    (Rule.FILL, _FILL),
    (Rule.VOLUME, _VOLUME),
    (Rule.ORDER_MONEY, _MONEY),
    (Rule.ORDER_SWAP, _SWAP),
)
