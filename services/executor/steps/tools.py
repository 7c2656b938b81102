"""What step types are made of: the world outside, opened once for all of them."""

from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from contracts.runs import RunRequestedV1
from libs.clock import Clock
from libs.cloud_auth.azure import LOGIN
from libs.objects import Objects
from libs.outgoing.client import Outgoing
from libs.slotlog.bucket import Bucket
from libs.warehouse.accounts import OwnAccounts
from libs.warehouse.warehouse import Warehouse
from services.executor.steps.isolation import Isolation
from services.executor.steps.step import Credentials

TIB = 1 << 40


@dataclass(frozen=True, slots=True)
class Tools:
    """Safe to share between runs."""

    warehouse: Warehouse
    files: Bucket
    """For files of a run, below `StepRun.work_folder`."""
    data: Objects
    """What tenants deliver, and what has been made of it."""
    credentials: Credentials
    outgoing: Outgoing
    """The only way to call a URL that a tenant gave."""
    clock: Clock
    development: bool = False
    """Whether local folders and plain http are allowed."""
    landing_folder: Path | None = None
    """Deliveries on this machine's disk, a folder per tenant; only in development."""
    azure_login: str = LOGIN
    """Where Microsoft lets service principals in; elsewhere only in tests."""
    price_per_tib_usd: Decimal = Decimal("6.25")
    accounts: OwnAccounts | None = None
    """Whose SQL runs as whom; None means as the executor: emulators know no accounts."""
    isolation: Isolation = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "isolation", Isolation(self.warehouse_of))

    def warehouse_of(self, request: RunRequestedV1) -> Warehouse:
        """For all that runs a tenant's SQL."""
        return self.accounts.of(request.tenant_id) if self.accounts else self.warehouse

    def price_of(self, bytes_: int) -> Decimal:
        """What BigQuery asks for a query on demand, to a hundredth of a cent."""
        return (self.price_per_tib_usd * bytes_ / TIB).quantize(Decimal("0.0001"))
