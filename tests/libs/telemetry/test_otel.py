"""What leaves for a collector: spans that hang together, durations, and no secrets."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Iterator
from functools import partial
from io import StringIO
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from contracts.catalogue import topic_of
from contracts.identifiers import RunId, TenantId
from contracts.message import Message, Service
from contracts.runs import CancelRunV1, RunCancelRequestedV1
from contracts.topology import SubscriptionSpec
from libs.bus.errors import PermanentError
from libs.bus.memory import MemoryTransport
from libs.bus.message import Context
from libs.bus.router import Router
from libs.bus.service import Bus, BusOptions
from libs.telemetry import logs, otel, trace
from libs.telemetry.exporting import Exporting
from libs.web.app import About, create_app

TENANT = TenantId("acme")
RUN = RunId("00000000-0000-4000-8000-000000000001")
CANARY = "s3cr3t-canary"


class Collected:
    """Everything that was exported, once exporting has ended."""

    def __init__(self) -> None:
        self._spans, self._metrics = InMemorySpanExporter(), InMemoryMetricReader()
        self._durations: list[Any] = []
        otel.start(Exporting("test", self._spans, self._metrics))

    def spans(self) -> dict[str, ReadableSpan]:
        found = self._metrics.get_metrics_data()
        if found is not None:
            scope = found.resource_metrics[0].scope_metrics[0]
            self._durations = list(scope.metrics[0].data.data_points)
        otel.shutdown()
        return {span.name: span for span in self._spans.get_finished_spans()}

    def durations(self) -> dict[str, int]:
        return {str(point.attributes["name"]): point.count for point in self._durations}


@pytest.fixture
def collected() -> Iterator[Collected]:
    yield Collected()
    otel.shutdown()


class Platform:
    """A gateway that publishes a command for each request, and a scheduler that handles it."""

    def __init__(self) -> None:
        specs = [
            SubscriptionSpec(
                "commands",
                topic_of(Service.GATEWAY),
                dead_letter_topic="dead",
                expires_after_seconds=60,
            ),
            SubscriptionSpec("events", topic_of(Service.SCHEDULER), expires_after_seconds=60),
        ]
        self.transport = MemoryTransport()
        router = Router()
        router.on(CancelRunV1)(self.on_cancel)
        self.scheduler = Bus(Service.SCHEDULER, router, self.transport, BusOptions("s", specs[:1]))
        self.gateway = Bus(Service.GATEWAY, Router(), self.transport, BusOptions("g", specs[1:]))
        self.error: Exception | None = None

    async def on_cancel(self, command: CancelRunV1, _: Context) -> list[Message]:
        if self.error is not None:
            raise self.error
        return [
            RunCancelRequestedV1(
                tenant_id=TENANT, run_id=command.run_id, attempt=1, requested_by="test"
            )
        ]

    async def cancel(self, _: web.Request) -> web.Response:
        command = CancelRunV1(tenant_id=TENANT, run_id=RUN, requested_by="test")
        await self.gateway.requester.ask(command, RunCancelRequestedV1, within=60)
        return web.Response()


@pytest.fixture
async def platform() -> AsyncIterator[Platform]:
    found = Platform()
    await asyncio.gather(found.scheduler.start(), found.gateway.start())
    yield found
    await asyncio.gather(found.scheduler.drain(1), found.gateway.drain(1))


async def request(platform: Platform, **headers: str) -> None:
    async def never() -> list[str]:
        return []

    routes = [web.delete("/runs/{run_id}", platform.cancel)]
    app = create_app(About("gateway", "1", "test"), never, routes)
    async with TestClient(TestServer(app)) as client:
        answer = await client.delete(f"/runs/{RUN}", headers=headers)
        assert answer.status == 200


def parent_of(span: ReadableSpan) -> int | None:
    return span.parent.span_id if span.parent else None


async def test_a_request_and_what_it_leads_to_are_one_tree(
    platform: Platform, collected: Collected
) -> None:
    await request(platform)
    spans = await asyncio.to_thread(collected.spans)
    asked = spans["DELETE /runs/{run_id}"]
    handled = spans["handle run.cancel.v1"]
    heard = spans["handle run.cancel_requested.v1"]
    assert parent_of(asked) is None
    assert parent_of(handled) == asked.context.span_id
    assert parent_of(heard) == handled.context.span_id
    assert len({span.context.trace_id for span in spans.values()}) == 1
    assert asked.resource.attributes["service.name"] == "convergence-test"
    assert collected.durations()["handle run.cancel.v1"] == 1


async def test_the_trace_of_a_caller_is_continued(platform: Platform, collected: Collected) -> None:
    caller = trace.new_trace()
    await request(platform, traceparent=str(caller))
    asked = (await asyncio.to_thread(collected.spans))["DELETE /runs/{run_id}"]
    assert asked.context.trace_id == int(caller.trace_id, 16)
    assert parent_of(asked) == int(caller.span_id, 16)


async def test_the_line_of_a_request_says_its_trace(
    platform: Platform, collected: Collected, monkeypatch: pytest.MonkeyPatch
) -> None:
    del collected
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    stream = StringIO()
    logs.configure("gateway", "INFO", stream)
    caller = trace.new_trace()
    await request(platform, traceparent=str(caller))
    logging.getLogger().handlers[0].flush()
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [one["trace_id"] for one in lines if "status_code" in one] == [caller.trace_id]


async def test_what_a_caller_does_not_sample_is_not_exported(
    platform: Platform, collected: Collected
) -> None:
    await request(platform, traceparent=f"{str(trace.new_trace())[:-2]}00")
    assert await asyncio.to_thread(collected.spans) == {}


async def test_an_error_is_exported_by_its_class_alone(
    platform: Platform, collected: Collected, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    platform.error = PermanentError(CANARY)
    command = CancelRunV1(tenant_id=TENANT, run_id=RUN, requested_by="test")
    await platform.gateway.publisher.send(command)
    async with asyncio.timeout(60):
        while len(platform.transport.published) < 2:  # noqa: ASYNC110  it has no event
            await asyncio.sleep(0)
    handled = (await asyncio.to_thread(collected.spans))["handle run.cancel.v1"]
    assert (handled.status.is_ok, handled.status.description) == (False, "PermanentError")
    assert CANARY not in handled.to_json()


def test_off_it_costs_nothing_not_even_a_name() -> None:
    def fail() -> str:
        raise AssertionError

    otel.configure("test", "")
    span = trace.new_trace()
    with otel.entered(fail, span):
        assert trace.outgoing() == str(span)
    assert trace.outgoing() == ""
    otel.shutdown()


def test_a_share_of_traces_is_exported_whole_and_the_durations_of_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.5")
    collected = Collected()
    for digit in ("1", "e"):  # what a trace's id ends with decides
        first = trace.Trace(digit * 32, digit * 16)
        for name, span in (("asked", first), ("handled", first.child())):
            with otel.entered(partial(str.format, "{}-{}", name, digit), span):
                pass
    assert sorted(collected.spans()) == ["asked-1", "handled-1"]
    assert collected.durations() == dict.fromkeys(
        ["asked-1", "handled-1", "asked-e", "handled-e"], 1
    )


async def test_a_collector_gets_all_of_it_over_http() -> None:
    spans, metrics = ExportTraceServiceRequest(), ExportMetricsServiceRequest()

    async def take(request: web.Request) -> web.Response:
        body = await request.read()
        {"/v1/traces": spans, "/v1/metrics": metrics}[request.path].MergeFromString(body)
        return web.Response()

    collector = web.Application()
    collector.router.add_post("/v1/{what}", take)
    async with TestServer(collector) as server:
        otel.configure("scheduler", str(server.make_url("")).rstrip("/"))
        with otel.entered(lambda: "work", trace.new_trace()):
            pass
        await asyncio.to_thread(otel.shutdown)
    (exported,) = spans.resource_spans
    assert [span.name for span in exported.scope_spans[0].spans] == ["work"]
    names = {a.key: a.value.string_value for a in exported.resource.attributes}
    assert names["service.name"] == "convergence-scheduler"
    (measured,) = metrics.resource_metrics
    assert [m.name for m in measured.scope_metrics[0].metrics] == ["convergence.duration"]
