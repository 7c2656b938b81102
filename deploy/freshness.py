"""Says which pipelines used to succeed and have not for a while; one log line each.

    python -m deploy.freshness --hours 26

Run it by a schedule: an alert waits for its lines. Exit codes: 0 when all is fresh,
1 when something is stale, 3 when BigQuery could not be asked.
"""

import argparse
import asyncio
import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from libs.clock import system_clock
from libs.settings import ServiceSettings, load
from libs.telemetry import logs
from libs.warehouse.errors import WarehouseError
from libs.warehouse.warehouse import Warehouse, WarehouseSettings

LOG = logging.getLogger("deploy.freshness")
STALE, FAILED = 1, 3
REMEMBERED_DAYS = 30
MOST = 1000
SQL = """
SELECT tenant_id, pipeline_id, MAX(end_time) AS succeeded
FROM `{project}.tenants.tenant_pipeline_runs`
WHERE status = 'COMPLETED' AND end_time >= @remembered
GROUP BY tenant_id, pipeline_id
HAVING MAX(end_time) < @fresh
ORDER BY succeeded
"""


class NotThereError(WarehouseError):
    def __init__(self) -> None:
        super().__init__("there is no `tenants` dataset: call POST /api/v1/admin/bootstrap first")


@dataclass(frozen=True, slots=True)
class Stale:
    """A pipeline and when it last succeeded."""

    tenant_id: str
    pipeline_id: str
    succeeded: datetime


async def stale(warehouse: Warehouse, now: datetime, hours: float) -> Sequence[Stale]:
    if not await warehouse.tables("tenants"):
        raise NotThereError
    rows = await warehouse.query(
        SQL.replace("{project}", warehouse.project),
        {
            "remembered": now - timedelta(days=REMEMBERED_DAYS),
            "fresh": now - timedelta(hours=hours),
        },
        limit=MOST,
    )
    return [Stale(r["tenant_id"], r["pipeline_id"], r["succeeded"]) for r in rows]


async def _report(settings: ServiceSettings, hours: float) -> int:
    warehouse = Warehouse.connect(
        WarehouseSettings(
            settings.gcp_project_id, settings.bigquery_location, settings.bigquery_endpoint
        )
    )
    try:
        found = await stale(warehouse, system_clock(), hours)
    except WarehouseError as error:
        LOG.error("freshness is unknown: %s", error)  # noqa: TRY400  its text says all
        return FAILED
    finally:
        await warehouse.close()
    for one in found:
        LOG.warning(
            "pipeline %s last succeeded at %s",
            one.pipeline_id,
            one.succeeded.isoformat(),
            extra={"tenant_id": one.tenant_id},
        )
    return STALE if found else 0


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m deploy.freshness")
    parser.add_argument("--project", help="otherwise GCP_PROJECT_ID")
    parser.add_argument("--hours", type=float, default=26.0, help="how long a success is fresh")
    chosen = parser.parse_args(argv)
    settings = load(ServiceSettings, project=chosen.project)
    logs.configure("freshness", settings.log_level.value)
    return asyncio.run(_report(settings, chosen.hours))


if __name__ == "__main__":
    sys.exit(main())
