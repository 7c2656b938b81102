"""What tenant SQL may and may not do."""

import pytest

from services.executor.steps.guard import check_select
from services.executor.steps.step import StepError
from tests.executor.sql_corpus import ATTACKS, ORDINARY

MINE = ("acme", "acme_raw")


@pytest.mark.parametrize("sql", ORDINARY)
def test_an_ordinary_query_passes(sql: str) -> None:
    check_select(sql, "p", MINE)


@pytest.mark.parametrize("sql", ATTACKS, ids=lambda sql: sql[:60])
def test_an_attack_is_refused(sql: str) -> None:
    with pytest.raises(StepError) as caught:
        check_select(sql, "p", MINE)
    assert caught.value.code == "sql_not_allowed"


def test_there_are_enough_attacks() -> None:
    assert len(set(ATTACKS)) >= 60


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELECT 1,\n  acme.f(2)", "the function acme.f is not allowed at line 2"),
        ("SELECT *\nFROM other.t", "other.t: dataset other is not yours at line 2"),
        ("SELECT *\nFROM `acme.t*`", "name one table"),
        ("SELECT a FROM", "it cannot be parsed at line 1"),
    ],
)
def test_a_refusal_names_the_place(sql: str, said: str) -> None:
    with pytest.raises(StepError) as caught:
        check_select(sql, "p", MINE)
    assert said in caught.value.detail


def test_the_tables_of_a_query_are_known() -> None:
    sql = "WITH x AS (SELECT * FROM acme_raw.u) SELECT * FROM x JOIN own USING (id)"
    assert set(check_select(sql, "p", MINE)) == {"acme.own", "acme_raw.u"}
