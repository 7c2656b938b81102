from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.ingest.surroundings import Surroundings, surroundings


@pytest.fixture
async def around(tmp_path: Path) -> AsyncIterator[Surroundings]:
    found = await surroundings(tmp_path / "landing")
    yield found
    await found.close()
