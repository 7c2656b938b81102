"""What is given to a saved definition that uses a template is checked by the template."""

from typing import Any

import pytest

from contracts.backfills import StartBackfillV1
from contracts.pipelines import SaveConfigV1
from contracts.platform import CommandRefusedV1
from contracts.runs import SubmitRunV1
from contracts.schedules import SaveScheduleV1
from tests.pipelines import ONE_STEP
from tests.scheduler.simulation import Instance, World
from tests.scheduler.test_expiry import told
from tests.scheduler.test_retries import BILLING, FIRST, submission, with_templates

USE = "template: gcp/cost/billing_by_service\nparameters: {minimum_cost: 0.5}\n"
ACCEPTED = {
    "run": "run.requested.v1",
    "schedule": "schedule.saved.v1",
    "backfill": "backfill.started.v1",
}
BAD, GOOD = {"minimum_cost": -1}, {"minimum_cost": 2}


async def saved(source: str) -> tuple[World, Instance]:
    world, instance = await with_templates()
    tenant = world.tenants[0]
    save = SaveConfigV1(tenant_id=tenant, config_id="mine", source=source, requested_by="test")  # type: ignore[arg-type] # parsed
    await told(world, instance, save)
    return world, instance


def asked(world: World, kind: str, parameters: dict[str, Any]) -> Any:
    about = {"tenant_id": world.tenants[0], "requested_by": "test"}
    given = {"config_id": "mine", "parameters": parameters}
    day = world.now.date()
    if kind == "schedule":
        return SaveScheduleV1.model_validate({**about, "schedule": {**given, "cron": "@daily"}})
    if kind == "backfill":
        days = {"from_date": day, "to_date": day, "backfill_id": FIRST}
        return StartBackfillV1.model_validate({**about, **given, **days})
    del about["requested_by"]
    return SubmitRunV1.model_validate({**about, **given, "run_id": FIRST, "run_date": day})


@pytest.mark.parametrize("kind", ACCEPTED)
async def test_parameters_that_the_template_does_not_take_are_refused(kind: str) -> None:
    world, instance = await saved(USE)
    (refused,) = await told(world, instance, asked(world, kind, BAD))
    assert isinstance(refused, CommandRefusedV1)
    assert refused.code == "invalid_parameters"
    assert refused.problems[0].pointer == "/parameters/minimum_cost"
    (refused,) = await told(world, instance, asked(world, kind, {"minimum_cots": 1}))
    assert "'minimum_cots' was unexpected" in refused.detail
    (accepted, *_) = await told(world, instance, asked(world, kind, GOOD))
    assert accepted.attributes["ce-type"] == ACCEPTED[kind]


async def test_a_definition_without_a_template_takes_any() -> None:
    world, instance = await saved(f"# no template\n{ONE_STEP}")
    (accepted, *_) = await told(world, instance, asked(world, "run", BAD))
    assert accepted.attributes["ce-type"] == ACCEPTED["run"]


@pytest.mark.parametrize("kind", ACCEPTED)
@pytest.mark.parametrize("source", [USE, ONE_STEP], ids=["of a template", "any"])
async def test_parameters_are_kept_with_every_run_and_so_are_small(kind: str, source: str) -> None:
    world, instance = await saved(source)
    (refused,) = await told(world, instance, asked(world, kind, {"text": "ü" * 5_000}))
    assert isinstance(refused, CommandRefusedV1)
    assert refused.code == "invalid_parameters"
    assert refused.detail == "parameters: 10,012 bytes as JSON, expected at most 8,192"


async def test_a_template_run_by_itself_takes_no_more_either() -> None:
    world, instance = await with_templates()
    run = submission(world, run_id=FIRST, template=BILLING, parameters={"text": "x" * 9_000})
    (refused,) = await told(world, instance, run)
    assert refused.code == "invalid_parameters"
