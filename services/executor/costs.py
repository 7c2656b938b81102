"""Answers what a tenant's clouds cost, from the FOCUS tables of its own dataset.

The executor is the only service that may read tenants' data. Which dataset is
read follows from the tenant's id alone: nothing in a question can name another.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from contracts.costs import (
    DIMENSIONS,
    TAG,
    CostChangePart,
    CostChangesV1,
    CostRowPart,
    CostSourcePart,
    CostSourcesV1,
    CostV1,
    Dimension,
    GetCostChangesV1,
    GetCostSourcesV1,
    GetCostV1,
)
from contracts.identifiers import TenantId
from contracts.message import Message
from contracts.platform import CommandRefusedV1
from libs.bus.message import Context
from libs.bus.router import Router
from libs.clock import later
from libs.warehouse.data_tables import COSTS, LOADS
from libs.warehouse.warehouse import Warehouse
from services.executor.focus.begins import MONTH

MOST_BYTES = 1 << 40
MOST_SOURCES = 1000
COLUMNS: Mapping[str, str] = {
    Dimension.SERVICE: "ServiceName",
    Dimension.CATEGORY: "ServiceCategory",
    Dimension.ACCOUNT: "SubAccountId",
    Dimension.BILLING_ACCOUNT: "BillingAccountId",
    Dimension.REGION: "RegionId",
    Dimension.PROVIDER: "ServiceProviderName",
    Dimension.SOURCE: "x_provider",
    Dimension.CHARGE: "ChargeCategory",
    Dimension.RESOURCE: "ResourceId",
    Dimension.DAY: "FORMAT_TIMESTAMP('%Y-%m-%d', ChargePeriodStart)",
    Dimension.MONTH: MONTH,
}


class Costs:
    """Handlers of `cost.get.v1`, `cost_changes.get.v1` and `cost_sources.get.v1`."""

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse

    def register(self, router: Router) -> None:
        router.on(GetCostV1)(self.on_get_cost)
        router.on(GetCostChangesV1)(self.on_get_cost_changes)
        router.on(GetCostSourcesV1)(self.on_get_cost_sources)

    async def on_get_cost(self, query: GetCostV1, _: Context) -> Sequence[Message]:
        dimensions, parameters = [], dict[str, object]()
        for number, name in enumerate(query.group_by):
            if name.startswith(TAG):
                parameters[f"tag_{number}"] = f'$."{name.removeprefix(TAG)}"'
                dimensions.append(f"JSON_VALUE(Tags, @tag_{number})")
            elif name in COLUMNS:
                dimensions.append(COLUMNS[name])
            else:
                return [_unknown(query.tenant_id, name)]
        parameters |= {
            "first": query.from_date,
            "after": later(query.to_date, timedelta(days=1)),
            "limit": query.limit + 1,
        }
        if query.provider:
            parameters["provider"] = query.provider
        rows = await self._rows(query.tenant_id, COSTS, _sums(query, dimensions), parameters)
        return [
            CostV1(
                tenant_id=query.tenant_id,
                groups=tuple(_row(row, len(dimensions)) for row in rows[: query.limit]),
                truncated=len(rows) > query.limit,
            )
        ]

    async def on_get_cost_changes(self, query: GetCostChangesV1, _: Context) -> Sequence[Message]:
        where, parameters = "", dict[str, object](limit=query.limit)
        if query.billing_period is not None:
            where = " AND billing_period >= @first AND billing_period < @after"
            first = query.billing_period.replace(day=1)
            parameters |= {"first": first, "after": later(first, timedelta(days=31)).replace(day=1)}
        sql = (
            "SELECT * FROM {table} WHERE billed_before IS NOT NULL"  # noqa: S608  our own words
            " AND (billed_before != billed_cost OR effective_before != effective_cost)"
            f"{where} ORDER BY loaded_at DESC, version DESC LIMIT @limit"
        )
        rows = await self._rows(query.tenant_id, LOADS, sql, parameters)
        return [CostChangesV1(tenant_id=query.tenant_id, changes=tuple(map(_change, rows)))]

    async def on_get_cost_sources(self, query: GetCostSourcesV1, _: Context) -> Sequence[Message]:
        """The loads know it: a row for each period of each, partitioned by when it came."""
        sql = (
            "SELECT provider AS source, MAX(billing_period) AS newest_period,"  # noqa: S608  our own words
            " MAX(loaded_at) AS loaded_at FROM {table}"
            f" WHERE loaded_at >= @since GROUP BY provider ORDER BY provider LIMIT {MOST_SOURCES}"
        )
        rows = await self._rows(query.tenant_id, LOADS, sql, {"since": query.loaded_since})
        sources = tuple(CostSourcePart(**row) for row in rows)
        return [CostSourcesV1(tenant_id=query.tenant_id, sources=sources)]

    async def _rows(
        self, tenant: TenantId, table: str, sql: str, parameters: Mapping[str, object]
    ) -> list[dict[str, Any]]:
        """None when nothing has been loaded yet."""
        path = f"`{self._warehouse.project}.{tenant}.{table}`"
        if table not in await self._warehouse.tables(str(tenant)):
            return []
        return await self._warehouse.query(
            sql.replace("{table}", path), parameters, max_bytes_billed=MOST_BYTES
        )


def _sums(query: GetCostV1, dimensions: Sequence[str]) -> str:
    keys = [f"COALESCE({sql}, '') AS key_{n}" for n, sql in enumerate(dimensions)]
    names = [f"key_{n}" for n in range(len(dimensions))]
    provider = " AND x_provider = @provider" if query.provider else ""
    return (
        f"SELECT {', '.join([*keys, 'BillingCurrency AS currency'])},"  # noqa: S608  our own names
        " SUM(BilledCost) AS billed_cost, SUM(EffectiveCost) AS effective_cost,"
        " SUM(ListCost) AS list_cost, SUM(ContractedCost) AS contracted_cost,"
        " COUNT(*) AS charges FROM {table}"
        " WHERE ChargePeriodStart >= TIMESTAMP(@first) AND ChargePeriodStart < TIMESTAMP(@after)"
        f"{provider} GROUP BY {', '.join([*names, 'currency'])}"
        f" ORDER BY {', '.join(['effective_cost DESC', *names])} LIMIT @limit"
    )


def _row(row: Mapping[str, Any], keys: int) -> CostRowPart:
    sums = {name: value for name, value in row.items() if not name.startswith("key_")}
    return CostRowPart(keys=tuple(row[f"key_{n}"] for n in range(keys)), **sums)


def _change(row: Mapping[str, Any]) -> CostChangePart:
    return CostChangePart(
        provider=row["provider"],
        billing_account_id=row["billing_account_id"],
        billing_period=row["billing_period"],
        currency=row["currency"],
        version=row["version"],
        billed_before=row["billed_before"],
        billed_after=row["billed_cost"],
        effective_before=row["effective_before"],
        effective_after=row["effective_cost"],
        period_closed=row["period_closed"],
        loaded_at=row["loaded_at"],
    )


def _unknown(tenant: TenantId, name: str) -> CommandRefusedV1:
    detail = f"group_by: {name[:100]!r} is none of {DIMENSIONS}"
    return CommandRefusedV1(tenant_id=tenant, code="invalid_request", detail=detail)
