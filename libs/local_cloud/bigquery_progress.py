"""Adds how far a query is while it runs, and what its stages have read and written.

BigQuery tells both as stages with counts of rows and of units of work. Here a
query has one stage, and a hundred units: DuckDB says how many in a hundred are done.
"""

from datetime import UTC, datetime
from typing import Any

from libs.local_cloud.bigquery_runs import Run

UNITS = 100


def statistics_so_far(run: Run) -> dict[str, Any]:
    """The statistics of a job that has not ended."""
    if "query" not in run.configuration or run.started is None:
        return {}
    if run.session is not None:  # it may go back when a statement follows another
        run.share = max(run.share, run.session.share())
    size = sum(read.bytes for read in run.reads)
    processed = str(int(size * run.share))
    return {
        "totalBytesProcessed": processed,
        "query": {
            "totalBytesProcessed": processed,
            "estimatedBytesProcessed": str(size),
            **_stages(run, 0, "RUNNING"),
        },
    }


def stages_done(run: Run, rows: int) -> dict[str, Any]:
    run.share = 1.0
    return _stages(run, rows, "COMPLETE")


def _stages(run: Run, written: int, status: str) -> dict[str, Any]:
    now = datetime.now(UTC)
    elapsed = str(round((now - (run.started or now)).total_seconds() * 1000))
    done, read = int(UNITS * run.share), sum(read.rows for read in run.reads)
    stage = {
        "id": "0",
        "name": "S00: Output",
        "status": status,
        "parallelInputs": str(UNITS),
        "completedParallelInputs": str(done),
        "recordsRead": str(int(read * run.share)),
        "recordsWritten": str(written),
    }
    sample = {
        "elapsedMs": elapsed,
        "totalSlotMs": elapsed,
        "completedUnits": str(done),
        "activeUnits": "0" if done == UNITS else "1",
        "pendingUnits": str(UNITS - done),
    }
    return {"queryPlan": [stage], "timeline": [sample]}
