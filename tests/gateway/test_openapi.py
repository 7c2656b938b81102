"""The OpenAPI document says what the gateway serves: all of it, and nothing else."""

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from libs.web.app import About, create_app
from services.gateway import openapi
from services.gateway.api.endpoint import Who
from services.gateway.api.groups import all_endpoints
from services.gateway.errors import CODES
from tests.gateway.edges import edge_on, routes_on

HEALTH = {"/health", "/healthz", "/readyz"}
DOCUMENT: dict[str, Any] = json.loads(openapi.PATH.read_text())
OPERATIONS = [
    pytest.param(path, method, told, id=f"{method.upper()} {path}")
    for path, methods in DOCUMENT["paths"].items()
    for method, told in methods.items()
]


async def nothing() -> list[str]:
    return []


def test_the_document_is_current() -> None:
    assert openapi.main(["--check"]) == 0, "run `make contracts`"


def test_every_route_is_in_the_document_and_the_other_way_round() -> None:
    app = create_app(About("gateway", "0", "test"), nothing, routes_on(edge_on()))
    served = {
        (route.method.lower(), route.resource.canonical)
        for route in app.router.routes()
        if route.resource is not None and route.method not in {"HEAD", "*"}
    }
    told = {(method, path) for path, methods in DOCUMENT["paths"].items() for method in methods}
    assert told == served


def test_the_paths_of_the_admin_have_their_short_form() -> None:
    for path in DOCUMENT["paths"]:
        if path.startswith("/api/v1/admin/"):
            assert path.removeprefix("/api/v1") in DOCUMENT["paths"]


@pytest.mark.parametrize(("path", "method", "told"), OPERATIONS)
def test_an_operation_is_told_in_full(path: str, method: str, told: dict[str, Any]) -> None:
    assert told["summary"].endswith(".")
    assert path in HEALTH or "400" in told["responses"]
    names = [p["name"] for p in told["parameters"] if p["in"] == "path"]
    assert sorted(names) == sorted(part[1:-1] for part in path.split("/") if part.startswith("{"))
    if method in {"post", "put", "patch"} and "requestBody" in told:
        for content in told["requestBody"]["content"].values():
            assert "example" in content


@pytest.mark.parametrize(("path", "method", "told"), OPERATIONS)
def test_examples_fit_their_schemas(path: str, method: str, told: dict[str, Any]) -> None:
    contents = [c for r in told["responses"].values() for c in r.get("content", {}).values()]
    contents += told.get("requestBody", {}).get("content", {}).values()
    for content in contents:
        schema = {**content["schema"], "components": DOCUMENT["components"]}
        if "example" in content:
            Draft202012Validator(schema).validate(content["example"])
        for example in content.get("examples", {}).values():
            code = example["$ref"].rsplit("/", 1)[1]
            value = DOCUMENT["components"]["examples"][code]["value"]
            Draft202012Validator(schema).validate(value)


def test_operation_ids_are_unique() -> None:
    ids = [
        told["operationId"] for methods in DOCUMENT["paths"].values() for told in methods.values()
    ]
    assert len(ids) == len(set(ids))


def test_every_declared_code_is_explained_with_one_status() -> None:
    for declared, _, _ in all_endpoints():
        assert set(declared.errors) <= set(CODES)


def test_only_the_door_and_health_are_open() -> None:
    opened = {d.path for d, _, _ in all_endpoints() if d.who in {Who.ANYONE, Who.GUEST}}
    assert opened == HEALTH | {"/api/v1/tenants/onboard"}
