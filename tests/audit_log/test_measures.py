"""What recording says of itself."""

import asyncio
from datetime import timedelta

import pytest
from aiohttp.test_utils import make_mocked_request

from contracts.identifiers import TenantId
from contracts.tenants import TenantResumedV1
from libs.bus.router import Delivery
from libs.bus.sink import BatchBounds, Sink
from services.audit_log.measures import Measures
from tests.audit_log.recorder import START, Recorder, delivery

SAID = TenantResumedV1(tenant_id=TenantId("measured"), requested_by="ann")


def test_the_oldest_unwritten_message_grows_old_until_it_is_written() -> None:
    now = START
    measures = Measures(lambda: now)
    batch = [delivery(SAID, at=START - timedelta(seconds=5)), delivery(SAID)]
    with measures.batch(batch):
        now += timedelta(seconds=2)
        assert measures.oldest_unwritten_seconds == 7
    assert (measures.oldest_unwritten_seconds, measures.lag_seconds) == (0, 7)
    assert (measures.rows, measures.batches, measures.last_batch_rows) == (2, 1, 2)


async def test_what_waits_for_a_batch_is_not_written_either() -> None:
    going_on, began = asyncio.Event(), asyncio.Event()

    async def record(_: object) -> None:
        began.set()
        await going_on.wait()

    sink = Sink[Delivery](record, BatchBounds(max_messages=1), lambda _: 1)
    measures = Measures(lambda: START, lambda: sink.waiting)
    done = [sink.put(delivery(SAID))]
    await began.wait()
    assert measures.oldest_unwritten_seconds == 0
    done.append(sink.put(delivery(SAID, at=START - timedelta(seconds=5))))
    assert measures.oldest_unwritten_seconds == 5
    going_on.set()
    await asyncio.gather(*done)
    assert measures.oldest_unwritten_seconds == 0


def test_a_batch_that_fails_is_not_counted_as_written() -> None:
    measures = Measures(lambda: START)
    with pytest.raises(asyncio.CancelledError), measures.batch([delivery(SAID)]):
        raise asyncio.CancelledError
    assert (measures.rows, measures.oldest_unwritten_seconds) == (0, 0)


async def test_every_row_is_counted_also_beyond_a_million() -> None:
    measures = Measures(lambda: START, rows=1_234_567)
    page = await measures.page(make_mocked_request("GET", "/metrics"))
    assert page.text is not None
    assert "convergence_audit_log_rows_total 1234567" in page.text.splitlines()


async def test_recording_is_measured_and_told_in_prometheus_text(recorder: Recorder) -> None:
    await recorder.record(SAID, SAID, SAID)
    page = await recorder.handlers.measures.page(make_mocked_request("GET", "/metrics"))
    assert page.text is not None
    lines = page.text.splitlines()
    assert "convergence_audit_log_rows_total 3" in lines
    assert "# TYPE convergence_audit_log_oldest_unwritten_seconds gauge" in lines
