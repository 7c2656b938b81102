from collections.abc import Iterator

import pytest

from libs.local_cloud.supervisor import Choices, LocalCloud
from tests.deploy.fixtures import use


@pytest.fixture(scope="session")
def cloud() -> Iterator[LocalCloud]:
    with LocalCloud(Choices()) as running:
        yield running


@pytest.fixture
def project(cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch) -> str:
    """A project of its own on the emulators, named by the environment."""
    return use(cloud, monkeypatch)
