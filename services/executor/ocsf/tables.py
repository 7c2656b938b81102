"""The table of findings: the newest of each, whole as JSON, with columns to ask by."""

import json
from collections.abc import Sequence

import polars as pl

from libs.warehouse.schema import Column, Table
from services.executor.ocsf.finding import CATEGORY, CLASS, Finding

FINDINGS = "ocsf_compliance_findings"
TIME = pl.Datetime("us", "UTC")
COLUMNS = (
    Column("finding_uid", "STRING"),
    Column("title", "STRING"),
    Column("time", "TIMESTAMP"),
    Column("created_time", "TIMESTAMP"),
    Column("category_uid", "INT64"),
    Column("class_uid", "INT64"),
    Column("type_uid", "INT64"),
    Column("activity_id", "INT64"),
    Column("severity_id", "INT64"),
    Column("severity", "STRING"),
    Column("status_id", "INT64"),
    Column("compliance_status_id", "INT64"),
    Column("compliance_status", "STRING"),
    Column("control", "STRING"),
    Column("cloud_provider", "STRING"),
    Column("cloud_account_uid", "STRING"),
    Column("cloud_region", "STRING"),
    Column("resource_uid", "STRING"),
    Column("ocsf", "STRING", description="The event as OCSF writes it, JSON"),
    Column("x_load_id", "STRING"),
)
_KINDS: dict[str, pl.DataType] = {"STRING": pl.String(), "INT64": pl.Int64(), "TIMESTAMP": TIME}
SCHEMA = {column.name: _KINDS[column.type] for column in COLUMNS}


def findings_table(dataset: str, name: str) -> Table:
    return Table(
        dataset,
        name,
        COLUMNS,
        partition_by="time",
        cluster_by=("cloud_provider", "finding_uid"),
        description=f"OCSF Compliance Finding (class {CLASS}), the newest of each",
    )


def frame_of(findings: Sequence[Finding], load_id: str) -> pl.DataFrame:
    return pl.DataFrame([_row(f, load_id) for f in findings], schema=SCHEMA, orient="row")


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
    "WHERE finding_uid NOT IN (SELECT finding_uid FROM {target})"
    " QUALIFY ROW_NUMBER() OVER (PARTITION BY finding_uid ORDER BY time DESC) = 1"
)
"""Of the staged ones: the newest of each, unless a newer one is there already."""
