"""Pipeline definitions that several tests use."""

ONE_STEP = """
pipeline_id: ones
description: One step, whatever there is.
steps:
  - id: make
    ps_type: bq_etl.query
    config:
      source_query: "SELECT 1 AS one, ${date} AS on_day, '${run_id}' AS run_id"
      target_table: ${tenant_id}.ones
"""

BAD_SQL = """
pipeline_id: bad
steps:
  - id: make
    ps_type: bq_etl.query
    config: {source_query: "SELECT nothing_like_it", target_table: "${tenant_id}.bad"}
  - id: after
    ps_type: bq_etl.query
    needs: [make]
    config: {source_query: "SELECT 1 AS one", target_table: "${tenant_id}.after"}
"""


THREE_KINDS = """
pipeline_id: planned
steps:
  - id: good
    ps_type: bq_etl.query
    config: {source_query: "SELECT ${date} AS day", target_table: "${tenant_id}.planned"}
  - id: thief
    ps_type: bq_etl.query
    needs: [good]
    config: {source_query: "SELECT * FROM tenants.events", target_table: "${tenant_id}.stolen"}
  - id: told
    ps_type: notify.webhook
    needs: [thief]
    config: {url: "https://hooks.example/x"}
"""


def reading(table: str) -> str:
    return f"""
pipeline_id: reading
steps:
  - id: read
    ps_type: bq_etl.query
    config: {{source_query: "SELECT * FROM {table}", target_table: "${{tenant_id}}.stolen"}}
"""
