"""What the images contain may be shipped, and the page that says so is current."""

import pytest

from deploy import licences


def test_everything_in_the_images_may_be_shipped() -> None:
    assert licences.not_allowed() == []


def test_the_page_is_current() -> None:
    assert licences.PAGE.read_text() == licences.page(), "run `make lock`"


def test_a_licence_that_is_not_allowed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(licences, "licence_of", lambda _: "GPL-3.0-only")
    assert "aiohttp: GPL-3.0-only" in licences.not_allowed()
    assert licences.main(["--check"]) == 1
