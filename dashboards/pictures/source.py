"""The generated dashboards, by their UIDs."""

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[1] / "generated"


def known() -> list[str]:
    """Return the UIDs there are."""
    return sorted(path.stem for path in FOLDER.glob("*.json"))


def read(uid: str) -> dict[str, Any]:
    """Return a dashboard.

    Raises:
        KeyError: there is none of that UID.
    """
    if uid not in known():
        raise KeyError(uid)
    found: dict[str, Any] = json.loads((FOLDER / f"{uid}.json").read_text(encoding="utf-8"))
    return found
