"""What columns are called: one name for a header, whichever file or load it comes in."""

from typing import Any

import pytest

from services.executor.ingest.errors import RefusedFileError
from services.executor.ingest.names import Names
from services.executor.steps.step import StepError
from tests.ingest.surroundings import Surroundings

RAW = {"target_table": "${tenant_id}.raw", "slice": "2026-11", "files": "bills/*"}
ONE, OTHER = "line/cost,line_cost\n{},unit\n", "line_cost,line/cost\nunit,{}\n"
THERE, HERE = "費用,数量\n{},744\n", "数量,費用\n744,{}\n"


async def load(around: Surroundings, *files: str, **said: Any) -> int:
    for number, content in enumerate(files):
        around.deliver(f"bills/{number}.csv", content.encode())
    return (await around.run("ingest.file", {**RAW, **said})).rows


async def costs(around: Surroundings, column: str) -> list[str]:
    rows = await around.rows(f"SELECT {column} AS c FROM $.raw ORDER BY x_slice, x_file")
    return [row["c"] for row in rows]


@pytest.mark.parametrize(
    ("first", "then", "column"), [(ONE, OTHER, "line_cost_"), (THERE, HERE, "__")]
)
async def test_a_header_has_one_column_in_all_files_and_loads(
    around: Surroundings, first: str, then: str, column: str
) -> None:
    await load(around, first.format(10), then.format(20))
    assert await costs(around, column) == ["10", "20"]
    await load(around, then.format(30), first.format(40), slice="2026-12")
    assert await costs(around, column) == ["10", "20", "30", "40"]


async def test_headers_that_differ_in_case_alone_are_one_column(around: Surroundings) -> None:
    await load(around, "id,Cost\n1,10\n", "id,cost\n2,20\n")
    assert await costs(around, "Cost") == ["10", "20"]
    await load(around, "id,cost\n3,30\n", "ID,COST\n4,40\n", slice="2026-12")
    assert await costs(around, "Cost") == ["10", "20", "30", "40"]


@pytest.mark.parametrize(
    ("first", "then", "column"),
    [
        ("line/cost\n{}\n", OTHER, "line_cost"),
        ("数量\n{}\n", "費用,数量\nunit,{}\n", "__"),
    ],
)
async def test_a_header_that_came_alone_has_its_column_beside_those_that_come_later(
    around: Surroundings, first: str, then: str, column: str
) -> None:
    await load(around, first.format(10))
    await load(around, then.format(20), slice="2026-12")
    assert await costs(around, column) == ["10", "20"]


async def test_the_type_of_a_column_is_declared_by_the_name_that_it_has(
    around: Surroundings,
) -> None:
    await load(around, ONE.format(10), columns={"line_cost": "text", "line_cost_": "int"})
    (row,) = await around.rows("SELECT line_cost, line_cost_ FROM $.raw")
    assert row == {"line_cost": "unit", "line_cost_": 10}
    with pytest.raises(StepError, match=r"column line cost: the contract .* does not know"):
        await load(around, "line/cost,line cost\n1,2\n", contract="freeze")


def test_headers_of_one_name_stand_apart_and_are_known_to_the_loads_that_follow() -> None:
    names = Names(["COST", "team"])
    assert names.of(["cost", "Cost", "team"], "f") == {
        "cost": "COST",
        "Cost": "Cost_",
        "team": "team",
    }
    assert names.remembered == {"cost": "COST", "Cost": "Cost_"}
    again = Names(["COST", "Cost_", "team"], names.remembered)
    assert again.of(["Cost"], "f") == {"Cost": "Cost_"}
    assert again.of(["team", "Cost", "cost"], "g")["cost"] == "COST"


def test_a_table_in_which_the_first_header_has_the_plain_name_stays_so() -> None:
    headers = ["line/cost", "line_cost"]
    assert Names(["line_cost"]).of(headers, "f")["line_cost"] == "line_cost"
    assert Names(["line_cost", "line_cost_"]).of(headers, "f")["line/cost"] == "line_cost"


def test_more_headers_of_one_name_than_it_can_be_lengthened_are_refused() -> None:
    headers = ["".join(chr(ord("ぁ") + int(digit)) for digit in f"{n:03}") for n in range(301)]
    with pytest.raises(RefusedFileError, match="300 columns before it would be called ___ too"):
        Names().of(headers, "f")


def test_long_headers_stand_apart_within_the_length_that_a_name_may_have() -> None:
    headers = [f"{'a' * 300}{end}" for end in "xyz"]
    found = Names().of(headers, "f")
    assert [name.rstrip("_") for name in found.values()] == ["a" * 300, "a" * 299, "a" * 298]
    assert {len(name) for name in found.values()} == {300}


def test_headers_that_were_one_column_are_refused_where_both_are() -> None:
    names = Names()
    names.of(["Cost"], "a.csv")
    names.of(["cost"], "b.csv")
    with pytest.raises(RefusedFileError, match=r"c.csv, column cost: it and Cost were one column"):
        names.of(["Cost", "cost"], "c.csv")
