"""Which rows of FOCUS tables a load replaces, and the statement that keeps their history."""

from collections.abc import Collection
from datetime import UTC, date, datetime, time, timedelta

from libs.clock import later
from libs.warehouse.data_tables import LOADS
from libs.warehouse.schema import Table
from services.executor.focus.tally import Key

WHERE = (
    "x_provider = @provider"
    # Constants by which BigQuery reads these periods' partitions and no others.
    " AND BillingPeriodStart >= @first_period AND BillingPeriodStart < @after_periods"
    " AND CONCAT(BillingAccountId, '|',"
    " FORMAT_TIMESTAMP('%Y-%m-%d', BillingPeriodStart)) IN UNNEST(@keys)"
)
"""What a load replaces: its billing periods of its billing accounts."""


def replaced(provider: str, billed: Collection[Key]) -> dict[str, object]:
    """The parameters of `WHERE`."""
    days = [start.astimezone(UTC).date() for start, _, _ in billed]
    keys = {f"{account}|{day}" for day, (_, account, _) in zip(days, billed, strict=True)}
    first, last = min(days, default=date.min), max(days, default=date.min)
    return {
        "provider": provider,
        "first_period": datetime.combine(first, time(), UTC),
        "after_periods": later(datetime.combine(last, time(), UTC), timedelta(days=1)),
        "keys": sorted(keys) or [""],
    }


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
