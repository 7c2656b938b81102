"""What an earlier release left is read, and nothing of it is lost."""

import json
from typing import Any
from uuid import uuid4

from contracts.envelope import Envelope
from contracts.keys import IssueKeyV1, RevokeKeyV1
from contracts.message import Kind, Message, Service
from contracts.platform import CommandRefusedV1
from libs.slotlog.memory import MemorySlotLog
from libs.slotlog.writer import Writer
from services.tenant.domain.onboarding import FinishProvisioning
from services.tenant.domain.tenant import Tenant
from services.tenant.store import TenantDecider
from tests.tenant.desk import NOW, key, onboarding

BY = {"tenant_id": "acme", "requested_by": "admin"}
ISSUE = IssueKeyV1.model_validate({**BY, "key": key(1)})
TOLD = 4
PROVISIONED = FinishProvisioning.model_validate({**BY, "objects": ()})
REVOKE = RevokeKeyV1.model_validate({**BY, "key_hash": key(1).key_hash})


async def told(tenants: Writer[Tenant], message: Message) -> list[str]:
    wires = await tenants.submit("acme", message, _envelope(message))
    return [wire.attributes["ce-type"] for wire in wires]


def _envelope(message: Message) -> Envelope:
    return Envelope(
        id=str(uuid4()),
        type="any",
        kind=Kind.COMMAND,
        source=Service.GATEWAY.value,
        time=NOW,
        tenant_id=message.scope or "",
        reply_to="instance-one",
    )


def writer(log: MemorySlotLog) -> Writer[Tenant]:
    return Writer(log, TenantDecider(), service=Service.TENANT)


async def test_ends_of_keys_from_before_they_were_remembered_are_read_from_the_log() -> None:
    log = MemorySlotLog()
    before = writer(log)
    for message in (onboarding("acme"), PROVISIONED):
        await told(before, message)
    assert await told(before, ISSUE) == ["key.issued.v1"]
    assert await told(before, REVOKE) == ["key.revoked.v1"]
    await before.close()
    assert len(await log.read("tenant/acme", 0, 10)) == TOLD
    old = _as_version_2_had_it(await before.state("acme"))
    await log.save_snapshot("tenant/acme", TOLD, old)
    after = writer(log)
    assert (await after.state("acme")).has_ended(key(1).key_hash)
    assert await told(after, ISSUE) == [CommandRefusedV1.wire_type]
    await after.close()


def _as_version_2_had_it(state: Tenant) -> bytes:
    body: dict[str, Any] = json.loads(TenantDecider().dump_state(state))
    for name in ("ended", "newly_ended", "keys"):
        body[name] = {}
    return json.dumps({"version": 2, "state": body, "inbox": []}).encode()
