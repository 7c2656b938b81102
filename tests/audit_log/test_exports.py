"""Exports of everything recorded, over HTTP, though reading is recorded too."""

import json

import pytest

from contracts.audit import PLATFORM
from contracts.identifiers import TenantId
from contracts.message import Message
from contracts.tenants import SuspendTenantV1, TenantResumedV1
from contracts.ticks import TickJob, TickV1
from services.audit_log import verify
from services.audit_log.page_bounds import PAGE_BYTES
from services.tenant.domain.onboarding import RESERVED
from tests.audit_log.reader import Client, reading
from tests.audit_log.recorder import Recorder

EVENTS = "/api/v1/audit/events"


def said(tenant: str, count: int) -> list[Message]:
    return [
        TenantResumedV1(tenant_id=TenantId(tenant), requested_by=f'user "{number}"')
        for number in range(count)
    ]


@pytest.mark.parametrize("count", [2500, pytest.param(10_000, marks=pytest.mark.soak)])
async def test_everything_is_exported_in_either_order_as_often_as_wanted(
    recorder: Recorder, count: int
) -> None:
    tenant = f"export_{count}"
    everything = said(tenant, count)
    for begin in range(0, count, 500):
        await recorder.record(*everything[begin : begin + 500])
    async with reading(recorder, tenant) as client:
        for order in ("chain", "time", "chain", "time"):
            await _whole(client, order, {message.encode().decode() for message in everything})


async def _whole(client: Client, order: str, bodies: set[str]) -> None:
    lines = await client.export(f"{EVENTS}?order={order}")
    rows = [json.loads(line) for line in lines]
    told = [row["data"] for row in rows if row["event_type"] == "tenant.resumed.v1"]
    assert len(told) == len(bodies)
    assert set(told) == bodies
    assert len(lines) - len(bodies) < 100  # the questions of the exports before, and their answers
    assert max(len(row["data"]) for row in rows) < 1000
    if order == "chain":
        assert verify.verify(lines).rows == len(lines)


@pytest.mark.parametrize("order", ["chain", "time"])
async def test_a_message_too_long_for_one_reply_is_read_whole(
    recorder: Recorder, order: str
) -> None:
    tenant = f"export_{order}"
    long = SuspendTenantV1(
        tenant_id=TenantId(tenant), reason="r" * 1000, requested_by='"é' * (PAGE_BYTES // 4)
    )
    await recorder.record(*said(tenant, 3), long, *said(tenant, 3))
    async with reading(recorder, tenant) as client:
        lines = await client.export(f"{EVENTS}?order={order}&limit=2")
        rows = [json.loads(line) for line in lines]
        assert [row["data"] for row in rows].count(long.encode().decode()) == 1
        assert len({row["event_id"] for row in rows}) == len(rows) == 7
        if order == "chain":
            assert verify.verify(lines).rows == 7
        page = await client.get(f"{EVENTS}?order={order}&limit=5&kind=command")
        assert [event["data"] for event in page["events"]] == [long.encode().decode()]


async def test_an_operator_reads_and_verifies_what_concerns_no_tenant(recorder: Recorder) -> None:
    tenant = "export_nosy"
    await recorder.record(*said(tenant, 1), TickV1(job=TickJob.TRIGGER), *said(tenant, 1))
    async with reading(recorder, tenant) as client:
        path = f"{EVENTS}?tenant_id={PLATFORM}"
        page = await client.get(f"{path}&type=tick.v1", admin=True)
        assert {event["tenant_id"] for event in page["events"]} == {""}
        assert TickJob.TRIGGER in page["events"][-1]["data"]
        lines = await client.export(f"{path}&order=chain", admin=True)
        assert verify.verify(lines).rows == len(lines)
        refused = await client.status(path)
        assert refused == 404
    assert PLATFORM in RESERVED
