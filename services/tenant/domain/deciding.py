"""What comes of a decision, and the refusals that all of them share."""

from contracts.identifiers import TenantId
from contracts.message import Message
from contracts.platform import CommandRefusedV1
from services.tenant.domain.facts import Fact

Outcome = tuple[tuple[Fact, ...], tuple[Message, ...]]


def refuse(tenant_id: TenantId, code: str, detail: str) -> Outcome:
    return (), (CommandRefusedV1(tenant_id=tenant_id, code=code, detail=detail),)


def unknown(tenant: TenantId) -> Outcome:
    return refuse(tenant, "tenant_not_found", f"there is no tenant {tenant}")
