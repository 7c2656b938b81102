import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.console.browser import Tab, chromium
from tests.stack import Stack


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture(params=["light", "dark", "phone"])
def look(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def tab(request: pytest.FixtureRequest, browser: Browser, stack: Stack) -> Iterator[Tab]:
    look = request.getfixturevalue("look") if "look" in request.fixturenames else "light"
    width = 390 if look == "phone" else 1280
    context = browser.new_context(
        color_scheme="dark" if look == "dark" else "light",
        viewport={"width": width, "height": 900},
    )
    found = Tab(context.new_page(), f"http://127.0.0.1:{stack.port}").listen()
    yield found
    pictures = os.environ.get("SCREENSHOTS")
    if pictures:
        Path(pictures).mkdir(parents=True, exist_ok=True)
        name = request.node.name.removeprefix("test_").replace("/", "_")
        found.page.screenshot(path=f"{pictures}/{name}.png", full_page=True)
    context.close()
