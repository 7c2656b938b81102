"""What each tenant has in BigQuery: datasets, data tables, and views on its own records."""

import logging
from collections.abc import Sequence
from typing import Protocol

from contracts.identifiers import TenantId
from contracts.platform import ObjectPart
from libs.bus.errors import RetryableError
from libs.warehouse.data_tables import data_tables
from libs.warehouse.errors import ForeignDatasetError, UnavailableError, WarehouseError
from libs.warehouse.schema import Dataset, Object, View
from libs.warehouse.warehouse import Warehouse

LOG = logging.getLogger(__name__)

_RECORDS = {
    "x_meta_pipeline_runs": "tenant_pipeline_runs",
    "x_meta_step_logs": "tenant_step_logs",
    "x_meta_dq_results": "tenant_dq_results",
}


class ClaimPort(Protocol):
    """Create-once claims: whoever comes first has the name."""

    async def claim(self, name: str, owner: str) -> bool: ...

    async def holds(self, name: str, owner: str) -> bool: ...

    async def release(self, name: str, owner: str) -> None: ...


class DatasetTakenError(Exception):
    """The name belongs to somebody else, so the tenant cannot have it."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"dataset {name} belongs to another; choose another name")


class Provisioner:
    """Makes datasets, tables and views; what is there already is left as it is."""

    def __init__(self, warehouse: Warehouse, claims: ClaimPort) -> None:
        self._warehouse = warehouse
        self._claims = claims

    async def claim(self, tenant: TenantId, dataset: str) -> None:
        """A dataset has one tenant: `a` may not take `a_b` when that is a tenant.

        Raises `DatasetTakenError`.
        """
        if not await self._claims.claim(f"datasets/{dataset}", str(tenant)):
            raise DatasetTakenError(dataset)

    async def give_back(self, tenant: TenantId, dataset: str) -> None:
        """Free a name that came to nothing, if the tenant has it, with what was begun of it.

        A dataset that holds something stays: nobody has put anything into one just made.
        """
        if not await self._holds(tenant, dataset):
            return
        await self._drop(tenant, dataset, only_if_empty=True)
        await self._claims.release(f"datasets/{dataset}", str(tenant))

    async def make(self, tenant: TenantId, datasets: Sequence[str]) -> tuple[ObjectPart, ...]:
        """Everything; raises `DatasetTakenError` for a dataset that is not the tenant's."""
        return await self._ensure(*objects_for(tenant, datasets))

    async def add(self, tenant: TenantId, dataset: str) -> None:
        """A further dataset alone. Raises as `make` does."""
        await self._ensure(_dataset(tenant, dataset))

    async def _ensure(self, *objects: Object) -> tuple[ObjectPart, ...]:
        try:
            results = await self._warehouse.ensure(*objects)
        except ForeignDatasetError as error:
            raise DatasetTakenError(error.name) from error
        except UnavailableError:
            raise
        except WarehouseError as error:
            raise RetryableError(str(error), delay=0.5) from error
        return tuple(ObjectPart(name=result.name, action=result.action) for result in results)

    async def drop(self, tenant: TenantId, dataset: str) -> bool:
        """Drop a dataset and all it holds. False: it is not the tenant's, and stays."""
        is_own = await self._holds(tenant, dataset) and await self._drop(tenant, dataset)
        if not is_own:
            LOG.warning("dataset %s is not %s's: it is kept", dataset, tenant)
        return is_own

    async def _holds(self, tenant: TenantId, dataset: str) -> bool:
        return await self._claims.holds(f"datasets/{dataset}", str(tenant))

    async def _drop(self, tenant: TenantId, dataset: str, *, only_if_empty: bool = False) -> bool:
        """False: it carries another's label, or none."""
        unwanted = _dataset(tenant, dataset)
        try:
            await self._warehouse.drop_dataset(unwanted, only_if_empty=only_if_empty)
        except ForeignDatasetError:
            return False
        except UnavailableError:
            raise
        except WarehouseError as error:
            raise RetryableError(str(error), delay=0.5) from error
        return True


def objects_for(tenant: TenantId, datasets: Sequence[str]) -> tuple[Object, ...]:
    """Everything to be made, in order; making it again changes nothing."""
    return (
        *(_dataset(tenant, name) for name in datasets),
        *data_tables(tenant),
        *(_own_rows(tenant, name, source) for name, source in _RECORDS.items()),
        View(tenant, "tenant_comprehensive_view", _comprehensive(tenant)),
    )


def _dataset(tenant: TenantId, name: str) -> Dataset:
    labels = {"convergence": "tenant", "convergence_tenant": str(tenant)}
    return Dataset(name, f"Data of tenant {tenant}", labels, owned=True)


def _own_rows(tenant: TenantId, name: str, source: str) -> View:
    # A tenant id is checked by its type: it cannot end the quotes it stands in.
    query = f"SELECT * FROM `{{project}}.tenants.{source}` WHERE tenant_id = '{tenant}'"  # noqa: S608
    return View(tenant, name, query)


def _comprehensive(tenant: TenantId) -> str:
    """A row per step of every run, with what was found of its data."""
    return f"""
SELECT
  r.*, s.step_id, s.step_type, s.status AS step_status, s.duration_ms, s.row_count,
  s.error_message AS step_error, q.dq_checks, q.dq_failed
FROM `{{project}}.tenants.tenant_pipeline_runs` AS r
LEFT JOIN `{{project}}.tenants.tenant_step_logs` AS s
  ON s.tenant_id = r.tenant_id AND s.pipeline_logging_id = r.pipeline_logging_id
LEFT JOIN (
  SELECT tenant_id, run_id, step_id, COUNT(*) AS dq_checks,
    COUNTIF(status != 'PASSED') AS dq_failed
  FROM `{{project}}.tenants.tenant_dq_results`
  GROUP BY tenant_id, run_id, step_id
) AS q ON q.tenant_id = s.tenant_id AND q.run_id = s.run_id AND q.step_id = s.step_id
WHERE r.tenant_id = '{tenant}'
"""  # noqa: S608  as above
