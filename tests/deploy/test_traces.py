"""One request's trace goes through all five services and is one tree."""

from collections.abc import Iterator
from pathlib import Path
from secrets import token_hex

import pytest

from tests.deploy.collector import Collector, Span, collector
from tests.pipelines import ONE_STEP
from tests.stack import Stack, eventually

SERVICES = {f"convergence-{n}" for n in ("gateway", "tenant", "scheduler", "executor", "audit-log")}


@pytest.fixture
def collected() -> Iterator[Collector]:
    with collector() as found:
        yield found


@pytest.fixture
def stack(collected: Collector, tmp_path: Path) -> Iterator[Stack]:
    settings = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collected.url,
        "OTEL_BSP_SCHEDULE_DELAY": "200",
    }
    found = Stack(tmp_path, settings).start()
    yield found
    assert found.stop() == 0


def test_a_run_can_be_followed_through_all_five(stack: Stack, collected: Collector) -> None:
    stack.onboard("acme")
    saved = stack.call("PUT", "/api/v1/pipelines/configs/ones", text=ONE_STEP, tenant="acme")
    assert saved.status == 200, saved.body
    issued = stack.call("POST", "/api/v1/admin/api-keys", {"tenant_id": "acme"})
    stack.keys["acme"] = issued.body["api_key"]  # never seen yet: the tenant service is asked
    trace_id, span_id = token_hex(16), token_hex(8)
    headers = {"traceparent": f"00-{trace_id}-{span_id}-01"}
    path = "/api/v1/pipelines/run/ones"
    begun = stack.call("POST", path, {}, tenant="acme", headers=headers)
    assert begun.status == 202, begun.body
    run = stack.wait_for_run("acme", begun.body["run_id"])
    assert run["status"] == "COMPLETED"

    def is_one_tree_through_all() -> list[Span]:
        spans = collected.of(trace_id)
        assert {span.service for span in spans} == SERVICES
        known = {span.span_id for span in spans} | {span_id}
        assert [span for span in spans if span.parent_id not in known] == []
        assert "handle run.finished.v1" in {span.name for span in spans}
        return spans

    spans = eventually(is_one_tree_through_all)
    (root,) = [span for span in spans if span.parent_id == span_id]
    assert root.service == "convergence-gateway"
    assert root.name == "POST /api/v1/pipelines/run/{config_id}"
    assert len({span.span_id for span in spans}) == len(spans)
