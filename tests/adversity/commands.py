"""What clients have asked for, what they were answered, and what must be true of that.

A key is asked for until its answer is definite: it was done, or it was refused. What was done must
be stored as it was answered, once; every effect that only a client can have must be of one key.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec

FUND = "fund"


@dataclass(slots=True)
class Asked:
    """A command under its key.

    Attributes:
        what: `place`, `modify`, `cancel`, `close` or `fund`.
        unheard: how many of its attempts had no definite answer.
        answer: what it was answered that was done.
        refusal: the code it was refused with.
    """

    account_id: int
    key: str
    what: str
    unheard: int = 0
    answer: Any = None
    refusal: str | None = None
    others: list[Any] = field(default_factory=list)

    @property
    def is_definite(self) -> bool:
        return self.answer is not None or self.refusal is not None


class StoredCommand(NamedTuple):
    """A row of `commands`."""

    account_id: int
    key: str
    answer: str
    event_id: int


class Effect(NamedTuple):
    """Something stored that only a client's command can have done, and the event that did it."""

    account_id: int
    event_id: int
    what: str


# Every order was placed by a client; what was closed, cancelled or paid by one says so.
EFFECTS = """
SELECT o.account_id, o.event_id, o.payload::jsonb ->> 'kind'
FROM outbox o LEFT JOIN deals d ON d.deal_id = o.event_id
WHERE o.payload::jsonb ->> 'kind' IN ('DEPOSITED', 'WITHDRAWN', 'PLACED', 'MODIFIED')
    OR d.reason = 'CLIENT'
    OR (d.event = 'OPEN' AND d.reason IN ('BUY', 'SELL'))
ORDER BY o.event_id
"""
STORED = "SELECT account_id, key, answer, event_id FROM commands"


def command_faults(asked: Iterable[Asked], stored: Iterable[StoredCommand]) -> list[str]:
    """Return what was answered and is not stored so, and what is stored and was refused."""
    faults = []
    rows = {(row.account_id, row.key): row for row in stored}
    for each in asked:
        row = rows.get((each.account_id, each.key))
        where = f"{each.what} {each.key} of account {each.account_id}"
        if each.answer is not None:
            if row is None:
                faults.append(f"{where}: was done, and is lost")
            elif (expected := _answer(each.what, msgspec.json.decode(row.answer))) != each.answer:
                faults.append(f"{where}: was answered {each.answer}, stored is {expected}")
            faults += [
                f"{where}: was answered {each.answer}, asked again {other}"
                for other in each.others
                if other != each.answer
            ]
        elif each.refusal is not None and row is not None and not each.unheard:
            faults.append(f"{where}: was refused ({each.refusal}), and is done")
    return faults


def effect_faults(effects: Iterable[Effect], stored: Iterable[StoredCommand]) -> list[str]:
    """Return the effects that no key answers for, and the keys that have no effect."""
    by_event: dict[int, list[StoredCommand]] = defaultdict(list)
    for row in stored:
        by_event[row.event_id].append(row)
    faults = []
    seen = Counter[int]()
    for effect in effects:
        seen[effect.event_id] += 1
        rows = by_event.get(effect.event_id, [])
        if [row.account_id for row in rows] != [effect.account_id]:
            keys = [row.key for row in rows]
            faults.append(
                f"{effect.what} of account {effect.account_id}, event {effect.event_id}: "
                f"done for the keys {keys}"
            )
    faults += [
        f"key {row.key} of account {row.account_id} names event {event_id}, which has no effect"
        for event_id, rows in by_event.items()
        for row in rows
        if not seen[event_id]
    ]
    return faults


def _answer(what: str, event: Mapping[str, Any]) -> Any:
    """Return what the API answers for a stored event."""
    if what == FUND:
        return {name: event[name] for name in ("account_id", "balance", "margin", "sequence")}
    return event["order"]
