"""Questions to the views, one tenant at a time. A tenant's id is bound here, in one place."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from contracts.audit import PLATFORM
from contracts.identifiers import TenantId
from libs.warehouse.warehouse import Warehouse
from services.audit_log.views import VIEWS

Row = Mapping[str, Any]
SHOWN = timedelta(days=30)
"""How far back lists go that nobody has said it of; what was recorded before is not even read."""

_VIEWS = {view.name: view.query for view in VIEWS if view.dataset == "tenants"}
_LOGS = frozenset({"run_log", "step_log", "dq_log", "lineage_log"})
_NAMED = re.compile(r"`\{project\}\.tenants\.(\w+)`")


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
        since: datetime | None = None,
    ) -> list[dict[str, Any]]:
        """`tail` orders and limits; `around` is SQL about the query, which stays of one tenant.

        `since` is for views of the typed logs, which are then read from then on only.
        """
        whose = "tenant_id IS NULL" if tenant == PLATFORM else "tenant_id = @tenant_id"
        where = " AND ".join([whose, *conditions.where])
        if conditions.once:
            rank = f"PARTITION BY {conditions.once} ORDER BY recorded_at, chain_id"
            where += f" QUALIFY ROW_NUMBER() OVER ({rank}) = 1"
        bound = {**conditions.values, "tenant_id": str(tenant)}
        source = f"`{{project}}.tenants.{view}`"
        if since is not None:
            source, bound["recorded_from"] = _since(view, whose), since
        source = source.replace("{project}", self._warehouse.project)
        query = f"SELECT {columns} FROM {source} WHERE {where} {tail}"  # noqa: S608  our names
        return await self._warehouse.query(around.replace("{query}", query), bound)


def _since(name: str, whose: str) -> str:
    """SQL of a view as it would be had nothing been recorded before.

    Partitions cannot be chosen through a view that picks rows: it is unfolded down to its logs.
    """
    if name in _LOGS:
        log = f"`{{project}}.tenants.{name}`"
        return f"(SELECT * FROM {log} WHERE {whose} AND recorded_at >= @recorded_from)"  # noqa: S608
    if name in _VIEWS:
        return f"({_NAMED.sub(lambda found: _since(found[1], whose), _VIEWS[name])})"
    return f"`{{project}}.tenants.{name}`"
