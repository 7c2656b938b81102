"""What a tenant reads over HTTP: live streams, pages, exports, the audit chain."""

import asyncio
import json
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest

from services.audit_log import verify
from tests.pipelines import ONE_STEP
from tests.stack import Stack, eventually
from tests.streams import Refused, Told, follow, held, parsed, recorded, told_while_held

TENANT, OTHER = "reader_inc", "curious_inc"
RUNS = "/api/v1/pipelines/runs"
COMPLETE = [
    "run.requested.v1",
    "attempt.started.v1",
    "step.started.v1",
    "step.completed.v1",
    "attempt.finished.v1",
    "run.finished.v1",
]


@pytest.fixture(scope="module")
def tenant(stack: Stack) -> str:
    for name in (TENANT, OTHER):
        stack.onboard(name)
        saved = stack.call("PUT", "/api/v1/pipelines/configs/ones", text=ONE_STEP, tenant=name)
        assert saved.status == 200, saved.body
    return TENANT


def start(stack: Stack, tenant: str) -> str:
    answer = stack.call("POST", "/api/v1/pipelines/run/ones", {}, tenant=tenant)
    assert answer.status == 202, answer.body
    return str(answer.body["run_id"])


def types(told: list[Told]) -> list[str]:
    return [one.type for one in told]


def test_a_stream_tells_a_run_from_its_beginning_to_its_end(stack: Stack, tenant: str) -> None:
    run_id = start(stack, tenant)
    with ThreadPoolExecutor(5) as clients:
        streams = [clients.submit(lambda: list(follow(stack, tenant, run_id))) for _ in range(5)]
        told = [stream.result() for stream in streams]
    assert types(told[0]) == COMPLETE
    assert all(one == told[0] for one in told)
    assert {one.data["run_id"] for one in told[0]} == {run_id}


def test_many_streams_each_tell_all_of_their_run_in_order(stack: Stack, tenant: str) -> None:
    with held(stack.pids()["executor"]) as release:
        run_ids = [start(stack, tenant) for _ in range(4)]
        told = asyncio.run(told_while_held(stack, tenant, run_ids, 100, release))
    wanted = {run_id: recorded(stack, tenant, run_id) for run_id in run_ids}
    assert {len(one) for one in wanted.values()} == {len(COMPLETE)}
    for run_id, one in told:
        assert [(said.type, parsed(said.data["time"])) for said in one] == wanted[run_id]
        assert [said.id for said in one] == list(dict.fromkeys(said.id for said in one))


def test_what_is_read_says_where_it_comes_from(stack: Stack, tenant: str) -> None:
    run_id = start(stack, tenant)
    stack.wait_for_run(tenant, run_id)

    def source(path: str) -> str:
        answer = stack.call("GET", path, tenant=tenant)
        assert answer.status == 200, answer.body
        return answer.headers["X-Source"]

    assert source(f"{RUNS}/{run_id}") == source(f"{RUNS}/{run_id}/steps") == "live"
    assert source(RUNS) == "warehouse"
    stack.kill("gateway")

    def stored() -> None:
        assert source(f"{RUNS}/{run_id}") == "warehouse"

    eventually(stored)


def test_a_stream_goes_on_where_it_was_after_the_gateway_was_killed(
    stack: Stack, tenant: str
) -> None:
    ended, going = start(stack, tenant), start(stack, tenant)
    stack.wait_for_run(tenant, ended)
    seen = list(follow(stack, tenant, ended))
    stack.kill("gateway")

    def rest(run_id: str, after: str) -> list[Told]:
        return list(follow(stack, tenant, run_id, after=after))

    told = eventually(lambda: rest(ended, seen[2].id))
    assert [one.id for one in told] == [one.id for one in seen[3:]]
    assert types(eventually(lambda: rest(going, ""))) == COMPLETE
    assert [one.id for one in rest(ended, seen[-1].id)] == []


def test_a_stream_of_another_tenants_run_is_not_found(stack: Stack, tenant: str) -> None:
    run_id = start(stack, tenant)
    for wanted in (run_id, "00000000-0000-4000-8000-000000000000"):
        with pytest.raises(Refused) as refused:
            list(follow(stack, OTHER, wanted))
        assert (refused.value.status, refused.value.body["code"]) == (404, "run_not_found")
    stack.wait_for_run(tenant, run_id)
    with pytest.raises(Refused, match="Last-Event-ID"):
        list(follow(stack, tenant, run_id, after="yesterday"))


def test_pages_follow_one_another_by_a_cursor_of_this_list_alone(stack: Stack, tenant: str) -> None:
    for _ in range(3):
        stack.wait_for_run(tenant, start(stack, tenant))
    path = f"{RUNS}?status=COMPLETED"

    def paged() -> str:
        """The cursor of the last page, once the pages and the whole list agree."""
        seen, cursor = [], ""
        while True:
            page = stack.call("GET", f"{path}&limit=2{cursor}", tenant=tenant).body
            seen += [run["run_id"] for run in page["runs"]]
            if page["next_cursor"] is None:
                break
            cursor = f"&cursor={page['next_cursor']}"
        whole = stack.call("GET", path, tenant=tenant).body["runs"]
        assert len(whole) >= 3
        assert seen == [run["run_id"] for run in whole]
        return cursor

    cursor = eventually(paged)
    for who, filters in ((OTHER, "status=COMPLETED"), (tenant, "status=FAILED")):
        answer = stack.call("GET", f"{RUNS}?{filters}&limit=2{cursor}", tenant=who)
        assert (answer.status, answer.body["code"]) == (400, "invalid_cursor")


@pytest.mark.parametrize(
    ("query", "pointer"),
    [("limit=0", "/limit"), ("status=DONE", "/status"), ("from=soon", "/from"), ("x=1", "/x")],
)
def test_a_filter_that_cannot_be_is_named(
    stack: Stack, tenant: str, query: str, pointer: str
) -> None:
    answer = stack.call("GET", f"{RUNS}?{query}", tenant=tenant)
    assert answer.status == 400
    assert [fault["pointer"] for fault in answer.body["errors"]] == [pointer]


def export(stack: Stack, tenant: str) -> list[str]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{stack.port}/api/v1/audit/events?order=chain",
        headers={"X-API-Key": stack.keys[tenant], "Accept": "application/x-ndjson"},
    )
    with urllib.request.urlopen(request, timeout=40) as response:  # noqa: S310
        assert response.headers["Content-Type"] == "application/x-ndjson"
        return list(response.read().decode().splitlines())


def test_an_exported_audit_log_is_verified_offline(stack: Stack, tenant: str) -> None:
    stack.wait_for_run(tenant, start(stack, tenant))
    lines = eventually(lambda: _with_the_end(export(stack, tenant)))
    verdict = verify.verify(lines)
    assert verdict.rows == len(lines)
    rows = [json.loads(line) for line in lines]
    assert {row["tenant_id"] for row in rows} == {tenant}
    rows[7]["data"] = rows[7]["data"].replace(tenant, "someone")
    with pytest.raises(verify.BrokenLinkError, match="line 8"):
        verify.verify(json.dumps(row) for row in rows)


def _with_the_end(lines: list[str]) -> list[str]:
    assert "run.finished.v1" in "".join(lines)
    return lines


def test_audit_events_are_the_tenants_own_or_an_operators(stack: Stack, tenant: str) -> None:
    run_id = start(stack, tenant)
    stack.wait_for_run(tenant, run_id)
    path = f"/api/v1/audit/events?run_id={run_id}&type=run.finished.v1"

    def by(who: str, more: str = "") -> list[str]:
        answer = stack.call("GET", path + more, tenant=who)
        assert answer.status == 200, answer.body
        return [event["run_id"] for event in answer.body["events"]]

    def recorded() -> None:
        assert by(tenant) == [run_id]

    eventually(recorded)
    assert by(OTHER) == []
    assert by("", f"&tenant_id={tenant}") == [run_id]
    assert stack.call("GET", path).status == 400
    theft = stack.call("GET", f"{path}&tenant_id={tenant}", tenant=OTHER)
    assert (theft.status, theft.body["code"]) == (404, "tenant_not_found")


def test_a_tenant_sees_its_usage_and_what_its_runs_cost(stack: Stack, tenant: str) -> None:
    run_id = start(stack, tenant)
    stack.wait_for_run(tenant, run_id)

    def recorded() -> None:
        days = stack.call("GET", "/api/v1/tenants/quota/history", tenant=tenant).body["days"]
        assert days
        day = max(days, key=lambda one: str(one["day"]))
        quota = stack.call("GET", "/api/v1/tenants/quota", tenant=tenant).body
        assert day["runs"] == quota["used_today"]
        path = f"/api/v1/pipelines/costs?group_by=step&run_id={run_id}"
        costs = stack.call("GET", path, tenant=tenant).body["costs"]
        assert len(costs) == 1
        cost = costs[0]
        assert (cost["pipeline_id"], cost["step_id"], cost["runs"]) == ("ones", "make", 1)
        assert cost["currency"] == "USD"

    eventually(recorded)
