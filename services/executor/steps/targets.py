"""Names of tables that a step writes."""

import re

from contracts.runs import RunRequestedV1
from services.executor.steps.isolation import is_platforms
from services.executor.steps.step import STAGING_PREFIX, StepError
from services.executor.steps.variables import fill_name

_TARGET = re.compile(
    r"(?P<dataset>[A-Za-z_][A-Za-z0-9_]{0,1023})\.(?P<table>[A-Za-z0-9_]{1,300})"
    r"(?P<partition>\$[0-9]{4,10})?"
)


def target_of(written: str, request: RunRequestedV1) -> str:
    """`dataset.table`, with `$20260131` for one partition; raises `StepError`."""
    name = fill_name(written, request)
    match = _TARGET.fullmatch(name)
    if match is None:
        raise StepError("invalid_target", f"target_table {name!r} is not dataset.table")
    dataset, table = match.group("dataset"), match.group("table")
    if dataset not in request.datasets:
        allowed = ", ".join(request.datasets)
        raise StepError(
            "target_not_allowed",
            f"target_table {name}: dataset {dataset} is not yours; yours are {allowed}",
        )
    if is_platforms(f"{dataset}.{table}") or table.startswith(STAGING_PREFIX):
        raise StepError(
            "target_not_allowed",
            f"target_table {name}: this name is the platform's own; choose another",
        )
    return name
