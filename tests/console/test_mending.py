"""What a tenant does about runs that wait or failed, and how it finds what happened."""

import re
from urllib.parse import urlencode

import pytest
from playwright.sync_api import expect

from tests.console.browser import Tab
from tests.console.test_ways import LONG
from tests.pipelines import ONE_STEP
from tests.stack import Stack, eventually

TENANT = "mending_inc"
NEEDY = """
pipeline_id: needy
steps:
  - id: first
    ps_type: bq_etl.query
    config: {source_query: "SELECT 1 AS one", target_table: "${tenant_id}.first"}
  - id: second
    ps_type: bq_etl.query
    needs: [first]
    config: {source_query: "SELECT one FROM ${tenant_id}.ones", target_table: "${tenant_id}.second"}
"""


@pytest.fixture(scope="module")
def key(stack: Stack) -> str:
    stack.onboard(TENANT)
    return stack.keys[TENANT]


def saved(stack: Stack, name: str, text: str) -> str:
    path = f"/api/v1/pipelines/configs/{name}"
    answer = stack.call("PUT", path, text=text, tenant=TENANT, headers={"If-Match": "*"})
    assert answer.status == 200, answer.body
    return name


def started(stack: Stack, name: str) -> str:
    answer = stack.call("POST", f"/api/v1/pipelines/run/{name}", {}, tenant=TENANT)
    assert answer.status == 202, answer.body
    return str(answer.body["run_id"])


def test_a_failed_run_is_retried_from_where_it_failed(tab: Tab, stack: Stack, key: str) -> None:
    tab.sign_in(key)
    tab.go(f"pipelines/{saved(stack, 'needy', NEEDY)}")
    tab.page.get_by_role("button", name="Save and run").click()
    expect(tab.page.locator("p.big")).to_contain_text("FAILED")
    failed = tab.page.url
    saved(stack, "ones", ONE_STEP)
    stack.wait_for_run(TENANT, started(stack, "ones"))
    tab.page.get_by_role("button", name="Run again").click()
    tab.page.wait_for_url(lambda url: url != failed)
    expect(tab.page.locator("p.big")).to_contain_text("COMPLETED")
    tab.check()


def test_a_run_that_waits_says_why(tab: Tab, stack: Stack, key: str) -> None:
    one_at_once = {"limits": {"concurrent": 1}}
    changed = stack.call("PATCH", f"/api/v1/admin/tenants/{TENANT}", one_at_once)
    assert changed.status in {200, 202}, changed.body

    def scheduler_knows() -> None:
        quota = stack.call("GET", "/api/v1/tenants/quota", tenant=TENANT).body
        assert quota["limits"]["concurrent"] == 1

    eventually(scheduler_knows)
    runs = [started(stack, saved(stack, "long", LONG)) for _ in range(2)]
    tab.sign_in(key)
    tab.go(f"runs/{runs[1]}")
    expect(tab.page.locator("p.big")).to_contain_text("QUEUED")
    tab.page.get_by_role("button", name="Why does it wait?").click()
    reasons = tab.page.locator("section", has_text="Why it waits")
    expect(reasons).to_contain_text("concurrent")
    expect(reasons).to_contain_text("1 of 1")
    tab.check()
    for run in reversed(runs):
        stack.call("DELETE", f"/api/v1/pipelines/runs/{run}", tenant=TENANT)
    for run in runs:
        assert stack.wait_for_run(TENANT, run)["status"] == "CANCELLED"
    expect(reasons).to_have_count(0)


def test_the_record_is_searched_by_type_kind_run_and_time(tab: Tab, stack: Stack, key: str) -> None:
    run = started(stack, saved(stack, "searched", ONE_STEP))
    stack.wait_for_run(TENANT, run)

    def recorded() -> None:
        query = urlencode({"run_id": run, "type": "run.finished.v1"})
        found = stack.call("GET", f"/api/v1/audit/events?{query}", tenant=TENANT)
        assert len(found.body["events"]) == 1

    eventually(recorded)
    tab.sign_in(key)
    tab.page.get_by_role("link", name="Audit").click()
    page, table = tab.page, tab.page.locator("main tbody tr")
    look = page.get_by_role("button", name="Look")
    page.get_by_label("Run", exact=False).fill(run)
    page.get_by_label("Kind").select_option("command")
    look.click()
    expect(table).to_have_count(1)
    expect(table).to_contain_text("run.submit.v1")
    page.get_by_label("Kind").select_option("event")
    page.get_by_label("Type").fill("run.finished.v1")
    look.click()
    expect(table).to_contain_text("run.finished.v1")
    table.get_by_text("Data").click()
    expect(table).to_contain_text(re.compile(f'"run_id": "{run}"'))
    tab.check()
    page.get_by_label("From").fill("2099-01-01T00:00")
    look.click()
    expect(page.locator("main")).to_contain_text("Nothing yet.")
    tab.check()
