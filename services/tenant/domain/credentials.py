"""Provider credentials, which pass through here sealed."""

from datetime import datetime

from contracts.credentials import (
    CredentialAction,
    CredentialDeletedV1,
    CredentialPart,
    CredentialStoredV1,
    DeleteCredentialV1,
    StoreCredentialV1,
)
from services.tenant.domain.deciding import Outcome, refuse, unknown
from services.tenant.domain.facts import CredentialDropped, CredentialKept
from services.tenant.domain.tenant import Tenant

MOST_CREDENTIALS = 100


def store_credential(state: Tenant, command: StoreCredentialV1, now: datetime) -> Outcome:
    tenant, name = command.tenant_id, command.credential_id
    if not state.exists:
        return unknown(tenant)
    known = state.credentials.get(name)
    if known is None and len(state.credentials) >= MOST_CREDENTIALS:
        return refuse(
            tenant, "too_many_credentials", f"at most {MOST_CREDENTIALS}; delete one first"
        )
    part = CredentialPart(
        credential_id=name,
        provider=command.provider,
        created_at=known.created_at if known else now,
        updated_at=now,
    )
    event = CredentialStoredV1(
        tenant_id=tenant,
        credential_id=name,
        provider=command.provider,
        action=CredentialAction.UPDATED if known else CredentialAction.CREATED,
        requested_by=command.requested_by,
    )
    return (CredentialKept(part=part, sealed=command.sealed),), (event,)


def delete_credential(state: Tenant, command: DeleteCredentialV1, _: datetime) -> Outcome:
    name = command.credential_id
    if name not in state.credentials:
        return refuse(command.tenant_id, "credential_not_found", f"there is no credential {name}")
    event = CredentialDeletedV1(
        tenant_id=command.tenant_id, credential_id=name, requested_by=command.requested_by
    )
    return (CredentialDropped(credential_id=name),), (event,)
