"""The console as people use it: a headless Chromium of this system, or a skip that says why."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
SERIOUS = {"serious", "critical"}
PATIENCE = 60_000
"""Milliseconds that nobody waits unless something is wrong, also on a busy machine."""
expect.set_options(timeout=PATIENCE)


@contextmanager
def chromium() -> Iterator[Browser]:
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip(f"no browser: install one of {', '.join(NAMES)}")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


@dataclass(slots=True)
class Tab:
    """A page of the browser, and what went wrong in it."""

    page: Page
    url: str
    expected: tuple[str, ...] = ()
    """Parts of console errors that a test provokes, such as a refused request."""
    errors: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)

    def listen(self) -> "Tab":
        self.page.set_default_timeout(PATIENCE)
        self.page.on("console", lambda said: self._heard(said.type, said.text))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda request: self.hosts.add(request.url.split("/api/")[0]))
        return self

    def _heard(self, kind: str, text: str) -> None:
        if kind == "error" and not any(part in text for part in self.expected):
            self.errors.append(text)

    def sign_in(self, key: str) -> None:
        self.page.goto(f"{self.url}/console")
        self.page.get_by_label("API key").fill(key)
        self.page.get_by_role("button", name="Sign in").click()
        self.page.get_by_role("button", name="Sign out").wait_for()

    def go(self, at: str) -> None:
        self.page.evaluate("at => { location.hash = at }", f"#/{at}")

    def check(self) -> None:
        """No error in the console, no request to another host, no serious fault for axe."""
        assert self.errors == []
        assert all(host.startswith(self.url) for host in self.hosts), self.hosts
        found = Axe().run(self.page).response["violations"]
        serious = [
            (one["id"], [node["html"] for node in one["nodes"]])
            for one in found
            if one["impact"] in SERIOUS
        ]
        assert serious == []
