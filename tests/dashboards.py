"""The generated dashboards as the tests read them."""

import json
from typing import Any

from dashboards.files import FOLDER


def read_dashboards() -> dict[str, dict[str, Any]]:
    """Return the generated dashboards by UID."""
    found = (json.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.json")))
    return {dashboard["uid"]: dashboard for dashboard in found}
