"""Accounts of tenants, under which their own SQL runs and can see nothing else."""

from collections import OrderedDict
from collections.abc import Callable
from hashlib import sha256

from libs.warehouse.warehouse import Warehouse

MOST_KEPT = 200


def account_id(tenant_id: str) -> str:
    """Google allows 30 characters, and not all that a tenant's id may have."""
    return f"convergence-t-{sha256(tenant_id.encode()).hexdigest()[:16]}"


def account_of(tenant_id: str, project: str) -> str:
    return email_of(account_id(tenant_id), project)


def email_of(account: str, project: str) -> str:
    """Of any service account."""
    return f"{account}@{project}.iam.gserviceaccount.com"


class OwnAccounts:
    """Each tenant's SQL runs as that tenant's account. Keeps clients of those who ran last."""

    def __init__(self, warehouse: Warehouse, act_as: Callable[[str], Warehouse]) -> None:
        self._project = warehouse.project
        self._act_as = act_as
        self._kept: OrderedDict[str, Warehouse] = OrderedDict()

    def of(self, tenant_id: str) -> Warehouse:
        if tenant_id not in self._kept:
            self._kept[tenant_id] = self._act_as(account_of(tenant_id, self._project))
            if len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)  # whoever uses it still has it
        self._kept.move_to_end(tenant_id)
        return self._kept[tenant_id]
