"""The `tenants` and `metadata` datasets as they should be.

Three append-only logs hold everything; what users read are views that keep one
row per message, per run and per step, however often something was delivered.
"""

from libs.warehouse.schema import Column, Dataset, Object, Table, View, required

SCHEMA_VERSION = 1

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
    ),
    partition_by="recorded_at",
    cluster_by=("tenant_id", "run_id"),
)

SCHEMA_VERSIONS = Table(
    "metadata",
    "schema_versions",
    (required("version", "INT64"), required("applied_at", "TIMESTAMP")),
)

_EVENTS = """
SELECT * FROM `{project}.tenants.event_log`
WHERE TRUE
QUALIFY ROW_NUMBER() OVER (PARTITION BY event_id ORDER BY recorded_at) = 1
"""

_RUNS = """
SELECT
  run_id AS pipeline_logging_id, run_id, tenant_id,
  FIRST_VALUE(pipeline_id IGNORE NULLS) OVER known AS pipeline_id,
  FIRST_VALUE(revision IGNORE NULLS) OVER known AS revision,
  attempt, status,
  FIRST_VALUE(run_date IGNORE NULLS) OVER known AS run_date,
  FIRST_VALUE(trigger_type IGNORE NULLS) OVER known AS trigger_type,
  FIRST_VALUE(trigger_by IGNORE NULLS) OVER known AS trigger_by,
  FIRST_VALUE(user_id IGNORE NULLS) OVER known AS user_id,
  FIRST_VALUE(submitted_at IGNORE NULLS) OVER known AS submitted_at,
  start_time, end_time, error_code, error_message,
  DATE(FIRST_VALUE(submitted_at IGNORE NULLS) OVER known) AS ingestion_date
FROM `{project}.tenants.run_log`
WHERE TRUE
QUALIFY ROW_NUMBER() OVER (
  PARTITION BY tenant_id, run_id
  ORDER BY rank >= 10 DESC, attempt DESC, rank DESC, event_time DESC
) = 1
WINDOW known AS (
  PARTITION BY tenant_id, run_id ORDER BY event_time
  ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING
)
"""

_STEPS = """
SELECT
  run_id AS pipeline_logging_id, run_id, tenant_id, step_id, step_type, attempt, status,
  start_time, end_time, duration_ms, row_count, bytes_billed, job_ids,
  error_code, error_message, DATE(event_time) AS ingestion_date
FROM `{project}.tenants.step_log`
WHERE TRUE
QUALIFY ROW_NUMBER() OVER (
  PARTITION BY tenant_id, run_id, step_id
  ORDER BY status = 'RUNNING', attempt DESC, event_time DESC
) = 1
"""

_COMPATIBLE_RUNS = """
SELECT * REPLACE (IF(status = 'COMPLETED', 'COMPLETE', status) AS status)
FROM `{project}.tenants.tenant_pipeline_runs`
"""

DATASETS: tuple[Dataset, ...] = (
    Dataset("tenants", "What the platform records, for all tenants", {"convergence": "system"}),
    Dataset("metadata", "Views under names of old, and schema versions", {"convergence": "system"}),
)
TABLES: tuple[Table, ...] = (EVENT_LOG, RUN_LOG, STEP_LOG, SCHEMA_VERSIONS)
VIEWS: tuple[View, ...] = (
    View("tenants", "events", _EVENTS),
    View("tenants", "tenant_pipeline_runs", _RUNS),
    View("tenants", "tenant_step_logs", _STEPS),
    View("metadata", "pipeline_runs", _COMPATIBLE_RUNS),
)
OBJECTS: tuple[Object, ...] = (*DATASETS, *TABLES, *VIEWS)
