"""What operators may change of a tenant over HTTP, and what the tenant service is asked."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from contracts.message import Message
from contracts.tenants import (
    ChangePlanV1,
    GetTenantV1,
    LimitOverridesPart,
    LimitsPart,
    PlanChangedV1,
    PlanField,
    ResumeTenantV1,
    SuspendTenantV1,
    TenantPart,
    TenantResumedV1,
    TenantStatus,
    TenantSuspendedV1,
    TenantV1,
)
from tests.gateway.edges import ADMIN_KEY, NOW, TENANT, ScriptedRequester, edge_on, serving

LIMITS = LimitsPart(daily=6, monthly=180, concurrent=3)


def said(question: Message) -> Message:
    by = {"tenant_id": TENANT, "requested_by": "admin"}
    match question:
        case ChangePlanV1():
            return PlanChangedV1.model_validate({**by, "plan": "SCALE", "limits": LIMITS})
        case SuspendTenantV1(reason=reason):
            return TenantSuspendedV1.model_validate({**by, "reason": reason})
        case ResumeTenantV1():
            return TenantResumedV1.model_validate(by)
        case _:
            return TenantV1(
                tenant=TenantPart(
                    tenant_id=TENANT,
                    company_name="Acme",
                    admin_email="a@acme.example",
                    status=TenantStatus.ACTIVE,
                    plan="SCALE",
                    limits=LIMITS,
                    datasets=(TENANT,),
                    created_at=NOW,
                )
            )


@dataclass(slots=True)
class Operator:
    url: str
    requester: ScriptedRequester

    async def patch(self, body: Any) -> tuple[int, Any]:
        headers = {"X-Admin-Key": ADMIN_KEY}
        path = f"{self.url}/api/v1/admin/tenants/{TENANT}"
        async with (
            aiohttp.ClientSession() as session,
            session.patch(path, json=body, headers=headers) as found,
        ):
            return found.status, await found.json()


@pytest.fixture
async def operator() -> AsyncIterator[Operator]:
    requester = ScriptedRequester(said)
    async with serving(edge_on(requester=requester)) as url:
        yield Operator(url, requester)


PLAN, DAILY = PlanField.PLAN, PlanField.DAILY
ALL_LIMITS = (DAILY, PlanField.MONTHLY, PlanField.CONCURRENT)


@pytest.mark.parametrize(
    ("body", "only", "overrides"),
    [
        ({"subscription_plan": "SCALE"}, (PLAN,), {}),
        ({"limits": {"daily": 250}}, (DAILY,), {"daily": 250}),
        ({"limits": {"daily": None}}, (DAILY,), {}),
        ({"limits": None}, ALL_LIMITS, {}),
        ({"subscription_plan": "SCALE", "limits": {"daily": 1}}, (PLAN, DAILY), {"daily": 1}),
    ],
    ids=["the plan", "a limit", "a limit no more", "no limit any more", "both"],
)
async def test_only_what_is_named_is_asked_to_change(
    operator: Operator, body: Any, only: tuple[PlanField, ...], overrides: dict[str, int]
) -> None:
    assert (await operator.patch(body))[0] == 200
    command, shown = operator.requester.asked
    assert isinstance(command, ChangePlanV1)
    assert (command.only, command.overrides) == (only, LimitOverridesPart(**overrides))
    assert isinstance(shown, GetTenantV1)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, "give either status"),
        ({"limits": {}}, "that name what changes"),
        ({"status": "ACTIVE", "limits": {"daily": 1}}, "give either status"),
        ({"status": "ACTIVE", "limits": None}, "give either status"),
        ({"status": "ACTIVE", "limits": {}}, "give either status"),
        ({"status": "SUSPENDED"}, "reason: expected when a tenant is suspended"),
        ({"status": "ACTIVE", "reason": "paid"}, "reason: expected when a tenant is suspended"),
        ({"subscription_plan": "SCALE", "reason": "paid"}, "and only then"),
        ({"limits": {"daily": 1, "weekly": 1}}, "Extra inputs"),
    ],
    ids=str,
)
async def test_what_would_be_ignored_is_refused(
    operator: Operator, body: Any, expected: str
) -> None:
    status, problem = await operator.patch(body)
    assert (status, problem["code"]) == (400, "invalid_request")
    assert expected in problem["errors"][0]["detail"]
    assert operator.requester.asked == []


async def test_a_suspension_says_why(operator: Operator) -> None:
    assert (await operator.patch({"status": "SUSPENDED", "reason": "unpaid"}))[0] == 200
    command = operator.requester.asked[0]
    assert isinstance(command, SuspendTenantV1)
    assert command.reason == "unpaid"
