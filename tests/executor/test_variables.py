"""Values are bound, names are checked, nothing is pasted."""

import pytest

from services.executor.steps.step import StepError
from services.executor.steps.targets import target_of
from services.executor.steps.variables import bind_sql, fill_name
from tests.executor.stage import requested, step

RUN = requested(
    step("x"), parameters={"region": "eu", "bad": "x; DROP TABLE t", "n": 3, "quote": "it's"}
)


@pytest.mark.parametrize(
    ("written", "bound"),
    [
        ("d = ${date}", "d = @run_date"),
        ("d = '${date}'", "d = @run_date"),
        ("r = ${parameters.quote}", "r = @p_quote"),
        ("r IN (${parameters.bad})", "r IN (@p_bad)"),
        ("FROM ${tenant_id}.t", "FROM acme.t"),
        ("FROM acme.t_${parameters.region}", "FROM acme.t_eu"),
        ("FROM `acme.t_${parameters.n}_x`", "FROM `acme.t_3_x`"),
        ("-- it's ${date}\nr = 'x' || ${date}", "-- it's @run_date\nr = 'x' || @run_date"),
        ("r = '${tenant_id}%'", "r = 'acme%'"),
        ("FROM acme.t_${date}", "FROM acme.t_20260131"),
    ],
)
def test_a_variable_becomes_a_parameter_or_a_part_of_a_name(written: str, bound: str) -> None:
    assert bind_sql(written, RUN).text == bound


@pytest.mark.parametrize(
    "written",
    [
        "t_${parameters.bad}",
        "`${parameters.quote}`",
        "${nothing}",
        "${parameters.missing}",
        "r LIKE '${parameters.region}%'",
        "r = 'region: ${parameters.region}'",
        'r = "eu-${date}"',
    ],
)
def test_what_cannot_be_used_is_refused(written: str) -> None:
    with pytest.raises(StepError):
        bind_sql(written, RUN)


def test_a_run_has_a_table_of_its_own_by_its_id() -> None:
    name = f"made_{str(RUN.run_id).replace('-', '_')}"
    assert fill_name("${tenant_id}.made_${run_id}", RUN) == f"acme.{name}"
    assert bind_sql("FROM acme.made_${run_id}", RUN).text == f"FROM acme.{name}"
    assert target_of("${tenant_id}.made_${run_id}", RUN) == f"acme.{name}"
