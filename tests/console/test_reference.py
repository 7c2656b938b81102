"""The reference and the error codes, as people read them."""

import json

import pytest
from playwright.sync_api import expect

from services.gateway.errors import CODES
from services.gateway.openapi import PATH
from tests.console.browser import Tab


@pytest.mark.parametrize("at", ["/docs", "/redoc"])
def test_every_operation_is_told_and_found(tab: Tab, at: str) -> None:
    paths = json.loads(PATH.read_text())["paths"]
    count = sum(len(methods) for path, methods in paths.items() if not path.startswith("/admin/"))
    tab.page.goto(f"{tab.url}{at}")
    operations = tab.page.locator("details:not([id^=schema-])")
    expect(operations).to_have_count(count)
    tab.page.get_by_label("Find").fill("rotate api-keys")
    expect(operations.filter(visible=True)).to_have_count(2)
    operations.filter(visible=True).first.locator("summary").click()
    expect(tab.page.get_by_text("overlap_seconds").first).to_be_visible()
    tab.page.get_by_role("link", name="key_not_found").first.click()
    expect(tab.page.locator("#key_not_found")).to_be_in_viewport()
    tab.check()


def test_a_problem_leads_to_its_explanation(tab: Tab) -> None:
    tab.expected = ("404",)
    tab.page.goto(f"{tab.url}/nothing/here")
    type_ = json.loads(tab.page.locator("body").inner_text())["type"]
    tab.page.goto(f"{tab.url}{type_}")
    expect(tab.page.locator("#not_found")).to_be_in_viewport()
    expect(tab.page.locator("dt")).to_have_count(len(CODES))
    tab.check()


def test_the_reference_stands_on_a_phone(tab: Tab, look: str) -> None:
    tab.page.goto(f"{tab.url}/docs#key_create_own")
    expect(tab.page.locator("#key_create_own")).to_have_attribute("open", "")
    wide = tab.page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert wide <= 0, f"it scrolls sideways on {look}"
    tab.check()
