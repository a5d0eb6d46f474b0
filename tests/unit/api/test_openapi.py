"""The API's description: every route is in it, and it holds together."""

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from service.api.errors import STATUS, Problem, TransportCode
from service.api.gateway import ROUTES
from service.api.openapi import openapi_document, route_errors
from service.api.requests import NewOrder
from tests.unit.api.world import World

DOCUMENT: dict[str, Any] = openapi_document(ROUTES, "1.2.3")


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in DOCUMENT["paths"].items():
        for method, operation in item.items():
            yield method.upper(), path, operation


def references(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "$ref":
                yield value
            else:
                yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


async def test_it_is_served_to_everybody(world: World) -> None:
    async with world.client.get("/openapi.json") as response:
        assert response.status == 200
        served = await response.json()
    assert served["openapi"] == "3.1.0"
    assert served["paths"].keys() == DOCUMENT["paths"].keys()


async def test_every_registered_route_is_described_and_no_other(world: World) -> None:
    registered = {
        (route.method, route.resource.canonical)
        for route in world.app.router.routes()
        if route.resource is not None
    }
    described = {(method, path) for method, path, _ in operations()}
    assert registered - {("GET", "/openapi.json")} == described


def test_every_reference_resolves_and_every_schema_is_used() -> None:
    used = set(references(DOCUMENT))
    schemas = {f"#/components/schemas/{name}" for name in DOCUMENT["components"]["schemas"]}
    assert used <= schemas
    stream_only = {
        "Snapshot",
        "PricesMessage",
        "PortfolioUpdate",
        "Subscribed",
        "Pong",
        "Error",
        "EventView",
    }
    stream_only |= {"Subscribe", "Unsubscribe", "Ping"}
    assert {name.rpartition("/")[2] for name in schemas - used} <= stream_only


@pytest.mark.parametrize(("method", "path", "operation"), list(operations()))
def test_an_operation_is_complete(method: str, path: str, operation: dict[str, Any]) -> None:
    assert operation["summary"]
    assert operation["tags"]
    for status, response in operation["responses"].items():
        assert response["description"]
        assert 100 <= int(status) < 600
        if int(status) >= 400:
            assert list(response["content"]) == ["application/problem+json"]
    given = [(each["name"], each["in"]) for each in operation.get("parameters", [])]
    assert len(given) == len(set(given))
    placeholders = {part[1:-1] for part in path.split("/") if part.startswith("{")}
    assert {name for name, where in given if where == "path"} == placeholders
    assert ("requestBody" in operation) <= (method in ("POST", "PUT", "PATCH"))


def test_operations_have_names_of_their_own() -> None:
    names = [operation["operationId"] for _, _, operation in operations()]
    assert len(names) == len(set(names))


def test_every_code_is_told_and_documented_somewhere() -> None:
    codes = DOCUMENT["components"]["schemas"]["Problem"]["properties"]["code"]["enum"]
    assert codes == [str(code) for code in STATUS]
    documented = {code for route in ROUTES for code in route_errors(route)}
    stream = DOCUMENT["paths"]["/api/v1/stream"]["get"]["responses"]
    described = " ".join(response["description"] for response in stream.values())
    undocumented = {str(code) for code in STATUS if code not in documented}
    assert {code for code in undocumented if code not in described} == {"METHOD_NOT_ALLOWED"}


def test_whatever_takes_a_body_tells_how_it_may_fail() -> None:
    for route in ROUTES:
        if route.body is not None:
            assert {TransportCode.BAD_REQUEST, TransportCode.WITHDRAWN} <= {*route_errors(route)}


def test_schemas_are_those_that_validate() -> None:
    schema = DOCUMENT["components"]["schemas"]["NewOrder"]
    assert schema["additionalProperties"] is False
    assert set(schema["required"]) == {"symbol", "type", "volume"}
    assert set(schema["properties"]) == set(NewOrder.__struct_fields__)
    assert schema["properties"]["volume"]["pattern"]


def test_it_is_plain_json() -> None:
    assert json.loads(msgspec.json.encode(DOCUMENT)) == DOCUMENT
    assert "code" in Problem.__struct_fields__
