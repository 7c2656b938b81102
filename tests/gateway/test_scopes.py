"""Scopes cover what there is: a new route lies in an area, or no narrowed key opens it."""

import pytest

from services.gateway import scopes
from services.gateway.api.endpoint import Endpoint, Who
from services.gateway.api.groups import all_endpoints

TENANTS = [
    pytest.param(declared, id=f"{declared.method} {declared.path}")
    for declared, _, _ in all_endpoints()
    if declared.who in {Who.TENANT, Who.TENANT_OR_ADMIN}
]


@pytest.mark.parametrize("declared", TENANTS)
def test_every_route_of_tenants_lies_in_an_area(declared: Endpoint) -> None:
    assert scopes.needed(declared.method, declared.path) in scopes.ALL


def test_an_area_that_nobody_has_named_is_open_to_no_narrowed_key() -> None:
    assert scopes.needed("GET", "/api/v1/secrets/{name}") not in scopes.ALL
