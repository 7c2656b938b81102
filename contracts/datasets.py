"""Messages about the datasets that a tenant may use, beside its main one."""

from contracts.identifiers import DatasetName, TenantId
from contracts.message import Command, Event, Service


class RegisterDatasetV1(Command, type="dataset.register.v1", to=Service.TENANT):
    """Make a dataset `<tenant>_<name>` and let the tenant's pipelines use it; repeatable."""

    tenant_id: TenantId
    dataset: DatasetName
    requested_by: str


class DatasetRegisteredV1(Event, type="dataset.registered.v1"):
    tenant_id: TenantId
    dataset: DatasetName
    datasets: tuple[str, ...]
    """All that the tenant may use from now on."""
    requested_by: str
