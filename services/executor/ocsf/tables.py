"""Rows of the table of findings: the newest of each, whole as JSON, with columns to ask by."""

import json
from collections.abc import Sequence

import polars as pl

from libs.warehouse.data_tables import FINDING
from libs.warehouse.schema import Column
from services.executor.ocsf.finding import CATEGORY, CLASS, Finding

TIME = pl.Datetime("us", "UTC")
_KINDS: dict[str, pl.DataType] = {"STRING": pl.String(), "INT64": pl.Int64(), "TIMESTAMP": TIME}
SCHEMA = {column.name: _KINDS[column.type] for column in FINDING}
POSITION = Column("x_position", "INT64")
"""Of the staged rows alone: which comes after which in the delivery."""


def frame_of(findings: Sequence[Finding], load_id: str, first: int) -> pl.DataFrame:
    """As rows to be staged, of which so many have been before."""
    rows = pl.DataFrame([_row(f, load_id) for f in findings], schema=SCHEMA, orient="row")
    positions = pl.int_range(first, first + rows.height, dtype=pl.Int64)
    return rows.with_columns(positions.alias(POSITION.name))


def _row(finding: Finding, load_id: str) -> tuple[object, ...]:
    return (
        finding.uid,
        finding.title,
        finding.modified,
        finding.created,
        CATEGORY,
        CLASS,
        finding.type_uid,
        int(finding.activity),
        int(finding.severity),
        finding.severity.name.title(),
        int(finding.status),
        int(finding.compliance),
        finding.compliance.name.title(),
        finding.control,
        finding.provider,
        finding.account,
        finding.region,
        finding.resources[0].uid if finding.resources else None,
        json.dumps(finding.event(), separators=(",", ":")),
        load_id,
    )


REPLACED = (
    "finding_uid IN (SELECT s.finding_uid FROM {staged} AS s"
    " JOIN {target} AS t ON t.finding_uid = s.finding_uid WHERE s.time >= t.time)"
)
"""Findings of which a newer version has come."""
NEWEST = (
    "WHERE finding_uid NOT IN (SELECT finding_uid FROM {target})"  # noqa: S608  our own names
    " QUALIFY ROW_NUMBER() OVER"
    f" (PARTITION BY finding_uid ORDER BY time DESC, {POSITION.name} DESC) = 1"
)
"""Of the staged ones: the newest of each, of one time the last; unless a newer one is there."""
