"""Recorded lineage as OpenLineage run events (openlineage.io, 2-0-2)."""

import json
from collections.abc import Mapping
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

PRODUCER = "https://github.com/convergence/convergence-data-pipeline"
SPEC = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
COLUMNS = "https://openlineage.io/spec/facets/1-2-0/ColumnLineageDatasetFacet.json"
PARENT = "https://openlineage.io/spec/facets/1-1-0/ParentRunFacet.json"
_RUNS = uuid5(NAMESPACE_URL, "convergence/lineage")
_TYPES = {"COMPLETED": "COMPLETE", "FAILED": "FAIL", "CANCELLED": "ABORT", "SKIPPED": "ABORT"}


def run_event(row: Mapping[str, Any], project: str) -> dict[str, Any]:
    """One ended step: its job, what it read and what it wrote."""
    namespace = f"convergence/{row['tenant_id']}"
    return {
        "eventType": _TYPES.get(row["status"], "OTHER"),
        "eventTime": row["event_time"].isoformat(),
        "run": {
            "runId": str(_step_run(row)),
            "facets": {
                "parent": {
                    **_facet(PARENT),
                    "run": {"runId": row["run_id"]},
                    "job": {"namespace": namespace, "name": row["pipeline_id"]},
                }
            },
        },
        "job": {"namespace": namespace, "name": f"{row['pipeline_id']}.{row['step_id']}"},
        "inputs": [_dataset(name, project) for name in json.loads(row["inputs"])],
        "outputs": [_output(row, project)] if row["output"] else [],
        "producer": PRODUCER,
        "schemaURL": SPEC,
    }


def _step_run(row: Mapping[str, Any]) -> UUID:
    return uuid5(_RUNS, f"{row['run_id']}/{row['step_id']}/{row['attempt']}")


def _facet(schema: str) -> dict[str, Any]:
    return {"_producer": PRODUCER, "_schemaURL": schema}


def _dataset(name: str, project: str) -> dict[str, Any]:
    return {"namespace": "bigquery", "name": f"{project}.{name}"}


def _output(row: Mapping[str, Any], project: str) -> dict[str, Any]:
    fields = {
        name: {"inputFields": [_field(source, project) for source in sources]}
        for name, sources in json.loads(row["columns"]).items()
    }
    facets = {"columnLineage": {**_facet(COLUMNS), "fields": fields}} if fields else {}
    return {**_dataset(row["output"], project), "facets": facets}


def _field(source: str, project: str) -> dict[str, Any]:
    table, _, column = source.rpartition(".")
    return {**_dataset(table, project), "field": column}
