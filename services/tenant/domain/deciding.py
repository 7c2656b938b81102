"""What comes of a decision, and the refusals that all of them share."""

from contracts.identifiers import TenantId
from contracts.message import Message
from contracts.platform import CommandRefusedV1
from services.tenant.domain.facts import Fact
from services.tenant.domain.tenant import Tenant

Outcome = tuple[tuple[Fact, ...], tuple[Message, ...]]
NOTHING: Outcome = ((), ())


def refuse(tenant_id: TenantId, code: str, detail: str) -> Outcome:
    return (), (CommandRefusedV1(tenant_id=tenant_id, code=code, detail=detail),)


def unknown(tenant: TenantId) -> Outcome:
    return refuse(tenant, "tenant_not_found", f"there is no tenant {tenant}")


def wrong_status(state: Tenant, tenant: TenantId, wanted: str) -> Outcome:
    if not state.exists:
        return unknown(tenant)
    detail = f"tenant {tenant} is {state.status} and cannot be {wanted}"
    return refuse(tenant, "wrong_status", detail)
