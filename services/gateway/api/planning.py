"""What a run would do, asked of those who would do it; nothing runs and nothing is charged."""

import asyncio
from decimal import Decimal

from pydantic import Field, JsonValue

from contracts.identifiers import ConfigId, TenantId
from contracts.message import Part
from contracts.pipelines import ConfigV1, GetConfigV1
from contracts.planning import PlanRunV1, RunPlanV1, StepPlanPart
from contracts.quota import GetQuotaV1, QuotaV1
from contracts.tenants import GetTenantV1, TenantV1
from services.gateway.api.edge import Edge
from services.gateway.api.endpoint import Body, Call, Who, endpoint
from services.gateway.api.moments import day_asked_for

PATIENCE_SECONDS = 25.0


class PlanBody(Body):
    date: str = Field(default="", pattern=r"^(\d{4}-\d{2}-\d{2})?$")
    """The day that the run would be about; today in UTC when empty."""
    parameters: dict[str, JsonValue] = Field(default_factory=dict, max_length=100)


class QuotaEffect(Part):
    """What starting it now would take."""

    used_today: int
    daily_limit: int
    used_this_month: int
    monthly_limit: int
    would: str
    """`start`, `wait` in the queue, or be `rejected`."""


class Plan(Part):
    tenant_id: TenantId
    config_id: ConfigId
    revision: int
    steps: tuple[StepPlanPart, ...]
    bytes: int
    price_usd: Decimal
    allowed: bool
    """Whether no step would be refused."""
    quota: QuotaEffect


class PlanRoutes:
    def __init__(self, edge: Edge) -> None:
        self._edge = edge

    @endpoint(
        "POST",
        "/api/v1/pipelines/configs/{config_id}/plan",
        Who.TENANT,
        errors=("config_not_found", "tenant_not_found", "invalid_definition"),
        example={"date": "2026-03-14", "parameters": {}},
    )
    async def plan(self, call: Call, config_id: ConfigId, body: PlanBody) -> Plan:
        """Compile a pipeline: its SQL, tables, bytes, price, and whether it would be let run."""
        ask, tenant = self._edge.questions.ask, call.tenant
        found, about, quota = await asyncio.gather(
            ask(GetConfigV1(tenant_id=tenant, config_id=config_id), ConfigV1),
            ask(GetTenantV1(tenant_id=tenant), TenantV1),
            ask(GetQuotaV1(tenant_id=tenant), QuotaV1),
        )
        query = PlanRunV1(
            tenant_id=tenant,
            definition=found.config.definition,
            datasets=about.tenant.datasets,
            run_date=day_asked_for(body.date, self._edge.clock().date()),
            parameters=body.parameters,
        )
        planned = await ask(query, RunPlanV1, within=PATIENCE_SECONDS)
        return Plan(
            tenant_id=tenant,
            config_id=config_id,
            revision=found.config.revision,
            steps=planned.steps,
            bytes=planned.bytes,
            price_usd=planned.price_usd,
            allowed=planned.allowed,
            quota=_effect(quota),
        )


def _effect(quota: QuotaV1) -> QuotaEffect:
    limits = quota.limits
    full = quota.used_today >= limits.daily or quota.used_this_month >= limits.monthly
    would = "wait" if quota.running >= limits.concurrent else "start"
    return QuotaEffect(
        used_today=quota.used_today,
        daily_limit=limits.daily,
        used_this_month=quota.used_this_month,
        monthly_limit=limits.monthly,
        would="rejected" if full else would,
    )
