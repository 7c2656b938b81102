"""What the images contain may be shipped, and the page that says so is current."""

from pathlib import Path

import pytest

from deploy import licences


def test_everything_in_the_images_may_be_shipped() -> None:
    assert licences.not_allowed() == []


def test_the_page_names_each_package_with_its_licence_and_where_it_is() -> None:
    found = licences.page()
    assert "| aiohttp | Apache-2.0 AND MIT | all |" in found
    assert "| pyarrow | Apache-2.0 | executor, audit_log |" in found


def test_a_page_that_is_not_current_is_an_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(licences, "PAGE", tmp_path / "licences.md")
    assert licences.main([]) == 0
    assert licences.main(["--check"]) == 0
    licences.PAGE.write_text("of long ago")
    assert licences.main(["--check"]) == 1


def test_a_licence_that_is_not_allowed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(licences, "licence_of", lambda _: "GPL-3.0-only")
    assert "aiohttp: GPL-3.0-only" in licences.not_allowed()
    assert licences.main(["--check"]) == 1
