"""What the daily tick deletes: records and revisions past their retention, and nothing else."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

from contracts.identifiers import ConfigId, RunId
from contracts.message import Message
from contracts.pipelines import DeleteConfigV1, GetConfigV1, SaveConfigV1
from contracts.quota import GetQuotaV1
from contracts.runs import SubmitRunV1
from contracts.ticks import TickJob, TickV1
from services.scheduler.domain.deciding import Rules
from services.scheduler.domain.facts import Admitted
from services.scheduler.objects import Revisions
from services.scheduler.store import LedgerDecider
from tests.pipelines import ONE_STEP
from tests.scheduler.load import OTHER
from tests.scheduler.simulation import CONFIG, Instance, Plan, World

KEPT = Path(__file__).parent / "snapshot_of_version_3.json"
GONE = ConfigId("gone")


async def told(world: World, instance: Instance, message: Message) -> list[Any]:
    return list(await instance.handle(message, world._envelope(message)))


async def calm() -> tuple[World, Instance]:
    """A world without trouble, with its tenants onboarded."""
    world = World(1, Plan(tenants=1, instances=1, scheduled=False))
    world.log.trouble = 0.0
    await world._begin()
    return world, world.instances[0]


def submission(world: World, number: int) -> SubmitRunV1:
    return SubmitRunV1(
        tenant_id=world.tenants[0],
        run_id=RunId(f"00000000-0000-4000-8000-{number:012d}"),
        config_id=CONFIG,
        run_date=world.now.date(),
    )


async def test_after_ninety_days_old_records_and_deleted_definitions_are_gone() -> None:
    world, instance = await calm()
    tenant = world.tenants[0]
    stream = f"scheduler/{tenant}"
    about: dict[str, Any] = {"tenant_id": tenant, "requested_by": "test"}
    await told(world, instance, SaveConfigV1(**about, config_id=GONE, source=ONE_STEP))
    await told(world, instance, DeleteConfigV1(**about, config_id=GONE))
    world.now += timedelta(days=91)
    await told(world, instance, submission(world, 1))
    last = (await world.log.read(stream, 0))[-1][0]
    revisions = Revisions(world.objects)
    assert await revisions.configs(tenant) == {CONFIG, OTHER, GONE}
    await told(world, instance, TickV1(job=TickJob.DAILY))
    assert await revisions.configs(tenant) == {CONFIG, OTHER}
    oldest = await world.log.oldest(stream)
    assert oldest is not None
    assert oldest[0] >= last
    fresh = Instance(world)
    (quota,) = await told(world, fresh, GetQuotaV1(tenant_id=tenant))
    assert (quota.used_today, quota.running) == (1, 1)
    (kept,) = await told(world, fresh, GetConfigV1(tenant_id=tenant, config_id=CONFIG, revision=1))
    assert kept.config.source == ONE_STEP
    await told(world, fresh, submission(world, 2))
    (quota,) = await told(world, fresh, GetQuotaV1(tenant_id=tenant))
    assert quota.used_today == 2


async def test_before_that_everything_stays() -> None:
    world, instance = await calm()
    world.now += timedelta(days=89)
    await told(world, instance, TickV1(job=TickJob.DAILY))
    assert (await world.log.oldest(f"scheduler/{world.tenants[0]}") or (0, None))[0] == 1


def test_snapshots_that_releases_have_written_can_still_be_read() -> None:
    """Their records may have expired. Another form needs another version, and a way from this."""
    decider = LedgerDecider(Rules())
    kept = json.loads(KEPT.read_text())
    assert decider.version == kept["version"]
    ledger = decider.load_state(kept["state"])
    assert _holds(json.loads(decider.dump_state(ledger)), kept["state"])


def test_a_ledger_that_was_read_is_the_one_that_was_written() -> None:
    """It shares what all models of a kind have in common; a copy of one changes no other."""
    decider = LedgerDecider(Rules())
    ledger = decider.load_state(json.loads(KEPT.read_text())["state"])
    written = decider.dump_state(ledger)
    assert decider.dump_state(decider.load_state(json.loads(written))) == written
    first, *_ = ledger.configs.values()
    other = first.model_copy(update={"revision": 99})
    assert other.model_fields_set == set(type(first).model_fields)
    assert other.model_fields_set is not first.model_fields_set
    assert (first.revision, other.revision) != (99, first.revision)


def _holds(found: Any, kept: Any) -> bool:
    """Whether all that was kept is there; what has been added since may be too."""
    if isinstance(kept, dict):
        return all(name in found and _holds(found[name], one) for name, one in kept.items())
    return bool(found == kept)


def test_what_a_later_release_has_written_beside_is_passed_over() -> None:
    """So that it can be deployed beside this one, and taken back."""
    decider = LedgerDecider(Rules())
    state = json.loads(KEPT.read_text())["state"]
    ledger = decider.load_state(state)
    lease = next(iter(ledger.runs.values()))
    admitted = Admitted(
        request=lease.request,
        queued=False,
        priority=0,
        day=lease.day,
        lease_until=lease.until,
    )
    fact = json.loads(admitted.model_dump_json())
    for part in (fact, fact["request"], fact["request"]["trigger"], state):
        part["later"] = 1
    for run in state["runs"].values():
        run["later"] = run["request"]["later"] = run["request"]["definition"]["later"] = 1
    assert decider.load_fact(fact) == admitted
    assert decider.load_state(state) == ledger


async def test_a_revision_that_a_later_release_kept_is_read() -> None:
    world, _ = await calm()
    (name,) = [
        one
        for one in world.objects.bodies
        if one.startswith(f"revisions/{world.tenants[0]}/{CONFIG}/")
    ]
    kept = json.loads(world.objects.bodies[name])
    kept["later"] = kept["definition"]["later"] = 1
    world.objects.bodies[name] = json.dumps(kept).encode()
    found = await Revisions(world.objects).find(world.tenants[0], CONFIG, 1)
    assert found is not None
    assert found.source == kept["source"]


def test_a_ledger_holds_nothing_that_the_release_before_would_refuse() -> None:
    """What it read was read strictly: a request that says nothing new is written as before."""
    ledger = LedgerDecider(Rules()).load_state(json.loads(KEPT.read_text())["state"])
    for lease in ledger.runs.values():
        assert "begin_seconds" not in lease.request.model_dump(mode="json")
        assert "begin_seconds" not in json.loads(lease.request.encode())
