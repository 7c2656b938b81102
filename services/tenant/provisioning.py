"""What each tenant has in BigQuery: its dataset, and views on its own records."""

from contracts.identifiers import TenantId
from libs.warehouse.schema import Dataset, Object, View

_RECORDS = {
    "x_meta_pipeline_runs": "tenant_pipeline_runs",
    "x_meta_step_logs": "tenant_step_logs",
}


def objects_for(tenant: TenantId) -> tuple[Object, ...]:
    """Everything to be made, in order; making it again changes nothing."""
    return (
        Dataset(tenant, f"Data of tenant {tenant}", {"convergence": "tenant"}),
        *(_own_rows(tenant, name, source) for name, source in _RECORDS.items()),
        View(tenant, "tenant_comprehensive_view", _comprehensive(tenant)),
    )


def _own_rows(tenant: TenantId, name: str, source: str) -> View:
    # A tenant id is checked by its type: it cannot end the quotes it stands in.
    query = f"SELECT * FROM `{{project}}.tenants.{source}` WHERE tenant_id = '{tenant}'"  # noqa: S608
    return View(tenant, name, query)


def _comprehensive(tenant: TenantId) -> str:
    return (
        "SELECT r.*, s.step_id, s.step_type, s.status AS step_status,"  # noqa: S608  as above
        " s.duration_ms, s.row_count, s.error_message AS step_error"
        f" FROM `{{project}}.tenants.tenant_pipeline_runs` AS r"
        f" LEFT JOIN `{{project}}.tenants.tenant_step_logs` AS s"
        " ON s.tenant_id = r.tenant_id AND s.pipeline_logging_id = r.pipeline_logging_id"
        f" WHERE r.tenant_id = '{tenant}'"
    )
