"""Where rows that do not fit a table's contract are kept, until they are replayed or replaced."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from libs.warehouse.schema import Column, Table
from services.executor.ingest.contract import COLUMN, REASON, WHOLE, Contract

SUFFIX = "_quarantine"
STAGED = (Column(REASON, "STRING"), Column(COLUMN, "STRING"), Column(WHOLE, "STRING"))
"""Columns that only the staged rows have."""
KEPT = f"WHERE {REASON} IS NULL"


def quarantine_of(target: str) -> Table:
    dataset, _, name = target.partition(".")
    return Table(
        dataset,
        f"{name}{SUFFIX}",
        (
            Column("x_slice", "STRING"),
            Column("x_load_id", "STRING"),
            Column("x_file", "STRING"),
            Column("x_row", "INT64"),
            Column("reason", "STRING"),
            Column("column_name", "STRING"),
            Column("row_values", "STRING", description="The whole row as it came, as JSON"),
            Column("contract", "STRING"),
            Column("revision", "INT64", description="Of the columns that the table knew"),
            Column("put_aside_at", "TIMESTAMP"),
        ),
        cluster_by=("x_slice",),
        description=f"Rows that {name} did not take in",
    )


def emptying(project: str, target: str) -> str:
    """For the swap: what the slice had in quarantine goes with it."""
    return f"DELETE FROM `{project}.{quarantine_of(target).path}` WHERE x_slice = @slice"  # noqa: S608


def putting(project: str, target: str) -> str:
    """For the swap: the staged rows that do not fit."""
    table = quarantine_of(target)
    names = ", ".join(column.name for column in table.columns)
    return (
        f"INSERT INTO `{project}.{table.path}` ({names})"  # noqa: S608  checked names
        f" SELECT x_slice, x_load_id, x_file, x_row, {REASON}, {COLUMN}, {WHOLE},"
        f" @contract, @revision, @put_aside_at FROM {{staged}} WHERE {REASON} IS NOT NULL"
    )


def parameters(contract: Contract, at: datetime) -> Mapping[str, Any]:
    return {
        "contract": contract.mode,
        "revision": contract.known.revision,
        "put_aside_at": at,
    }
