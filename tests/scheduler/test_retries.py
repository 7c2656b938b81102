"""A retry repeats exactly what ran: a saved definition's revision, or a template's version."""

from dataclasses import replace
from typing import Any

from contracts.envelope import Wire
from contracts.identifiers import RunId
from contracts.message import Message
from contracts.pipelines import SaveConfigV1
from contracts.platform import CommandRefusedV1
from contracts.runs import (
    AttemptFinishedV1,
    ExplainRunV1,
    RetryRunV1,
    RunRequestedV1,
    RunStatus,
    SubmitRunV1,
)
from contracts.templates import TemplateRefPart
from services.scheduler.templates.library import Library, Template
from tests.pipelines import ONE_STEP
from tests.scheduler.simulation import Instance, World
from tests.scheduler.test_expiry import calm, told

BILLING = TemplateRefPart(provider="gcp", domain="cost", template="billing_by_service")
FIRST, SECOND, THIRD = (RunId(f"00000000-0000-4000-8000-{n:012d}") for n in range(3))


async def with_templates() -> tuple[World, Instance]:
    world, _ = await calm()
    world.templates = Library.packaged()
    return world, Instance(world)


async def request(world: World, instance: Instance, message: Message) -> RunRequestedV1:
    """What begins; it has ended when this returns."""
    (wire,) = (one for one in await told(world, instance, message) if _begins(one))
    begun = RunRequestedV1.decode(wire.data)
    ended = AttemptFinishedV1(
        tenant_id=begun.tenant_id,
        run_id=begun.run_id,
        attempt=1,
        status=RunStatus.FAILED,
        started_at=world.now,
        finished_at=world.now,
    )
    await told(world, instance, ended)
    return begun


def _begins(emitted: Any) -> bool:
    return isinstance(emitted, Wire) and emitted.attributes["ce-type"] == RunRequestedV1.wire_type


def submission(world: World, **more: Any) -> SubmitRunV1:
    about = {"tenant_id": world.tenants[0], "config_id": BILLING.config_id}
    return SubmitRunV1.model_validate({**about, "run_date": world.now.date(), **more})


def repeat(world: World, run_id: RunId, of: RunId) -> RetryRunV1:
    return RetryRunV1(tenant_id=world.tenants[0], run_id=run_id, retry_of=of)


async def test_a_saved_definition_with_a_templates_name_is_repeated_as_it_was_saved() -> None:
    world, instance = await with_templates()
    tenant, name = world.tenants[0], BILLING.config_id
    save = SaveConfigV1(tenant_id=tenant, config_id=name, source=ONE_STEP, requested_by="test")
    await told(world, instance, save)
    own = await request(world, instance, submission(world, run_id=FIRST))
    again = await request(world, instance, repeat(world, SECOND, FIRST))
    assert again.definition == own.definition
    once_more = await request(world, instance, repeat(world, THIRD, SECOND))
    assert once_more.definition == own.definition


async def test_a_templates_run_is_repeated_until_the_template_has_another_version() -> None:
    world, instance = await with_templates()
    of_template = submission(world, run_id=FIRST, template=BILLING)
    first = await request(world, instance, of_template)
    again = await request(world, instance, repeat(world, SECOND, FIRST))
    assert again.definition == first.definition
    world.templates = Library(_next_version(one) for one in world.templates)
    (refused,) = await told(world, Instance(world), repeat(world, THIRD, SECOND))
    assert isinstance(refused, CommandRefusedV1)
    assert refused.code == "definition_gone"
    assert refused.detail == (
        f"run {SECOND} was of version 1 of template gcp/cost/billing_by_service, "
        "which is at version 2 now; start a new run of it"
    )


def _next_version(template: Template) -> Template:
    about = template.about.model_copy(update={"version": template.about.version + 1})
    return replace(template, about=about)


async def test_a_run_that_is_not_remembered_is_refused_with_what_is() -> None:
    world, instance = await with_templates()
    for asked in (repeat(world, SECOND, FIRST), explained(world, FIRST)):
        (refused,) = await told(world, instance, asked)
        assert isinstance(refused, CommandRefusedV1)
        assert refused.code == "run_not_found"
        assert refused.detail == (
            f"the scheduler knows of no run {FIRST}: it remembers runs for 90 days after their "
            "end, and the last 5,000 of a tenant; of older ones start a new run"
        )


def explained(world: World, run_id: RunId) -> ExplainRunV1:
    return ExplainRunV1(tenant_id=world.tenants[0], run_id=run_id)
