"""A crash at any point, then the same message again: done once, and nothing left over.

Every message that the service handles is walked, with a crash before each call to
its log, claims, bucket, warehouse and the bus, and one after the last.
"""

import json
from typing import Any

import pytest

from contracts.identifiers import TenantId
from contracts.message import Message
from contracts.tenants import TenantProvisionedV1
from libs.slotlog.memory import MemorySlotLog
from libs.warehouse.warehouse import Warehouse
from tests.tenant.crashing import Crash, CrashingWarehouse, Fuse, NoWarehouse, dying
from tests.tenant.desk import Desk
from tests.tenant.scenes import SCENES, Scene

MOST_POINTS = 80
SAME_ID = "the-same-id"
NAMES = [f"{number} {scene.kind.wire_type}" for number, scene in enumerate(SCENES)]


def test_every_message_that_is_handled_has_a_scene(desk: Desk) -> None:
    assert {scene.kind for scene in SCENES} == desk.router.handled, "add it to scenes.py"


@pytest.mark.parametrize(("number", "scene"), list(enumerate(SCENES)), ids=NAMES)
async def test_what_was_cut_off_at_any_point_is_done_once_when_it_comes_again(
    desk: Desk, number: int, scene: Scene
) -> None:
    wanted, makes_datasets = await as_it_should_be(desk, f"whole_{number}", scene)
    warehouse = desk.warehouse if makes_datasets else NoWarehouse()
    for point in range(1, MOST_POINTS):
        tenant, log = TenantId(f"cut_{number}_{point}"), MemorySlotLog()
        whole = Desk(warehouse, desk.bucket, log)
        await scene.before(whole, tenant)
        died = await dies(dying(whole, log, point), scene.told(tenant))
        survivor = Desk(warehouse, desk.bucket, log)
        found = await outcome(survivor, tenant, await survivor.give(scene.told(tenant), SAME_ID))
        if makes_datasets:
            found["datasets"] = await datasets(desk.warehouse, tenant)
        assert like_any(tenant, found) == wanted, f"cut off at point {point}"
        if not died:
            assert point > 1, "nothing was ever interrupted"
            return
    pytest.fail(f"more than {MOST_POINTS} points")


async def as_it_should_be(desk: Desk, name: str, scene: Scene) -> tuple[Any, bool]:
    """How it ends when nothing is cut off, and whether the warehouse is any part of it."""
    tenant, calls = TenantId(name), Fuse()
    whole = Desk(CrashingWarehouse(desk.warehouse, calls), desk.bucket, MemorySlotLog())
    await scene.before(Desk(desk.warehouse, desk.bucket, whole.log), tenant)
    found = await outcome(whole, tenant, await whole.give(scene.told(tenant), SAME_ID))
    if calls.left:
        found["datasets"] = await datasets(desk.warehouse, tenant)
    return like_any(tenant, found), bool(calls.left)


async def dies(desk: Desk, message: Message) -> bool:
    try:
        await desk.give(message, SAME_ID)
    except Crash:
        return True
    return False


async def outcome(desk: Desk, tenant: TenantId, said: list[Message]) -> dict[str, Any]:
    """What was said, and what there is afterwards."""
    state = await desk.state(tenant)
    kept = await desk.bucket.names(f"ciphertexts/{tenant}/")
    assert (kept, state.doomed, state.leaving) == (sorted(state.ciphertexts.values()), (), None)
    return {
        "said": [(one.wire_type, without_history(one)) for one in said],
        "state": state.model_dump(mode="json"),
        "ciphertexts": [str(await desk.bucket.fetch(name)) for name in kept],
    }


def like_any(tenant: TenantId, found: dict[str, Any]) -> Any:
    return json.loads(json.dumps(found).replace(tenant, "acme").replace(tenant.title(), "Acme"))


def without_history(message: Message) -> Any:
    """What is said of objects names them all; who made them may be the one that died."""
    if isinstance(message, TenantProvisionedV1):
        return sorted(one.name for one in message.objects)
    return message.model_dump(mode="json")


async def datasets(warehouse: Warehouse, tenant: TenantId) -> dict[str, list[str]]:
    names = [str(tenant), f"{tenant}_raw_openai"]
    sql = "SELECT schema_name FROM INFORMATION_SCHEMA.SCHEMATA WHERE schema_name IN UNNEST(@names)"
    there = [row["schema_name"] for row in await warehouse.query(sql, {"names": names})]
    return {
        name: sorted([*await warehouse.tables(name), *await warehouse.views(name)])
        for name in sorted(there)
    }
