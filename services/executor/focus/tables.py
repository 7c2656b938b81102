"""Which rows of FOCUS tables give way to a load, and the statement that keeps their history.

Rows are known by their loads: `focus_loads` says of what slice of what raw table each was made.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, date, datetime, time

from libs.clock import earlier
from libs.warehouse.data_tables import LOADS
from libs.warehouse.schema import Table
from services.executor.focus.begins import BEGINS_ON, EAST, EASTERN, begins_on, formatted
from services.executor.focus.tally import Key

_MONTH = r"[0-9]{4}-[0-9]{2}"
_ANY_TABLE = r"^[^.]+[.][^.]+[.]"
"""A source is `dataset.table.slice`; only slices have further dots."""
DAY = 24 * 60 * 60 * 10**6
NEVER = datetime.max.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC)
"""Bounds without any period between them."""
VARIABLES = "DECLARE first_period, last_period TIMESTAMP"
WITHIN = "BillingPeriodStart >= {at}first_period AND BillingPeriodStart <= {at}last_period"
"""Constants when the rows are read, by which BigQuery reads these partitions and no others."""
WITHIN_VARIABLES, WITHIN_PARAMETERS = WITHIN.format(at=""), WITHIN.format(at="@")


@dataclass(frozen=True, slots=True)
class Source:
    """The slice of a raw table that a load is made of."""

    table: str
    """`dataset.table`."""
    slice: str

    def __str__(self) -> str:
        return f"{self.table}.{self.slice}"

    @property
    def is_month(self) -> bool:
        return re.fullmatch(_MONTH, self.slice) is not None

    @property
    def beside(self) -> str:
        """Sources that share billing periods with this one: each brings its part of them.

        Months are apart whatever table they are in: what one has of another's is late.
        """
        own = f"^{re.escape(self.table)}[.]"
        return f"{own}|{_ANY_TABLE}{_MONTH}$" if self.is_month else own

    @property
    def in_any_table(self) -> str:
        return f"{_ANY_TABLE}{re.escape(self.slice)}$"


@dataclass(frozen=True, slots=True)
class Replacement:
    """What gives way to a load, and what is kept of that, as SQL with parameters.

    - Whatever was made of the same slice of the same raw table, of whatever period.
    - Of the same provider and billing account, whatever was made of a slice of the same name of
      another raw table: it is the same bill in another form.
    - Likewise the rest of a billing period that came from another raw table, but for slices that
      are other months.
    """

    project: str
    target: Table
    source: Source

    def parameters(self, provider: str, billed: Collection[Key]) -> dict[str, object]:
        days = [begins_on(start) for start, _, _ in billed]
        whole = {
            f"{account}|{day}"
            for day, (_, account, _) in zip(days, billed, strict=True)
            if not self.source.is_month or f"{day:%Y-%m}" == self.source.slice
        }
        first, last = _instants(days)
        return {
            "provider": provider,
            "first": first,
            "last": last,
            "accounts": sorted({account for _, account, _ in billed}) or [""],
            "keys": sorted(whole) or [""],
            "beside": self.source.beside,
            "in_any_table": self.source.in_any_table,
            "source": str(self.source),
            "own": f"{self.source.table}.",
            "slice": self.source.slice,
        }

    @property
    def there(self) -> str:
        return f"`{self.project}.{self.target.path}`"

    @property
    def loads(self) -> str:
        return f"`{self.project}.{self.target.dataset}.{LOADS}`"

    @property
    def ours(self) -> str:
        """Rows that were made of this source."""
        return f"IFNULL(x_load_id, '') IN ({self._loads_of('source = @source')})"

    @property
    def bounds(self) -> tuple[str, str]:
        """The first and last instant of periods of the load, or made of a slice so named before.

        Rows outside of them stay.
        """
        known = f"FROM {self.loads} WHERE REGEXP_CONTAINS(source, @in_any_table)"
        day = "TIMESTAMP(MIN(billing_period))"
        # The calendar has nothing before its first day.
        first = f"IF({day} = TIMESTAMP '0001-01-01', {day}, TIMESTAMP_SUB({day}, {EASTERN}))"
        last = f"TIMESTAMP_ADD(TIMESTAMP(MAX(billing_period)), INTERVAL {DAY - 1} MICROSECOND)"
        return (
            f"(SELECT LEAST(@first, COALESCE({first}, @first)) {known})",
            f"(SELECT GREATEST(@last, COALESCE({last}, @last)) {known})",
        )

    @property
    def gives_way(self) -> str:
        """Of rows within bounds; never null."""
        of_provider = "IFNULL(x_provider, '') = @provider"
        same_name = self._loads_of("REGEXP_CONTAINS(source, @in_any_table)")
        beside = self._loads_of("REGEXP_CONTAINS(source, @beside)")
        load = "IFNULL(x_load_id, '')"
        key = f"CONCAT(BillingAccountId, '|', {formatted('%Y-%m-%d')})"
        return (
            f"({self.ours} OR {of_provider} AND ("
            f"IFNULL(BillingAccountId, '') IN UNNEST(@accounts) AND {load} IN ({same_name})"
            f" OR IFNULL({key}, '') IN UNNEST(@keys) AND {load} NOT IN ({beside})))"
        )

    @property
    def where(self) -> str:
        return f"{WITHIN_VARIABLES} AND {self.gives_way}"

    def before(self, *, staged: bool) -> tuple[str, ...]:
        """For the transaction, ahead of the swap: the bounds, and the history."""
        names = ("first_period", "last_period")
        settings = (f"SET {name} = {of}" for name, of in zip(names, self.bounds, strict=True))
        return (*settings, self._history(staged=staged))

    def _history(self, *, staged: bool) -> str:
        """Inserts a version of each period that changes: what it held in all, and what it will.

        One that has been emptied held nothing; one that never was there has no sum before.
        """
        of_row = (
            "x_provider AS provider, BillingAccountId AS account,"
            f" {BEGINS_ON} AS period, BillingCurrency AS currency,"
            " BilledCost AS billed, EffectiveCost AS effective, BillingPeriodEnd AS period_end"
        )
        rows = (
            f"SELECT {of_row}, TRUE AS was, NOT {self.gives_way} AS stays"  # noqa: S608  our own
            f" FROM {self.there} WHERE {WITHIN_VARIABLES}"
        )
        if staged:
            new = f"SELECT {of_row}, FALSE AS was, TRUE AS stays FROM {{staged}}"  # noqa: S608
            rows = f"{rows} UNION ALL {new}"
        return f"""
INSERT INTO {self.loads} (load_id, provider, billing_account_id, billing_period, currency, version,
  row_count, billed_cost, effective_cost, billed_before, effective_before, period_closed,
  mapping, source, loaded_at)
SELECT @load_id, c.provider, c.account, c.period, c.currency, COALESCE(v.version, 0) + 1,
  c.row_count, c.billed, c.effective,
  COALESCE(c.billed_before, IF(v.version IS NULL, NULL, 0)),
  COALESCE(c.effective_before, IF(v.version IS NULL, NULL, 0)),
  c.period_end <= @loaded_at, @mapping, @source, @loaded_at
FROM (
  SELECT provider, account, period, currency, COUNTIF(stays) AS row_count,
    COALESCE(SUM(IF(stays, billed, NULL)), 0) AS billed,
    COALESCE(SUM(IF(stays, effective, NULL)), 0) AS effective,
    SUM(IF(was, billed, NULL)) AS billed_before,
    SUM(IF(was, effective, NULL)) AS effective_before,
    MAX(period_end) AS period_end
  FROM ({rows}) GROUP BY provider, account, period, currency
  HAVING COUNTIF(NOT (was AND stays)) > 0
) AS c
LEFT JOIN (
  SELECT provider, billing_account_id AS account, billing_period AS period, currency,
    MAX(version) AS version
  FROM {self.loads} GROUP BY 1, 2, 3, 4
) AS v ON v.provider = c.provider AND v.account = c.account AND v.period = c.period
  AND v.currency = c.currency
"""  # noqa: S608  names that were checked

    def _loads_of(self, which: str) -> str:
        return f"SELECT load_id FROM {self.loads} WHERE {which}"  # noqa: S608  our own words


def _instants(days: Collection[date]) -> tuple[datetime, datetime]:
    """The first and the last at which periods may begin on these days."""
    if not days:
        return NEVER
    return (
        earlier(datetime.combine(min(days), time.min, UTC), EAST),
        datetime.combine(max(days), time.max, UTC),
    )
