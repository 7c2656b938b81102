"""What holds for every test, and one platform for all that need no other."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings

from tests.stack import Stack

# A busy machine is no failure; what has to be quick says so itself.
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")
# For whoever only asks whether something fails, and not what the least of it is.
settings.register_profile(
    "first failure",
    settings.get_profile("suite"),
    phases=[Phase.explicit, Phase.generate],
    database=None,
)


@pytest.fixture(autouse=True)
def _environment_stays() -> Iterator[None]:
    """A variable that a test leaves behind would steer the processes of the tests after it."""
    before = _environment()
    yield
    assert _environment() == before


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}


@pytest.fixture(scope="session")
def landing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder from which the platform may load files."""
    return tmp_path_factory.mktemp("landing")


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory, landing: Path) -> Iterator[Stack]:
    """Shared: each module onboards tenants of its own."""
    settings = {"LANDING_FOLDER": str(landing), "TICK_SECONDS": "1"}
    found = Stack(tmp_path_factory.mktemp("stack"), settings).start()
    yield found
    assert found.stop() == 0
