"""Every call of the service's own OpenAPI document, with what its schemas allow and do not allow.

schemathesis makes the calls; half of their names and numbers are replaced by such as there are, so
that not all end at the first check. Each is then sent in `FORMS` other forms. Every answer must
come, be no failure of the service, and be what the document says: 2xx by its schema, all else a
problem with a code of the closed set.
"""

import itertools
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import GenerationMode
from schemathesis.checks import content_type_conformance
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import response_schema_conformance

from service.api.auth import Role
from tests.fuzz.mutations import mutated
from tests.fuzz.subject import GROUPS, Subject

ANSWER_TIMEOUT_S = 20.0
FORMS = 9
PUT_TO_EXISTING = 0.98
PROBLEM = "application/problem+json"
EXISTING = {
    "order_id": [str(number) for number in range(1, 400)],
    "account_id": [str(number) for number in range(1, 23)],
    "deal_id": [str(number) for number in range(1, 400)],
    "symbol": ["EURUSD", "USDJPY", "XAUUSD", "US500"],
    "group": list(GROUPS),
}
IN_BODIES = EXISTING | {
    "volume": ["0.01", "0.10", "1.00"],
    "price": ["1.08000", "1.00000", "2000.00"],
    "amount": ["0.01", "10.00"],
}


class Failed(AssertionError):
    """The service did not answer as it must; the message has the call to repeat."""


class Calls:
    """Calls to one service; `statuses` counts the answers."""

    def __init__(self, subject: Subject, number: int) -> None:
        self._subject = subject
        self._random = Random(number)
        self._number = number
        self._session = requests.Session()
        document = self._session.get(f"{subject.url}/openapi.json", timeout=ANSWER_TIMEOUT_S).json()
        schema = schemathesis.openapi.from_dict(document)
        self._codes = document["components"]["schemas"]["Problem"]["properties"]["code"]["enum"]
        found = list(schema.get_all_operations())
        self._operations = [each.ok() for each in found if isinstance(each, Ok)]
        assert len(self._operations) == len(found)
        self.statuses: Counter[int] = Counter()

    def run(self, count: int, tell: Callable[[int], None]) -> None:
        """Make so many calls, of all operations alike. Raises Failed."""
        modes = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
        each = max(1, count // (2 * len(self._operations) * (1 + FORMS)))
        for turn in itertools.count():
            for operation, mode in itertools.product(self._operations, modes):
                left = count - self.statuses.total()
                if left <= 0:
                    return
                self._fuzz(operation, mode, each, turn)
                tell(self.statuses.total())

    def _fuzz(self, operation: Any, mode: GenerationMode, count: int, turn: int) -> None:
        @seed(self._number + turn)
        @settings(
            max_examples=count,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate],
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def call(case: Any) -> None:
            self._call(case)

        call()

    def _call(self, case: Any) -> None:
        requirement = case.operation.definition.raw["security"][0]["bearer"]
        role = Role(requirement[0])
        if self._random.random() < 0.1:
            role = self._random.choice(list(Role))
        headers = dict(case.headers or {})
        if self._random.random() < 0.95:
            headers["Authorization"] = f"Bearer {self._subject.token(role)}"
        # What is put under a new name is there for ever: that is growth, but nobody's fault.
        share = PUT_TO_EXISTING if case.method == "PUT" else 0.5
        for name in case.path_parameters or {}:
            if self._random.random() < share:
                case.path_parameters[name] = self._random.choice(EXISTING[name])
        if isinstance(case.body, dict):
            for name in case.body.keys() & IN_BODIES.keys():
                if self._random.random() < 0.5:
                    case.body[name] = self._random.choice(IN_BODIES[name])
        case.headers = headers
        call = case.as_transport_kwargs(base_url=self._subject.url)
        response = self._send(call)
        if response is not None and response.status_code < 300:
            case.validate_response(
                response, checks=[response_schema_conformance, content_type_conformance]
            )
        for _ in range(FORMS):
            self._send(mutated(call, self._random))

    def _send(self, call: dict[str, Any]) -> requests.Response | None:
        try:
            response = self._session.request(**call, timeout=ANSWER_TIMEOUT_S)
        except requests.Timeout:
            raise Failed(f"no answer within {ANSWER_TIMEOUT_S:g} s: {call}") from None
        except (requests.exceptions.InvalidHeader, requests.exceptions.InvalidURL, ValueError):
            return None  # nothing was sent: this is no request at all
        self.statuses[response.status_code] += 1
        if response.status_code >= 500:
            raise Failed(f"{response.status_code} {response.text}: {call}")
        if response.status_code >= 300:
            problem = response.json()
            if response.headers["Content-Type"] != PROBLEM or problem["code"] not in self._codes:
                raise Failed(f"{response.status_code} {response.headers} {response.text}: {call}")
        return response
