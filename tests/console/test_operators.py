"""What operators look for in the console: messages that were given up, and what was recorded."""

from playwright.sync_api import expect

from tests.console.browser import Tab
from tests.poison import poison
from tests.stack import ADMIN_KEY, Stack, eventually

TENANT = "operated_inc"
LETTERS = "/api/v1/admin/dead-letters"


def test_what_was_given_up_is_seen_with_its_reason(tab: Tab, stack: Stack) -> None:
    id_ = poison(stack, TENANT)

    def recorded() -> None:
        letters = stack.call("GET", LETTERS).body["letters"]
        assert {one["service"] for one in letters if one["message_id"] == id_} == {
            "audit-log",
            "scheduler",
        }

    eventually(recorded)
    tab.sign_in(ADMIN_KEY)
    tab.page.get_by_role("link", name="Dead letters").click()
    rows = tab.page.get_by_role("row", name=TENANT)
    expect(rows.filter(has_text="audit-log")).not_to_have_count(0)
    tab.page.get_by_label("Service").select_option("scheduler")
    tab.page.get_by_label("Type").fill("run.cancel.v1")
    tab.page.get_by_role("button", name="Look").click()
    expect(rows.filter(has_text="audit-log")).to_have_count(0)
    rows.first.locator("summary").click()
    expect(rows.first).to_contain_text("run_id: missing")
    expect(rows.first).to_contain_text(id_)
    tab.check()
    tab.page.get_by_label("Type").fill("run.never.v1")
    tab.page.get_by_role("button", name="Look").click()
    expect(tab.page.locator("main")).to_contain_text("Nothing was given up.")
    tab.check()
