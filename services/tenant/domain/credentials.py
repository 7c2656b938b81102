"""Provider credentials, which pass through here sealed."""

from datetime import datetime

from contracts.credentials import (
    CredentialAction,
    CredentialDeletedV1,
    CredentialPart,
    CredentialStoredV1,
    DeleteCredentialV1,
    Provider,
)
from contracts.identifiers import CredentialId, TenantId
from contracts.message import Message, Utc
from services.tenant.domain.deciding import Outcome, refuse, unknown
from services.tenant.domain.facts import CiphertextsGone, CredentialDropped, CredentialKept
from services.tenant.domain.tenant import Tenant

MOST_CREDENTIALS = 100


class KeepCredential(Message):
    """Not a contract: a credential whose ciphertext the handler has put under `ref`."""

    tenant_id: TenantId
    credential_id: CredentialId
    provider: Provider
    ref: str
    requested_by: str
    only_if_of: Utc | None = None


class ForgetCiphertexts(Message):
    """Not a contract: the handler says that these are destroyed."""

    tenant_id: TenantId
    refs: tuple[str, ...]


def keep_credential(state: Tenant, command: KeepCredential, now: datetime) -> Outcome:
    tenant, name = command.tenant_id, command.credential_id
    if not state.exists:
        return unknown(tenant)
    known = state.credentials.get(name)
    if known is None and len(state.credentials) >= MOST_CREDENTIALS:
        return refuse(
            tenant, "too_many_credentials", f"at most {MOST_CREDENTIALS}; delete one first"
        )
    if command.only_if_of is not None and not _is_of(known, command):
        detail = f"credential {name} has been replaced or deleted since"
        return refuse(tenant, "credential_changed", detail)
    rewrapped = command.only_if_of is not None
    part = CredentialPart(
        credential_id=name,
        provider=command.provider,
        created_at=known.created_at if known else now,
        updated_at=command.only_if_of or now,
    )
    event = CredentialStoredV1(
        tenant_id=tenant,
        credential_id=name,
        provider=command.provider,
        action=_action(known, rewrapped=rewrapped),
        requested_by=command.requested_by,
    )
    return (CredentialKept(part=part, ref=command.ref),), (event,)


def _is_of(known: CredentialPart | None, command: KeepCredential) -> bool:
    return (
        known is not None
        and known.updated_at == command.only_if_of
        and known.provider is command.provider
    )


def _action(known: CredentialPart | None, *, rewrapped: bool) -> CredentialAction:
    if rewrapped:
        return CredentialAction.REWRAPPED
    return CredentialAction.UPDATED if known else CredentialAction.CREATED


def delete_credential(state: Tenant, command: DeleteCredentialV1, _: datetime) -> Outcome:
    name = command.credential_id
    if name not in state.credentials:
        return refuse(command.tenant_id, "credential_not_found", f"there is no credential {name}")
    event = CredentialDeletedV1(
        tenant_id=command.tenant_id, credential_id=name, requested_by=command.requested_by
    )
    return (CredentialDropped(credential_id=name),), (event,)


def forget_ciphertexts(state: Tenant, message: ForgetCiphertexts, _: datetime) -> Outcome:
    gone = tuple(ref for ref in message.refs if ref in state.doomed)
    return ((CiphertextsGone(refs=gone),) if gone else ()), ()
