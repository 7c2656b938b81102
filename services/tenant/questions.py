"""Answers from the tenants' log; nothing here changes anything."""

from collections.abc import Sequence
from dataclasses import dataclass

from contracts.credentials import (
    CredentialListV1,
    CredentialV1,
    GetCredentialV1,
    ListCredentialsV1,
)
from contracts.identifiers import InvalidIdentifierError, TenantId
from contracts.keys import FindKeyV1, KeyFoundV1, KeyListV1, ListKeysV1
from contracts.message import Message
from contracts.platform import CommandRefusedV1
from contracts.tenants import GetTenantV1, ListTenantsV1, TenantListV1, TenantV1
from libs.bus.message import Context
from libs.bus.router import Router
from libs.slotlog.writer import Writer
from services.tenant.ciphertexts import Ciphertexts
from services.tenant.domain.tenant import Tenant


@dataclass(frozen=True, slots=True)
class Questions:
    """The tenant service's answers."""

    tenants: Writer[Tenant]
    ciphertexts: Ciphertexts

    def register(self, router: Router) -> None:
        router.on(FindKeyV1)(self.on_find_key)
        router.on(ListKeysV1)(self.on_list_keys)
        router.on(GetCredentialV1)(self.on_get_credential)
        router.on(ListCredentialsV1)(self.on_list_credentials)
        router.on(GetTenantV1)(self.on_get_tenant)
        router.on(ListTenantsV1)(self.on_list_tenants)

    async def on_find_key(self, query: FindKeyV1, _: Context) -> Sequence[Message]:
        state = await self.tenants.state(query.tenant_id)
        return [
            KeyFoundV1(
                tenant_id=query.tenant_id,
                key_hash=query.key_hash,
                key=state.keys.get(query.key_hash),
                tenant_status=state.status.value,
            )
        ]

    async def on_list_keys(self, query: ListKeysV1, _: Context) -> Sequence[Message]:
        state = await self.tenants.state(query.tenant_id)
        if state.profile is None:
            return [_no_tenant(query.tenant_id)]
        return [KeyListV1(tenant_id=query.tenant_id, keys=tuple(state.keys.values()))]

    async def on_get_credential(self, query: GetCredentialV1, _: Context) -> Sequence[Message]:
        state = await self.tenants.state(query.tenant_id)
        part = state.credentials.get(query.credential_id)
        if part is None:
            return [
                CommandRefusedV1(
                    tenant_id=query.tenant_id,
                    code="credential_not_found",
                    detail=f"there is no credential {query.credential_id}; store it first",
                )
            ]
        sealed = await self.ciphertexts.read(state.ciphertexts[query.credential_id])
        return [CredentialV1(tenant_id=query.tenant_id, credential=part, sealed=sealed)]

    async def on_list_credentials(self, query: ListCredentialsV1, _: Context) -> Sequence[Message]:
        state = await self.tenants.state(query.tenant_id)
        if state.profile is None:
            return [_no_tenant(query.tenant_id)]
        found = tuple(state.credentials.values())
        return [CredentialListV1(tenant_id=query.tenant_id, credentials=found)]

    async def on_get_tenant(self, query: GetTenantV1, _: Context) -> Sequence[Message]:
        part = (await self.tenants.state(query.tenant_id)).part()
        return [_no_tenant(query.tenant_id) if part is None else TenantV1(tenant=part)]

    async def on_list_tenants(self, query: ListTenantsV1, _: Context) -> Sequence[Message]:
        found = []
        async for key in self.tenants.each_key(after=query.after or ""):
            part = (await self.tenants.state(key)).part() if _is_tenant(key) else None
            if part is not None:
                found.append(part)
            if len(found) > query.limit:
                break
        page = tuple(found[: query.limit])
        more = len(found) > query.limit
        return [TenantListV1(tenants=page, next_after=page[-1].tenant_id if more else None)]


def _no_tenant(tenant: TenantId) -> Message:
    detail = f"there is no tenant {tenant}"
    return CommandRefusedV1(tenant_id=tenant, code="tenant_not_found", detail=detail)


def _is_tenant(key: str) -> bool:
    try:
        TenantId(key)
    except InvalidIdentifierError:
        return False
    return True
