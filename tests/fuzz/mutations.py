"""A call made a little different: one value, name or header changed to what is seldom meant well.

Making a call from a schema takes some hundred times as long as sending it; so each is sent as it
is and then in several of these forms.
"""

import json
from collections.abc import Mapping
from random import Random
from typing import Any

NASTY: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**31, 2**63 - 1, 2**63, -(2**63), 10**40, 0.1, 1e300),
    *(
        "",
        " ",
        "0",
        "-0",
        "00",
        "1e5",
        "NaN",
        "Infinity",
        "0x10",
        "1_000",
        "１",
        "\x00",
        "\ud83d\ude00",
    ),
    *("9" * 15, "9" * 16, "0." + "9" * 10, "-0.0000000001", "2026-01-05T21:00:00Z", "0001-01-01"),
    *(
        "9999-12-31T23:59:59+14:00",
        "2116-02-20T23:53:38Z",
        "a" * 64,
        "a" * 4_000,
        "'; DROP TABLE x",
    ),
    *([], {}, [None], {"a": {}}, [[[[[[]]]]]]),
)
_BODIES = (b"", b"null", b"[]", b"{", b'{"a":1}{', b"\xff\xfe", b"[" * 5_000, b'"' + b"x" * 20_000)


def mutated(call: Mapping[str, Any], random: Random) -> dict[str, Any]:
    """Return a call, as for `requests`, with one or a few things changed."""
    changed = dict(call)
    for _ in range(random.randint(1, 3)):
        body = changed.get("json")
        if isinstance(body, dict) and random.random() < 0.8:
            changed["json"] = _mutated_body(body, random)
        elif random.random() < 0.5:
            changed["params"] = _mutated_query(changed.get("params") or {}, random)
        elif "json" in changed or "data" in changed:
            changed.pop("json", None)
            changed["data"] = random.choice(_BODIES)
        else:
            changed["headers"] = {**changed["headers"], "Content-Type": "application/json"}
            changed["data"] = random.choice(_BODIES)
    if "json" in changed:
        # By hand: `requests` refuses what is no JSON by the letter, and a service must too.
        text = json.dumps(changed.pop("json"))
        changed["data"] = text.encode("utf-8", "surrogatepass")
    return changed


def _mutated_body(body: Mapping[str, Any], random: Random) -> dict[str, Any]:
    changed = dict(body)
    name = random.choice([*changed, "unknown"])
    if random.random() < 0.15:
        changed.pop(name, None)
    else:
        changed[name] = random.choice(NASTY)
    return changed


def _mutated_query(query: Mapping[str, Any], random: Random) -> dict[str, Any]:
    name = random.choice([*query, "limit", "cursor", "status", "symbol", "unknown"])
    value = random.choice(NASTY)
    return {**query, name: value if isinstance(value, int | float | str) else json.dumps(value)}
