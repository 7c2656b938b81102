"""Every step type there is: one line each."""

from collections.abc import Mapping

from libs.warehouse.warehouse import Warehouse
from services.executor.steps.bq_etl_query import BqEtlQuery
from services.executor.steps.step import StepType


def step_types(warehouse: Warehouse) -> Mapping[str, StepType]:
    return {
        "bq_etl.query": BqEtlQuery(warehouse),
    }
