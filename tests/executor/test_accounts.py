"""A tenant's own SQL runs as the tenant's account, whatever step it stands in."""

from dataclasses import replace
from typing import Any

import pytest

from libs.warehouse.accounts import OwnAccounts, account_of
from libs.warehouse.warehouse import Warehouse
from services.executor.steps.bq_etl_query import BqEtlQuery
from services.executor.steps.dq_check import DqCheck
from services.executor.steps.step import StepType
from services.executor.steps.tools import Tools
from services.executor.steps.transform_sql import TransformSql
from tests.executor.stage import TENANT, given, step


class Nobody:
    """The executor's own account, which must not be asked."""

    project = "convergence-local"

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(name)


@pytest.fixture
def as_tenant(tools: Tools) -> Tools:
    own: Any = Nobody()

    def act_as(account: str) -> Warehouse:
        assert account == account_of(TENANT, own.project)
        return tools.warehouse

    return replace(tools, warehouse=own, accounts=OwnAccounts(own, act_as))


MODEL = {
    "sql": "SELECT 1 AS id, DATE '2026-01-01' AS day",
    "target_table": f"{TENANT}.model",
    "materialized": "incremental",
    "unique_key": ["id"],
}


@pytest.mark.parametrize(
    ("type_", "config"),
    [
        (BqEtlQuery, {"source_query": "SELECT 1 AS a", "target_table": f"{TENANT}.made"}),
        (DqCheck, {"table": f"{TENANT}.there", "checks": [{"type": "row_count", "max_value": 10}]}),
        (TransformSql, MODEL),
    ],
)
async def test_sql_of_a_tenant_runs_as_the_tenant(
    as_tenant: Tools, type_: type[StepType], config: dict[str, Any]
) -> None:
    made = given(step("x", {"source_query": "SELECT 1 AS a", "target_table": f"{TENANT}.there"}))
    await BqEtlQuery(as_tenant).run(made)
    one: Any = type_(as_tenant)  # type: ignore[call-arg]
    for _ in range(2):  # a model is made first, and brought up to date then
        run = given(step("x", config))
        await one.plan(run)
        await one.run(run)
    await one.cancel(given(step("x", config)))
