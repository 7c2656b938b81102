"""The `tenants` and `metadata` datasets as they should be.

Append-only logs hold everything; what users read are the views of `views.py`,
which keep one row per message, run, step or thing, however often and in which
order something was delivered.
"""

from libs.warehouse.schema import Column, Dataset, Object, Table, required
from services.audit_log.views import VIEWS

SCHEMA_VERSION = 7

EVENT_LOG = Table(
    "tenants",
    "event_log",
    (
        required("event_id", "STRING", "CloudEvents id; the same for every delivery"),
        required("event_type", "STRING"),
        required("kind", "STRING", "command, event, query or reply"),
        required("source", "STRING", "The publishing service"),
        required("event_time", "TIMESTAMP"),
        Column("tenant_id", "STRING"),
        Column("correlation_id", "STRING", description="Shared by what one request caused"),
        Column("causation_id", "STRING", description="The message this one follows from"),
        Column("sequence", "INT64"),
        Column("traceparent", "STRING"),
        required("data", "STRING", "The message's JSON"),
        required("recorded_at", "TIMESTAMP"),
        Column("run_id", "STRING"),
        Column("chain_id", "STRING", description="One writer's rows of one tenant"),
        Column("chain_position", "INT64"),
        Column("previous_hash", "STRING", description="Of the row before in the chain"),
        Column("row_hash", "STRING"),
    ),
    partition_by="recorded_at",
    cluster_by=("tenant_id", "event_type"),
    description="Every message ever published, at least once",
)

RUN_LOG = Table(
    "tenants",
    "run_log",
    (
        required("event_id", "STRING"),
        required("event_time", "TIMESTAMP"),
        required("tenant_id", "STRING"),
        required("run_id", "STRING"),
        Column("pipeline_id", "STRING"),
        Column("revision", "INT64"),
        required("attempt", "INT64"),
        required("status", "STRING"),
        required("rank", "INT64", "Orders what is said of one attempt"),
        Column("run_date", "DATE"),
        Column("trigger_type", "STRING"),
        Column("trigger_by", "STRING"),
        Column("user_id", "STRING"),
        Column("submitted_at", "TIMESTAMP"),
        Column("start_time", "TIMESTAMP"),
        Column("end_time", "TIMESTAMP"),
        Column("error_code", "STRING"),
        Column("error_message", "STRING"),
        required("recorded_at", "TIMESTAMP"),
        Column("priority", "INT64"),
        Column("queue_position", "INT64"),
        Column("refunded", "BOOL", description="Not counted against the limits"),
    ),
    partition_by="recorded_at",
    cluster_by=("tenant_id", "pipeline_id"),
)

STEP_LOG = Table(
    "tenants",
    "step_log",
    (
        required("event_id", "STRING"),
        required("event_time", "TIMESTAMP"),
        required("tenant_id", "STRING"),
        required("run_id", "STRING"),
        required("step_id", "STRING"),
        required("step_type", "STRING"),
        required("attempt", "INT64"),
        required("status", "STRING"),
        Column("start_time", "TIMESTAMP"),
        Column("end_time", "TIMESTAMP"),
        Column("duration_ms", "INT64"),
        Column("row_count", "INT64"),
        Column("bytes_billed", "INT64"),
        Column("job_ids", "STRING", "REPEATED"),
        Column("error_code", "STRING"),
        Column("error_message", "STRING"),
        required("recorded_at", "TIMESTAMP"),
        Column("slot_ms", "INT64"),
        Column("cost_usd", "NUMERIC", description="Bytes billed at the price of that day"),
    ),
    partition_by="recorded_at",
    cluster_by=("tenant_id", "run_id"),
)

SCHEMA_VERSIONS = Table(
    "metadata",
    "schema_versions",
    (required("version", "INT64"), required("applied_at", "TIMESTAMP")),
)

QUALITY_LOG = Table(
    "tenants",
    "dq_log",
    (
        required("event_id", "STRING"),
        required("event_time", "TIMESTAMP"),
        required("tenant_id", "STRING"),
        required("run_id", "STRING"),
        required("step_id", "STRING"),
        required("attempt", "INT64"),
        required("check_number", "INT64", "Its place among the checks of the table"),
        required("table_name", "STRING"),
        required("check_name", "STRING"),
        required("check_kind", "STRING"),
        Column("column_name", "STRING"),
        required("severity", "STRING"),
        required("status", "STRING"),
        Column("observed", "STRING"),
        Column("expected", "STRING"),
        Column("row_count", "INT64"),
        Column("failing_rows", "INT64"),
        Column("samples", "STRING", description="Keys of some failing rows, as JSON"),
        Column("detail", "STRING"),
        required("checked_at", "TIMESTAMP"),
        required("recorded_at", "TIMESTAMP"),
    ),
    partition_by="recorded_at",
    cluster_by=("tenant_id", "run_id"),
)

LINEAGE_LOG = Table(
    "tenants",
    "lineage_log",
    (
        required("event_id", "STRING"),
        required("event_time", "TIMESTAMP"),
        required("tenant_id", "STRING"),
        required("run_id", "STRING"),
        required("pipeline_id", "STRING"),
        required("step_id", "STRING"),
        required("attempt", "INT64"),
        required("inputs", "STRING", "Tables read, as a JSON array"),
        Column("output", "STRING", description="The table written"),
        required("columns", "STRING", "Each column written with what it is made of, as JSON"),
        Column("untold", "STRING", description="Why something could not be told"),
        required("recorded_at", "TIMESTAMP"),
    ),
    partition_by="recorded_at",
    cluster_by=("tenant_id", "run_id"),
)

STATE_LOG = Table(
    "tenants",
    "state_log",
    (
        required("event_id", "STRING"),
        required("event_time", "TIMESTAMP"),
        required("tenant_id", "STRING"),
        required("subject", "STRING", "tenant, subscription, key, credential, config or schedule"),
        required("subject_id", "STRING"),
        required("sequence", "INT64", "Orders the decisions about one tenant"),
        required("data", "STRING", "What this message says of the subject, as JSON"),
        required("recorded_at", "TIMESTAMP"),
    ),
    partition_by="recorded_at",
    cluster_by=("subject", "tenant_id"),
    description="What was decided about the things that tenants have",
)

DATASETS: tuple[Dataset, ...] = (
    Dataset("tenants", "What the platform records, for all tenants", {"convergence": "system"}),
    Dataset("metadata", "Views under names of old, and schema versions", {"convergence": "system"}),
)
LOGS = {
    table.name: table
    for table in (EVENT_LOG, RUN_LOG, STEP_LOG, QUALITY_LOG, LINEAGE_LOG, STATE_LOG)
}
TABLES: tuple[Table, ...] = (*LOGS.values(), SCHEMA_VERSIONS)
OBJECTS: tuple[Object, ...] = (*DATASETS, *TABLES, *VIEWS)
