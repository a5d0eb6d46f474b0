"""What must hold of money: finite, in cents, each amount posted once and each balance their sum.

Statements of `RULES` return what breaks a rule: what it is, what was expected and what was found.
"""

from service.verify.fault import Rule

# Every column with an amount, a rate or a factor, by table and the expression of its id.
NUMBERS = {
    "symbols": ("symbol", ("contract_size",)),
    "groups": ("group_name", ("margin_call_level", "stop_out_level", "margin_call_hysteresis")),
    "group_symbols": (
        "group_name || ' on ' || symbol",
        ("spread", "spread_pip", "commission", "swap_long", "swap_short", "margin_factor"),
    ),
    "accounts": ("account_id", ("leverage", "balance", "margin")),
    "orders": ("order_id", ("margin", "commission", "profit", "swap")),
    "deals": ("deal_id", ("profit", "commission", "balance_after")),
    "ledger": ("entry_id", ("amount", "balance_after")),
}


def _not_finite(table: str) -> str:
    key, columns = NUMBERS[table]
    values = ", ".join(f"('{column}', {column})" for column in columns)
    return f"""
SELECT '{table} ' || {key} || ' ' || number.name, 'a finite number', number.value::text
FROM {table} CROSS JOIN LATERAL (VALUES {values}) AS number (name, value)
WHERE value IN ('NaN', 'Infinity', '-Infinity')
"""


_CENTS = """
SELECT 'ledger entry ' || entry_id, 'whole cents', amount::text FROM ledger
WHERE amount <> round(amount, 2)
"""
_BALANCE = """
SELECT 'balance of account ' || account_id, coalesce(total, 0) || ' as its ledger sums to',
    balance::text
FROM accounts
LEFT JOIN (SELECT account_id, sum(amount) AS total FROM ledger GROUP BY account_id) AS posted
    USING (account_id)
WHERE balance IS DISTINCT FROM coalesce(total, 0)
"""
_CHAIN = """
SELECT 'balance after ledger entry ' || entry_id || ' of account ' || account_id,
    (before + amount)::text, balance_after::text
FROM (
    SELECT *, lag(balance_after, 1, 0.00) OVER (PARTITION BY account_id ORDER BY entry_id) AS before
    FROM ledger
) AS entry
WHERE balance_after <> before + amount
"""
_POSTED = """
WITH posted AS (
    SELECT decision_id, coalesce(sum(amount) FILTER (WHERE kind = 'PROFIT'), 0) AS profit,
        coalesce(sum(-amount) FILTER (WHERE kind = 'COMMISSION'), 0) AS commission,
        coalesce(sum(amount) FILTER (WHERE kind = 'CORRECTION'), 0) AS correction,
        coalesce(sum(amount) FILTER (WHERE kind <> 'SWAP'), 0) AS but_swap
    FROM ledger WHERE decision_id IS NOT NULL GROUP BY decision_id
)
"""
_DEAL_LEDGER = f"""{_POSTED}
SELECT 'deal ' || deal_id,
    format('profit %s and commission %s as posted', coalesce(p.profit, 0),
        coalesce(p.commission, 0)),
    format('profit %s and commission %s', d.profit, d.commission)
FROM deals d LEFT JOIN posted p ON p.decision_id = d.deal_id
WHERE event <> 'CORRECTION'
    AND (d.profit, d.commission) <> (coalesce(p.profit, 0), coalesce(p.commission, 0))
"""
_DEAL_BALANCE = """
SELECT 'balance after deal ' || deal_id, posted.balance_after || ' as posted',
    deals.balance_after::text
FROM deals JOIN (
    SELECT DISTINCT ON (decision_id) decision_id AS deal_id, balance_after FROM ledger
    WHERE decision_id IS NOT NULL AND kind <> 'NEGATIVE_BALANCE'
    ORDER BY decision_id, entry_id DESC
) AS posted USING (deal_id)
WHERE deals.balance_after <> posted.balance_after
"""
# All that a deal posted goes back but a swap that was due anyway; with an opening also the swap.
_CORRECTION_LEDGER = f"""{_POSTED}
SELECT 'postings of correction ' || d.deal_id, (expected.amount)::text,
    coalesce(mine.correction, 0)::text
FROM deals d JOIN deals c ON c.deal_id = d.corrects JOIN orders o ON o.order_id = c.order_id
LEFT JOIN posted mine ON mine.decision_id = d.deal_id
LEFT JOIN posted its ON its.decision_id = c.deal_id
CROSS JOIN LATERAL (SELECT - coalesce(its.but_swap, 0)
    - CASE WHEN c.event = 'OPEN' THEN coalesce(o.swap, 0) ELSE 0 END AS amount) AS expected
WHERE coalesce(mine.correction, 0) <> expected.amount
"""
_CORRECTION = """
SELECT 'correction ' || d.deal_id,
    format('to reverse a deal of order %s, profit %s and commission %s', d.order_id, -d.profit,
        -d.commission),
    CASE WHEN c.deal_id IS NULL THEN 'no deal ' || coalesce(d.corrects::text, 'at all')
        ELSE format('deal %s of order %s, profit %s and commission %s, corrected by %s',
            c.deal_id, c.order_id, c.profit, c.commission, coalesce(c.corrected_by::text, 'none'))
    END
FROM deals d LEFT JOIN deals c ON c.deal_id = d.corrects
WHERE (d.event = 'CORRECTION' OR d.corrects IS NOT NULL)
    AND (c.corrected_by, c.order_id, c.profit, c.commission)
        IS DISTINCT FROM (d.deal_id, d.order_id, -d.profit, -d.commission)
UNION ALL
SELECT 'deal ' || c.deal_id, 'its correction ' || c.corrected_by, 'none'
FROM deals c LEFT JOIN deals d ON d.deal_id = c.corrected_by AND d.corrects = c.deal_id
WHERE c.corrected_by IS NOT NULL AND d.deal_id IS NULL
"""
RULES = (
    *((Rule.NOT_FINITE, _not_finite(table)) for table in NUMBERS),
    (Rule.CENTS, _CENTS),
    (Rule.BALANCE, _BALANCE),
    (Rule.LEDGER_CHAIN, _CHAIN),
    (Rule.DEAL_LEDGER, _DEAL_LEDGER),
    (Rule.DEAL_BALANCE, _DEAL_BALANCE),
    (Rule.CORRECTION, _CORRECTION),
    (Rule.CORRECTION, _CORRECTION_LEDGER),
)
