"""Every answer to whom a limit counts for says where that limit stands, whatever the answer."""

import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import aiohttp
import pytest
from pydantic import SecretStr

from contracts.audit import EventListV1, ListEventsV1
from contracts.examples import example_part
from contracts.message import Message, Service
from contracts.platform import CommandRefusedV1
from contracts.runs import ListRunsV1, RunListV1, RunV1
from libs.bus.publisher import Publisher
from libs.settings import GatewaySettings, OnboardingMode
from services.gateway.app import in_front
from services.gateway.cors import Cors
from services.gateway.limits import Limits
from services.gateway.trail import Trail
from tests.api.threads import ExampleRequester
from tests.gateway.door import Recorder
from tests.gateway.edges import (
    ADMIN_KEY,
    KEY,
    TENANT,
    Script,
    ScriptedRequester,
    edge_on,
    once_for,
    serving,
    silence,
)

RUN = "/api/v1/pipelines/runs/00000000-0000-4000-8000-000000000001"
TENANTS, OPERATORS = {"X-API-Key": KEY.text}, {"X-Admin-Key": ADMIN_KEY}
ONCE = {"Idempotency-Key": "any"}
NDJSON = {"Accept": "application/x-ndjson"}


def broken(_: Message) -> Message:
    msg = "a mistake of ours"
    raise RuntimeError(msg)


def refusing(_: Message) -> Message:
    return CommandRefusedV1(tenant_id=TENANT, code="run_not_found", detail="no such run")


def of_one_page(question: Message) -> Message:
    match question:
        case ListEventsV1():
            return EventListV1(tenant_id=TENANT, events=())
        case ListRunsV1():
            return RunListV1(tenant_id=TENANT, runs=())
        case _:
            return cast("Message", example_part(RunV1))


@asynccontextmanager
async def gateway(
    script: Script | None = None, clock: Callable[[], float] = time.monotonic, **limits: Any
) -> AsyncIterator[str]:
    settings = GatewaySettings(
        admin_api_key=SecretStr(ADMIN_KEY), onboarding_mode=OnboardingMode.ADMIN, **limits
    )
    standing = Limits(settings, clock)
    requester = ExampleRequester() if script is None else ScriptedRequester(script)
    edge = edge_on(settings=settings, requester=requester, limits=standing)
    trail = Trail(Publisher(Service.GATEWAY, Recorder()), edge.auth.remembered)
    chain = in_front(Cors(()), standing, trail, once_for(edge.auth))
    async with serving(edge, chain) as url:
        yield url
        edge.stopping.set()
        edge.live.wake_all()
        await trail.finish()


async def answer_to(
    url: str, method: str, path: str, headers: dict[str, str], body: Any = None
) -> tuple[int, str, str]:
    """The status and what is said of the limit; a stream is not read to its end."""
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, url + path, headers=headers, json=body) as found,
    ):
        policy, left = (found.headers.get(name, "") for name in ("RateLimit-Policy", "RateLimit"))
        assert re.fullmatch(r'"(tenant|address)";q=\d+;w=60', policy), (found.status, policy)
        assert re.fullmatch(r'"(tenant|address)";r=\d+;t=\d+', left), (found.status, left)
        assert len(found.headers.getall("RateLimit")) == 1
        return found.status, policy.split('"')[1], left


@pytest.mark.parametrize(
    ("asked", "script", "expected"),
    [
        (("GET", "/api/v1/tenants/me", TENANTS, None), None, (200, "tenant")),
        (("POST", "/api/v1/tenants/api-keys", TENANTS, {}), None, (201, "tenant")),
        (("GET", RUN, TENANTS, None), refusing, (404, "tenant")),
        (("GET", "/api/v1/pipelines/runs/none", TENANTS, None), None, (400, "tenant")),
        (("POST", "/api/v1/tenants/api-keys", TENANTS, {"no": 1}), None, (400, "tenant")),
        (("GET", "/api/v1/tenants/quota", TENANTS, None), broken, (500, "tenant")),
        (("GET", "/api/v1/tenants/quota", TENANTS, None), silence, (504, "tenant")),
        (("GET", RUN + "/events", TENANTS, None), of_one_page, (200, "tenant")),
        (("GET", "/api/v1/pipelines/runs", TENANTS | NDJSON, None), of_one_page, (200, "tenant")),
        (("GET", "/api/v1/nowhere", TENANTS, None), None, (404, "address")),
        (("DELETE", "/api/v1/tenants/me", TENANTS, None), None, (405, "address")),
        (("GET", "/api/v1/admin/tenants", TENANTS, None), None, (401, "address")),
        (("GET", "/api/v1/tenants/me", {"X-API-Key": "garbage"}, None), None, (401, "address")),
        (("GET", "/api/v1/admin/tenants/acme_cloud", OPERATORS, None), None, (200, "address")),
        (("GET", "/api/v1/admin/tenants/acme_cloud", OPERATORS, None), broken, (500, "address")),
    ],
)
async def test_every_kind_of_answer_says_where_the_limit_stands(
    asked: tuple[str, str, dict[str, str], Any], script: Script | None, expected: tuple[int, str]
) -> None:
    async with gateway(script) as url:
        assert (await answer_to(url, *asked))[:2] == expected


async def test_a_repeat_says_where_the_limit_stands_now() -> None:
    async with gateway(clock=lambda: 0.0, rate_limit_tenant=60) as url:  # no time to refill
        path, headers = "/api/v1/tenants/api-keys", TENANTS | ONCE
        first = await answer_to(url, "POST", path, headers, {})
        again = await answer_to(url, "POST", path, headers, {})
        assert first[:2] == again[:2] == (201, "tenant")
        assert (first[2], again[2]) == ('"tenant";r=59;t=1', '"tenant";r=58;t=2')


@pytest.mark.parametrize(
    ("limits", "policy"),
    [({"rate_limit_tenant": 1}, "tenant"), ({"rate_limit_address": 1}, "address")],
    ids=["tenant", "address"],
)
async def test_who_is_turned_away_is_told_of_the_limit_that_was_reached(
    limits: dict[str, Any], policy: str
) -> None:
    async with gateway(**limits) as url:
        await answer_to(url, "GET", "/api/v1/tenants/me", TENANTS)
        refused = await answer_to(url, "GET", "/api/v1/tenants/me", TENANTS)
        assert refused[:2] == (429, policy)
        assert ";r=0;" in refused[2]
