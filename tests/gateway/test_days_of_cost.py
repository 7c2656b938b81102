"""Days of cost at the ends of the calendar."""

import aiohttp
import pytest

from tests.api.threads import ExampleRequester
from tests.gateway.edges import KEY, edge_on, serving


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("?to=0001-01-01", 200),
        ("?from=0001-01-01", 200),
        ("?from=0001-01-01&to=9999-12-31", 200),
        ("/diff?period=9999-12", 200),
        ("/diff?period=0000-12", 400),
        ("/diff?period=٢٠٢٦-01", 400),
    ],
)
async def test_every_day_there_is_can_be_asked_for(asked: str, expected: int) -> None:
    async with serving(edge_on(requester=ExampleRequester())) as url, aiohttp.ClientSession() as s:
        path = f"{url}/api/v1/cost{asked}"
        async with s.get(path, headers={"X-API-Key": KEY.text}) as answer:
            assert answer.status == expected, await answer.text()
