"""Questions to the views, one tenant at a time. A tenant's id is bound here, in one place."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from contracts.audit import PLATFORM
from contracts.identifiers import TenantId
from libs.warehouse.warehouse import Warehouse

Row = Mapping[str, Any]
SHOWN = timedelta(days=30)
"""How far back lists go that nobody has said it of; what was recorded before is not even read."""


@dataclass(slots=True)
class Conditions:
    """Conditions of a query, and the values bound to their parameters; absent ones fall out."""

    where: list[str] = field(default_factory=list)
    values: dict[str, object] = field(default_factory=dict)
    once: str = ""
    """Of rows that have this in common only the first that was recorded counts."""

    def recorded_since(self, at: datetime | None) -> "Conditions":
        """Read no partition of the log that ends before."""
        return self.add("recorded_at >= @recorded_from", recorded_from=at)

    def add(self, condition: str, **values: object) -> "Conditions":
        if all(value not in {None, ""} for value in values.values()):
            self.where.append(condition)
            self.values |= {n: str(v) if isinstance(v, str) else v for n, v in values.items()}
        return self


class Reader:
    """Reads views of the `tenants` dataset. Every query is of one tenant, or of the platform."""

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse

    async def select(  # noqa: PLR0913  the parts of a query
        self,
        view: str,
        tenant: TenantId,
        conditions: Conditions,
        *,
        columns: str = "*",
        tail: str = "",
        around: str = "{query}",
    ) -> list[dict[str, Any]]:
        """`tail` orders and limits; `around` is SQL about the query, which stays of one tenant."""
        whose = "tenant_id IS NULL" if tenant == PLATFORM else "tenant_id = @tenant_id"
        where = " AND ".join([whose, *conditions.where])
        if conditions.once:
            rank = f"PARTITION BY {conditions.once} ORDER BY recorded_at, chain_id"
            where += f" QUALIFY ROW_NUMBER() OVER ({rank}) = 1"
        query = (
            f"SELECT {columns} FROM `{self._warehouse.project}.tenants.{view}`"  # noqa: S608  our names
            f" WHERE {where} {tail}"
        )
        bound = {**conditions.values, "tenant_id": str(tenant)}
        return await self._warehouse.query(around.replace("{query}", query), bound)
