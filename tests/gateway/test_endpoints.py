"""What every declared endpoint promises: keys, paths, queries and bodies, over HTTP."""

import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from services.gateway.api.endpoint import Endpoint, Who
from services.gateway.api.groups import all_endpoints
from tests.gateway.edges import ADMIN_KEY, KEY, edge_on, serving

RUN = "6f1c2b1e-5a0f-4f6e-9a59-0d4c8e6b7a21"
PARTS = {"run_id": RUN, "tenant_id": "acme_cloud", "config_id": "ones", "key_hash": "0" * 64}
KEYED = [
    pytest.param(declared, path, id=f"{declared.method} {path}")
    for declared, _, group in all_endpoints()
    for path in declared.paths
    if declared.who not in {Who.ANYONE, Who.GUEST}
]


@pytest.fixture
async def url() -> AsyncIterator[str]:
    async with serving(edge_on()) as found:
        yield found


async def ask(url: str, method: str, path: str, **options: Any) -> tuple[int, Any]:
    async with aiohttp.ClientSession() as session:
        call = session.request(method, url + path, **options)
        async with call as response:
            return response.status, json.loads(await response.read() or b"null")


def filled(path: str) -> str:
    for name, value in PARTS.items():
        path = path.replace("{" + name + "}", value)
    return path.replace("{", "").replace("}", "")


@pytest.mark.parametrize(("declared", "path"), KEYED)
async def test_it_opens_only_with_its_key(url: str, declared: Endpoint, path: str) -> None:
    wrong = {"X-API-Key": "nonsense", "X-Admin-Key": "nonsense"}
    for headers in ({}, wrong):
        status, body = await ask(url, declared.method, filled(path), headers=headers)
        assert (status, body["status"]) == (401, 401)
        assert body["code"] in {"api_key_required", "invalid_api_key", "admin_key_required"}


NO_REVISION = {"data": "a: 1", "headers": {"If-Match": "²"}}
TENANT_KEY = {"X-API-Key": KEY.text}


@pytest.mark.parametrize(
    ("method", "path", "options", "pointer"),
    [
        ("GET", "/api/v1/tenants/me?colour=red", {}, "/colour"),
        ("GET", "/api/v1/pipelines/runs?limit=201", {}, "/limit"),
        ("GET", "/api/v1/pipelines/runs?from=soon", {}, "/from"),
        ("GET", "/api/v1/pipelines/runs?to=0", {}, "/to"),
        ("POST", "/api/v1/pipelines/run/ones", {"json": {"priority": "1"}}, "/priority"),
        ("PUT", "/api/v1/pipelines/configs/x", {}, ""),
        ("GET", "/api/v1/pipelines/runs?limit=1&limit=2", {}, ""),
        ("GET", f"/api/v1/pipelines/runs/{RUN}?wait=nan", {}, "/wait"),
        ("GET", "/api/v1/pipelines/runs/1", {}, "/run_id"),
        ("POST", "/api/v1/pipelines/run/ones", {"json": {"colour": "red"}}, "/colour"),
        ("POST", "/api/v1/pipelines/run/ones", {"json": {"date": "2026-02-30"}}, "/date"),
        (
            "PUT",
            "/api/v1/pipelines/configs/x",
            {"data": "a: 1", "headers": {"If-Match": "²"}},
            "/If-Match",
        ),
    ],
)
async def test_what_does_not_fit_is_refused_with_its_place(
    url: str, method: str, path: str, options: dict[str, Any], pointer: str
) -> None:
    headers = {**TENANT_KEY, **options.get("headers", {})}
    status, body = await ask(url, method, path, **{**options, "headers": headers})
    assert (status, body["code"]) == (400, "invalid_request")
    assert [fault["pointer"] for fault in body["errors"]] == [pointer]


async def test_silence_of_the_platform_is_a_504_that_may_be_repeated(url: str) -> None:
    status, body = await ask(url, "GET", "/api/v1/tenants/me", headers=TENANT_KEY)
    assert (status, body["code"]) == (504, "no_answer_yet")


async def test_a_definition_over_its_bound_is_refused(url: str) -> None:
    path, data = "/api/v1/pipelines/configs/x", b"#" * (256 * 1024 + 1)
    status, body = await ask(url, "PUT", path, data=data, headers=TENANT_KEY)
    assert (status, body["code"]) == (413, "definition_too_large")


async def test_an_admin_key_opens_no_tenant(url: str) -> None:
    headers = {"X-Admin-Key": ADMIN_KEY}
    status, body = await ask(url, "GET", "/api/v1/tenants/me", headers=headers)
    assert (status, body["code"]) == (401, "api_key_required")


@pytest.mark.parametrize(
    "path",
    [
        f"/api/v1/pipelines/runs/{RUN}?wait=5&since=3",
        "/api/v1/pipelines/runs?limit=5&to=2026-03-14",
    ],
)
async def test_numbers_and_days_of_a_query_are_read(url: str, path: str) -> None:
    status, body = await ask(url, "GET", path, headers=TENANT_KEY)
    assert (status, body["code"]) == (504, "no_answer_yet")
