"""A tenant's further ways through the console: templates, cancelling, keys, credentials, cost."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.console.browser import Tab
from tests.focus.ledger import load_ledger
from tests.stack import ADMIN_KEY, Stack

TENANT = "ways_inc"
LONG = """
pipeline_id: long
steps:
  - id: counts
    ps_type: bq_etl.query
    config:
      source_query: >-
        SELECT COUNT(*) AS n FROM UNNEST(GENERATE_ARRAY(1, 200000)) AS a,
        UNNEST(GENERATE_ARRAY(1, 200000)) AS b WHERE MOD(a * b, 7) = 3
      target_table: ${tenant_id}.counts
"""


READS_AWS = """
pipeline_id: reads_aws
steps:
  - id: focus
    ps_type: cost.focus
    config:
      mapping: aws_cur
      source_table: ${tenant_id}.raw_aws_cur
      slice: current
"""


@pytest.fixture(scope="module")
def key(stack: Stack, landing: Path) -> str:
    stack.onboard(TENANT)
    ledger = load_ledger("aws_cur")
    path = landing / TENANT / "aws/cur/2026-11/cur-00001.csv"
    path.parent.mkdir(parents=True)
    ledger.frame(list(ledger.lines)).write_csv(path)
    return stack.keys[TENANT]


def test_a_template_is_run_to_its_end_and_its_cost_is_drawn(tab: Tab, key: str) -> None:
    tab.sign_in(key)
    tab.page.get_by_role("link", name="Templates").click()
    card = tab.page.locator("section", has_text="AWS Cost and Usage Report").first
    card.get_by_role("button", name="Run").click()
    tab.check()
    dialog = tab.page.get_by_role("dialog")
    dialog.locator("input[name=period]").fill("2026-11")
    dialog.get_by_role("button", name="Run").click()
    expect(tab.page.locator("p.big")).to_contain_text("COMPLETED")
    expect(tab.page.get_by_role("region", name="Table").first).to_contain_text("focus")
    tab.check()
    tab.page.clock.set_fixed_time(datetime(2026, 11, 21, 12, tzinfo=UTC))
    tab.go("overview")
    cost = tab.page.locator("section", has_text="Cost by service")
    expect(cost).to_contain_text("Example Scanner")
    expect(cost.get_by_role("img").first).to_be_visible()
    tab.check()


def test_a_day_without_cost_is_filled_from_the_map_of_sources(
    tab: Tab, stack: Stack, key: str
) -> None:
    other = LONG.replace("long", "a_first_one").replace("200000", "20")
    for name, text in (("a_first_one", other), ("reads_aws", READS_AWS)):
        path = f"/api/v1/pipelines/configs/{name}"
        saved = stack.call("POST", path, text=text, tenant=TENANT)
        assert saved.status == 201, saved.body
    tab.page.clock.set_fixed_time(datetime(2026, 11, 14, 12, tzinfo=UTC))
    tab.sign_in(key)
    sources = tab.page.get_by_role("region", name="Cost by source")
    has_cost = sources.get_by_role("img", name=re.compile("2026-11-03: .*[0-9]"))
    expect(has_cost.first).to_be_visible()
    tab.check()
    sources.get_by_role("button", name="2026-11-12: nothing").first.click()
    dialog = tab.page.get_by_role("dialog")
    expect(dialog.get_by_label("Pipeline")).to_have_value("reads_aws")
    tab.check()
    dialog.get_by_role("button", name="Run").click()
    expect(dialog).to_have_count(0)
    made_of = "/api/v1/pipelines/configs/reads_aws/backfills"
    (made,) = stack.call("GET", made_of, tenant=TENANT).body["backfills"]
    assert (made["from_date"], made["to_date"]) == ("2026-11-12", "2026-11-12")


def test_a_run_that_goes_on_is_cancelled(tab: Tab, stack: Stack, key: str) -> None:
    saved = stack.call("POST", "/api/v1/pipelines/configs/long", text=LONG, tenant=TENANT)
    assert saved.status == 201, saved.body
    tab.sign_in(key)
    tab.go("pipelines/long")
    tab.page.get_by_role("button", name="Save and run").click()
    expect(tab.page.locator("p.big")).to_contain_text("RUNNING")
    tab.page.get_by_role("button", name="Cancel").click()
    expect(tab.page.locator("p.big")).to_contain_text("CANCELLED")
    expect(tab.page.get_by_role("button", name="Run again")).to_be_visible()
    tab.check()


def test_a_key_is_made_rotated_and_revoked(tab: Tab, stack: Stack, key: str) -> None:
    tab.sign_in(key)
    tab.page.get_by_role("link", name="Keys").click()
    tab.page.get_by_role("button", name="New key").click()
    tab.page.get_by_label("What for").fill("nightly")
    tab.page.get_by_role("button", name="Make it").click()
    first = tab.page.locator("[data-key]").inner_text()
    tab.page.get_by_role("button", name="Done").click()
    row = tab.page.get_by_role("row", name=f"…{first[-4:]}")
    row.get_by_role("button", name="Rotate").click()
    tab.page.get_by_role("dialog").get_by_role("button", name="Rotate").click()
    second = tab.page.locator("[data-key]").inner_text()
    tab.check()
    assert second != first
    for one in (first, second):
        assert stack.call("GET", "/api/v1/tenants/me", headers={"X-API-Key": one}).status == 200
    tab.page.get_by_role("button", name="Done").click()
    row.get_by_role("button", name="Revoke").click()
    tab.page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    expect(row).to_contain_text(re.compile("CANCELLED|REVOKED"))
    tab.check()


def test_a_credential_is_stored_tried_and_destroyed(tab: Tab, key: str) -> None:
    tab.sign_in(key)
    tab.page.get_by_role("link", name="Credentials").click()
    tab.page.get_by_role("button", name="Store a credential").click()
    tab.page.get_by_label("Provider").select_option("GENERIC")
    tab.page.get_by_label("Secret").fill('{"password": "a-secret-of-tests"}')
    tab.page.get_by_role("button", name="Store", exact=True).click()
    row = tab.page.get_by_role("row", name="generic")
    expect(row).to_be_visible()
    assert "a-secret-of-tests" not in tab.page.content()
    row.get_by_role("button", name="Test").click()
    expect(tab.page.get_by_role("status")).not_to_be_empty()
    row.get_by_role("button", name="Delete").click()
    tab.page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(row).to_have_count(0)
    tab.check()


def test_days_are_filled_from_a_pipelines_page(tab: Tab, stack: Stack, key: str) -> None:
    text = LONG.replace("long", "short").replace("200000", "20")
    saved = stack.call("POST", "/api/v1/pipelines/configs/short", text=text, tenant=TENANT)
    assert saved.status == 201, saved.body
    tab.sign_in(key)
    tab.go("pipelines/short")
    tab.page.get_by_role("button", name="Fill days").click()
    dialog = tab.page.get_by_role("dialog")
    dialog.get_by_label("From").fill("2026-02-01")
    dialog.get_by_label("To").fill("2026-02-03")
    dialog.get_by_role("button", name="Run").click()
    expect(dialog).to_have_count(0)
    tab.page.reload()
    row = tab.page.get_by_role("row", name="2026-02-01")
    expect(row).to_contain_text("2026-02-03")
    tab.check()


def test_an_operators_pages_stand(tab: Tab, look: str, key: str) -> None:
    tab.sign_in(ADMIN_KEY)
    for page in ("Scheduler", "Dead letters", "Audit", "Tenants"):
        tab.page.get_by_role("link", name=page, exact=True).click()
        tab.page.locator("main .card").first.wait_for()
        wide = tab.page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert wide <= 0, f"{page} scrolls sideways on {look}"
        tab.check()
