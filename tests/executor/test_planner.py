"""A plan: every step compiled, checked and estimated, and nothing done."""

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from contracts.envelope import Envelope
from contracts.identifiers import ConfigId, StepId, TenantId
from contracts.message import Kind
from contracts.pipelines import DefinitionPart, StepPart
from contracts.planning import PlanRunV1, RunPlanV1, StepPlanPart, Verdict
from contracts.platform import CommandRefusedV1
from libs.bus.message import Context
from libs.clock import system_clock
from libs.warehouse.warehouse import Warehouse
from services.executor import planner as planning
from services.executor.planner import Planner
from services.executor.steps.registry import step_types
from services.executor.steps.step import (
    StepError,
    StepPlan,
    StepResult,
    StepRetryError,
    StepRun,
    StepType,
)
from services.executor.steps.tools import Tools
from tests.executor.stage import RUN_DATE, TENANT, step

CONTEXT = Context(
    Envelope(
        id="1",
        type="run.plan.v1",
        kind=Kind.QUERY,
        source="gateway",
        time=system_clock(),
        tenant_id=TENANT,
    )
)


def query(*steps: StepPart, **more: Any) -> PlanRunV1:
    return PlanRunV1(
        tenant_id=TenantId(TENANT),
        definition=DefinitionPart(pipeline_id=ConfigId("p"), steps=steps),
        datasets=(TENANT,),
        run_date=RUN_DATE,
        **more,
    )


async def planned(planner: Planner, *steps: StepPart, **more: Any) -> RunPlanV1:
    (plan,) = await planner.on_plan_run(query(*steps, **more), CONTEXT)
    assert isinstance(plan, RunPlanV1)
    return plan


def told(plan: RunPlanV1) -> dict[str, StepPlanPart]:
    return {part.step_id: part for part in plan.steps}


class Costs(StepType):
    """Says what its config says."""

    async def run(self, given: StepRun) -> StepResult:
        raise AssertionError(f"{given.step.step_id} ran")

    async def plan(self, given: StepRun) -> StepPlan:
        match given.step.config.get("says"):
            case "no":
                raise StepError("sql_not_allowed", "it reads other.t")
            case "away":
                raise StepRetryError("bigquery_unavailable", "BigQuery is not available")
            case "slow":
                await asyncio.Event().wait()
            case "later":
                return StepPlan(known=False, note="after `first`")
        return StepPlan(sql="SELECT 1", bytes=1 << 30, price_usd=Decimal("0.006"))


@pytest.fixture
def costs() -> Planner:
    return Planner({"costs": Costs()}, system_clock)


async def test_what_the_steps_cost_adds_up(costs: Planner) -> None:
    plan = await planned(costs, *(step("costs", id=f"s{n}") for n in range(20)))
    assert (plan.bytes, plan.price_usd, plan.allowed) == (20 << 30, Decimal("0.120"), True)


async def test_steps_stand_in_the_order_of_their_levels(costs: Planner) -> None:
    last = step("costs", id="last", needs=(StepId("middle"),))
    middle = step("costs", id="middle", needs=(StepId("first"),))
    plan = await planned(costs, last, middle, step("costs", id="first"))
    assert [(part.step_id, part.level) for part in plan.steps] == [
        ("first", 1),
        ("middle", 2),
        ("last", 3),
    ]


async def test_each_step_has_a_verdict_of_its_own(
    costs: Planner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "PATIENCE_SECONDS", 1.0)
    says = ("", "no", "away", "slow", "later")
    plan = await planned(
        costs,
        *(step("costs", {"says": one}, id=one or "yes") for one in says),
        step("cost.focuss", id="misspelt"),
    )
    found = told(plan)
    assert {name: part.verdict for name, part in found.items()} == {
        "yes": Verdict.ALLOWED,
        "no": Verdict.REFUSED,
        "away": Verdict.UNKNOWN,
        "slow": Verdict.UNKNOWN,
        "later": Verdict.UNKNOWN,
        "misspelt": Verdict.REFUSED,
    }
    assert found["no"].error is not None
    assert (found["no"].error.code, found["no"].error.step_id) == ("sql_not_allowed", "no")
    assert found["misspelt"].error is not None
    assert "none of costs" in found["misspelt"].error.detail
    assert "not available" in found["away"].note
    assert "in time" in found["slow"].note
    assert (plan.allowed, plan.bytes) == (False, 1 << 30)


async def test_a_circle_is_refused(costs: Planner) -> None:
    one, two = StepId("one"), StepId("two")
    (refused,) = await costs.on_plan_run(
        query(step("costs", id=one, needs=(two,)), step("costs", id=two, needs=(one,))), CONTEXT
    )
    assert isinstance(refused, CommandRefusedV1)
    assert refused.code == "invalid_definition"


async def test_sql_is_compiled_estimated_and_not_run(tools: Tools, warehouse: Warehouse) -> None:
    await warehouse.query("CREATE TABLE acme.bills AS SELECT 1 AS id, 2.5 AS cost")
    made: dict[str, Any] = {
        "source_query": "SELECT id, ${parameters.note} AS note FROM bills WHERE id > 0",
        "target_table": "${tenant_id}.made",
    }
    thief: dict[str, Any] = {
        "source_query": "SELECT * FROM other.t",
        "target_table": "${tenant_id}.stolen",
    }
    planner = Planner(step_types(tools), system_clock)
    plan = await planned(
        planner,
        step("bq_etl.query", made, id="make"),
        step("bq_etl.query", thief, id="steal"),
        parameters={"note": "x'; DROP TABLE bills"},
    )
    found = told(plan)
    assert found["make"].verdict is Verdict.ALLOWED
    assert "DROP TABLE" not in found["make"].sql
    assert found["make"].sql.startswith("SELECT id, @")
    assert found["make"].reads == ("acme.bills",)
    assert found["make"].writes == ("acme.made",)
    assert found["make"].bytes > 0
    assert found["steal"].verdict is Verdict.REFUSED
    assert found["steal"].error is not None
    assert "other.t" in found["steal"].error.detail
    assert not plan.allowed
    assert list(await warehouse.tables("acme")) == ["bills"]
