"""What users read: views that make one row of everything said about a thing.

A view of the logs is right whatever was delivered twice, late or out of order.
"""

from collections.abc import Mapping

from libs.warehouse.schema import View

_EVENTS = """
SELECT * FROM `{project}.tenants.event_log`
WHERE TRUE
QUALIFY ROW_NUMBER() OVER (PARTITION BY tenant_id, event_id ORDER BY recorded_at, chain_id) = 1
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
  FIRST_VALUE(priority IGNORE NULLS) OVER known AS priority,
  FIRST_VALUE(queue_position IGNORE NULLS) OVER known AS queue_position,
  start_time, end_time, error_code, error_message, COALESCE(refunded, FALSE) AS refunded,
  DATE(FIRST_VALUE(submitted_at IGNORE NULLS) OVER known) AS ingestion_date
FROM `{project}.tenants.run_log`
WHERE TRUE
QUALIFY ROW_NUMBER() OVER (
  PARTITION BY tenant_id, run_id
  ORDER BY rank >= 10 DESC, attempt DESC, rank DESC, event_time DESC
) = 1 AND rank >= 0
WINDOW known AS (
  PARTITION BY tenant_id, run_id ORDER BY event_time
  ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING
)
"""

_STEPS = """
SELECT
  run_id AS pipeline_logging_id, run_id, tenant_id, step_id, step_type, attempt, status,
  start_time, end_time, duration_ms, row_count, bytes_billed, job_ids,
  error_code, error_message, DATE(event_time) AS ingestion_date, slot_ms, cost_usd,
  row_count AS `rows`, bytes_billed AS bytes
FROM `{project}.tenants.step_log`
WHERE TRUE
QUALIFY ROW_NUMBER() OVER (
  PARTITION BY tenant_id, run_id, step_id
  ORDER BY attempt DESC, status = 'RUNNING', event_time DESC
) = 1
"""

_COMPATIBLE_RUNS = """
SELECT * REPLACE (IF(status = 'COMPLETED', 'COMPLETE', status) AS status)
FROM `{project}.tenants.tenant_pipeline_runs`
"""


def _current(
    subject: str, subject_id: str, fields: Mapping[str, str], *, moved_by: str = ""
) -> str:
    """One row per thing, with the newest of what was said about each field.

    What is said of it as `moved_by` is nobody's change: it was not updated by that.
    """
    subjects = ", ".join(f"'{one}'" for one in (subject, moved_by) if one)
    columns = ",\n  ".join(
        f"FIRST_VALUE({expression} IGNORE NULLS) OVER newest AS {name}"
        for name, expression in fields.items()
    )
    return f"""
SELECT
  tenant_id, {subject_id},
  {columns},
  FIRST_VALUE(IF(subject = '{subject}', event_time, NULL) IGNORE NULLS) OVER newest AS updated_at
FROM `{{project}}.tenants.state_log`
WHERE subject IN ({subjects})
QUALIFY ROW_NUMBER() OVER (
  PARTITION BY tenant_id, subject_id ORDER BY sequence DESC, event_time DESC, event_id
) = 1
WINDOW newest AS (
  PARTITION BY tenant_id, subject_id ORDER BY sequence DESC, event_time DESC, event_id
  ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING
)
"""  # noqa: S608  declared names


def _text(name: str) -> str:
    return f"JSON_VALUE(data, '$.{name}')"


def _number(name: str) -> str:
    return f"CAST({_text(name)} AS INT64)"


def _time(name: str) -> str:
    return f"CAST({_text(name)} AS TIMESTAMP)"


_PROFILES = _current(
    "tenant",
    "subject_id AS profile_id",
    {
        **{name: _text(name) for name in ("company_name", "admin_email", "description", "status")},
        "created_at": _time("created_at"),
    },
)
_SUBSCRIPTIONS = _current(
    "subscription",
    "subject_id AS subscription_id",
    {
        "plan_name": _text("plan_name"),
        "status": _text("status"),
        **{n: _number(n) for n in ("daily_limit", "monthly_limit", "concurrent_limit", "max_team")},
    },
)
_KEYS = f"""
SELECT
  *, revoked_at IS NULL AND (expires_at IS NULL OR expires_at > CURRENT_TIMESTAMP()) AS is_active
FROM ({
    _current(
        "key",
        "subject_id AS api_key_hash",
        {
            **{n: _text(n) for n in ("last_four", "description", "scopes", "created_by")},
            **{n: _time(n) for n in ("created_at", "expires_at", "revoked_at")},
        },
    )
})
"""  # noqa: S608  declared names
_CREDENTIALS = _current(
    "credential",
    "subject_id AS credential_id",
    {"provider": _text("provider"), "is_active": f"{_text('is_active')} = 'true'"},
)
_CONFIGS = _current(
    "config",
    "subject_id AS config_id",
    {
        "pipeline_yaml": _text("pipeline_yaml"),
        "name": _text("name"),
        "revision": _number("revision"),
        "is_active": f"{_text('is_active')} = 'true'",
        "saved_by": _text("saved_by"),
        "last_cron": _text("cron"),
        "last_time_zone": _text("time_zone"),
        "is_scheduled": f"{_text('is_scheduled')} = 'true'",
        "last_next_time": _text("next_run_time"),
    },
    moved_by="schedule",
)
_SCHEDULED_CONFIGS = f"""
SELECT
  * EXCEPT (last_cron, last_time_zone, last_next_time, is_scheduled),
  NULLIF(last_cron, '') AS cron, NULLIF(last_time_zone, '') AS time_zone,
  COALESCE(is_scheduled, FALSE) AS is_scheduled,
  CAST(NULLIF(last_next_time, '') AS TIMESTAMP) AS next_run_time
FROM ({_CONFIGS})
"""  # noqa: S608  declared names

_SCHEDULED = """
SELECT
  run_id AS scheduled_run_id, tenant_id, pipeline_id AS config_id, status, run_date,
  submitted_at AS scheduled_time, start_time, end_time, error_code, error_message,
  pipeline_logging_id, ingestion_date
FROM `{project}.tenants.tenant_pipeline_runs`
WHERE trigger_type = 'schedule'
"""

_QUEUE = """
SELECT
  run_id AS queue_id, tenant_id, pipeline_id AS config_id, COALESCE(priority, 0) AS priority,
  CASE status WHEN 'QUEUED' THEN 'QUEUED' WHEN 'PENDING' THEN 'PROCESSING'
    WHEN 'RUNNING' THEN 'PROCESSING' ELSE status END AS status,
  queue_position, submitted_at AS added_at, start_time AS processing_started_at,
  pipeline_logging_id, ingestion_date
FROM `{project}.tenants.tenant_pipeline_runs`
WHERE queue_position IS NOT NULL
"""

# A later attempt at the step has checked anew.
_QUALITY = """
SELECT
  tenant_id, run_id AS pipeline_logging_id, run_id, step_id, attempt, table_name, check_number,
  check_name, check_kind, column_name, severity, status, observed, expected, row_count,
  failing_rows, samples, detail, checked_at, DATE(checked_at) AS ingestion_date
FROM `{project}.tenants.dq_log`
WHERE TRUE
QUALIFY ROW_NUMBER() OVER (
  PARTITION BY tenant_id, run_id, step_id, table_name, check_number, attempt
  ORDER BY event_time DESC, event_id
) = 1 AND attempt = MAX(attempt) OVER (PARTITION BY tenant_id, run_id, step_id, table_name)
"""

# A job is paid for once, though each attempt and each run that adopts it reports it: it belongs
# to the first run, and there to the last report. A report that owns no job costs nothing.
_COSTS = """
WITH reports AS (
  SELECT * FROM `{project}.tenants.step_log`
  WHERE status NOT IN ('RUNNING', 'SKIPPED')
  QUALIFY ROW_NUMBER() OVER (PARTITION BY tenant_id, event_id ORDER BY recorded_at) = 1
), jobs AS (
  SELECT tenant_id, step_id, run_id, event_id, job_id, attempt, event_time,
    MIN(event_time) OVER (PARTITION BY tenant_id, step_id, job_id, run_id) AS run_began
  FROM reports, UNNEST(IF(ARRAY_LENGTH(job_ids) = 0, [CONCAT('/', run_id)], job_ids)) AS job_id
), owners AS (
  SELECT tenant_id, event_id FROM jobs WHERE TRUE
  QUALIFY ROW_NUMBER() OVER (
    PARTITION BY tenant_id, step_id, job_id
    ORDER BY run_began, run_id, attempt DESC, event_time DESC, event_id
  ) = 1
)
SELECT
  s.tenant_id, r.pipeline_id, s.run_id, s.step_id, s.step_type, s.attempt,
  DATE(s.event_time) AS usage_date, s.bytes_billed, COALESCE(s.slot_ms, 0) AS slot_ms,
  COALESCE(s.duration_ms, 0) AS duration_ms, s.cost_usd, s.job_ids
FROM reports AS s
JOIN (SELECT DISTINCT tenant_id, event_id FROM owners) AS o
  ON o.tenant_id = s.tenant_id AND o.event_id = s.event_id
LEFT JOIN `{project}.tenants.tenant_pipeline_runs` AS r
  ON r.tenant_id = s.tenant_id AND r.run_id = s.run_id
"""

_LINEAGE = """
SELECT
  l.tenant_id, l.run_id, l.pipeline_id, l.step_id, l.attempt, l.inputs, l.output, l.columns,
  l.untold, s.status, COALESCE(s.end_time, s.start_time, l.event_time) AS event_time
FROM (
  SELECT *
  FROM `{project}.tenants.lineage_log`
  WHERE TRUE
  QUALIFY ROW_NUMBER() OVER (
    PARTITION BY tenant_id, run_id, step_id, attempt ORDER BY event_time, event_id
  ) = 1
) AS l
JOIN `{project}.tenants.tenant_step_logs` AS s
  ON s.tenant_id = l.tenant_id AND s.run_id = l.run_id AND s.step_id = l.step_id
  AND s.attempt = l.attempt
WHERE s.status != 'RUNNING'
"""

# A run is charged to the day on which it was first admitted.
_QUOTAS = """
WITH admitted AS (
  SELECT tenant_id, run_id, DATE(MIN(event_time)) AS usage_date
  FROM `{project}.tenants.run_log`
  WHERE rank IN (0, 1)
  GROUP BY tenant_id, run_id
), days AS (
  SELECT
    a.tenant_id, a.usage_date,
    COUNTIF(NOT r.refunded) AS pipelines_run_today,
    COUNTIF(r.refunded) AS pipelines_refunded_today,
    COUNTIF(r.status = 'COMPLETED') AS pipelines_succeeded_today,
    COUNTIF(r.status = 'FAILED') AS pipelines_failed_today,
    COUNTIF(r.status IN ('PENDING', 'RUNNING')) AS concurrent_running,
    COUNTIF(r.status = 'QUEUED') AS queued
  FROM admitted AS a
  JOIN `{project}.tenants.tenant_pipeline_runs` AS r
    ON r.tenant_id = a.tenant_id AND r.run_id = a.run_id
  GROUP BY a.tenant_id, a.usage_date
)
SELECT
  CONCAT(d.tenant_id, '_', FORMAT_DATE('%Y%m%d', d.usage_date)) AS usage_id,
  d.tenant_id, d.usage_date, d.pipelines_run_today, d.pipelines_succeeded_today,
  d.pipelines_failed_today, d.pipelines_refunded_today,
  SUM(d.pipelines_run_today) OVER (
    PARTITION BY d.tenant_id, DATE_TRUNC(d.usage_date, MONTH) ORDER BY d.usage_date
  ) AS pipelines_run_month,
  d.concurrent_running, d.queued,
  s.daily_limit, s.monthly_limit, s.concurrent_limit
FROM days AS d
LEFT JOIN `{project}.tenants.tenant_subscriptions` AS s ON s.tenant_id = d.tenant_id
"""


_UNPREFIXED = ("scheduled_pipeline_runs", "pipeline_execution_queue", "pipeline_configs")


def _same(name: str) -> str:
    return f"SELECT * FROM `{{project}}.tenants.{name}`"  # noqa: S608  declared names


VIEWS: tuple[View, ...] = (
    View("tenants", "events", _EVENTS),
    View("tenants", "tenant_pipeline_runs", _RUNS),
    View("tenants", "tenant_step_logs", _STEPS),
    View("tenants", "tenant_dq_results", _QUALITY),
    View("tenants", "tenant_lineage", _LINEAGE, "Tables and columns each ended step touched"),
    View("tenants", "tenant_profiles", _PROFILES),
    View("tenants", "tenant_subscriptions", _SUBSCRIPTIONS),
    View("tenants", "tenant_api_keys", _KEYS),
    View("tenants", "tenant_cloud_credentials", _CREDENTIALS, "Never the secrets themselves"),
    View("tenants", "tenant_pipeline_configs", _SCHEDULED_CONFIGS),
    View("tenants", "tenant_scheduled_pipeline_runs", _SCHEDULED),
    View("tenants", "tenant_pipeline_execution_queue", _QUEUE),
    View("tenants", "tenant_usage_quotas", _QUOTAS),
    View("tenants", "tenant_run_costs", _COSTS, "What the platform spent on each step"),
    *(View("tenants", name, _same(f"tenant_{name}")) for name in _UNPREFIXED),
    View("metadata", "pipeline_runs", _COMPATIBLE_RUNS),
    View("metadata", "dq_results", _same("tenant_dq_results")),
    View("metadata", "api_keys", _same("tenant_api_keys")),
)
