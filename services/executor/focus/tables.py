"""The tables that FOCUS rows go to, and the statement that keeps each period's history."""

from collections.abc import Sequence

from libs.warehouse.schema import Column, Table, Type, required
from services.executor.focus.specification import Kind, focus

COSTS = "focus_costs"
LOADS = "focus_loads"
_TYPES: dict[Kind, Type] = {
    "text": "STRING",
    "decimal": "BIGNUMERIC",
    "time": "TIMESTAMP",
    "json": "STRING",
}
OWN = (Column("x_provider", "STRING"), Column("x_load_id", "STRING"))


def costs_table(dataset: str, name: str, kept: Sequence[str]) -> Table:
    """All 65 columns, and native ones beside them; a day's partition holds a period."""
    columns = [Column(name, _TYPES[rule.type]) for name, rule in focus().columns.items()]
    native = [Column(f"x_{name}", "STRING") for name in kept]
    return Table(
        dataset,
        name,
        (*columns, *native, *OWN),
        partition_by="BillingPeriodStart",
        cluster_by=("x_provider", "ServiceName"),
        description=f"FOCUS {focus().version} Cost and Usage",
    )


def loads_table(dataset: str) -> Table:
    """A row for each version of each billing period: what it held, and what the one before did."""
    return Table(
        dataset,
        LOADS,
        (
            required("load_id", "STRING"),
            required("provider", "STRING"),
            required("billing_account_id", "STRING"),
            required("billing_period", "DATE"),
            required("currency", "STRING"),
            required("version", "INT64"),
            required("row_count", "INT64"),
            required("billed_cost", "BIGNUMERIC"),
            required("effective_cost", "BIGNUMERIC"),
            Column("billed_before", "BIGNUMERIC"),
            Column("effective_before", "BIGNUMERIC"),
            required("period_closed", "BOOL", "Whether the period had ended when it was loaded"),
            required("mapping", "STRING"),
            required("source", "STRING"),
            required("loaded_at", "TIMESTAMP"),
        ),
        partition_by="loaded_at",
        cluster_by=("provider", "billing_period"),
    )


WHERE = (
    "x_provider = @provider AND CONCAT(BillingAccountId, '|',"
    " FORMAT_TIMESTAMP('%Y-%m-%d', BillingPeriodStart)) IN UNNEST(@keys)"
)
"""What a load replaces: its billing periods of its billing accounts."""


def history(project: str, target: Table) -> str:
    """Inserts a version for each period of `{staged}`, beside what the target still holds."""
    loads = f"`{project}.{target.dataset}.{LOADS}`"
    sums = (
        "BillingAccountId AS account, DATE(BillingPeriodStart) AS period,"
        " BillingCurrency AS currency, COUNT(*) AS row_count,"
        " SUM(BilledCost) AS billed, SUM(EffectiveCost) AS effective,"
        " MAX(BillingPeriodEnd) AS period_end"
    )
    grouped = "GROUP BY BillingAccountId, DATE(BillingPeriodStart), BillingCurrency"
    return f"""
INSERT INTO {loads} (load_id, provider, billing_account_id, billing_period, currency, version,
  row_count, billed_cost, effective_cost, billed_before, effective_before, period_closed,
  mapping, source, loaded_at)
SELECT @load_id, @provider, s.account, s.period, s.currency, COALESCE(v.version, 0) + 1,
  s.row_count, s.billed, s.effective, t.billed, t.effective,
  s.period_end <= @loaded_at, @mapping, @source, @loaded_at
FROM (SELECT {sums} FROM {{staged}} {grouped}) AS s
LEFT JOIN (
  SELECT {sums} FROM `{project}.{target.path}` WHERE {WHERE} {grouped}
) AS t ON t.account = s.account AND t.period = s.period AND t.currency = s.currency
LEFT JOIN (
  SELECT billing_account_id AS account, billing_period AS period, currency,
    MAX(version) AS version
  FROM {loads} WHERE provider = @provider GROUP BY 1, 2, 3
) AS v ON v.account = s.account AND v.period = s.period AND v.currency = s.currency
"""  # noqa: S608  names that were checked
