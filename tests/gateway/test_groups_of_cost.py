"""By what costs are grouped: said in one place, refused with what there is."""

import aiohttp
import pytest

from contracts.costs import Dimension
from services.executor.costs import COLUMNS
from tests.api.threads import ExampleRequester
from tests.gateway.edges import KEY, edge_on, serving

GROUPS = [*(name.value for name in Dimension), "tag:team", "tag:a b"]
NONE = ["colour", "Service", "tag:", 'tag:a"b', f"tag:{'x' * 129}", " day", "day\n", ""]


async def asked(*names: str) -> tuple[int, str]:
    async with serving(edge_on(requester=ExampleRequester())) as url, aiohttp.ClientSession() as s:
        query = {"group_by": ",".join(names)}
        path = f"{url}/api/v1/cost"
        async with s.get(path, params=query, headers={"X-API-Key": KEY.text}) as answer:
            said = await answer.json()
            return answer.status, said.get("detail", "")


@pytest.mark.parametrize("name", GROUPS)
async def test_costs_are_grouped_by_what_the_contract_names(name: str) -> None:
    assert (await asked(name))[0] == 200


@pytest.mark.parametrize("name", NONE)
async def test_what_is_nothing_to_group_by_is_refused_with_what_there_is(name: str) -> None:
    status, detail = await asked("service", name)
    assert status == 400
    named = detail.partition(" is none of ")[2].split(", ")
    assert named == [*(one.value for one in Dimension), "tag:NAME"]


def test_each_of_them_is_a_column_of_the_table() -> None:
    assert list(COLUMNS) == list(Dimension)
