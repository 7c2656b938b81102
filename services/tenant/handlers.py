"""One function per message: decide, do what BigQuery must do, return what to say."""

from collections.abc import Sequence

from contracts.credentials import (
    CredentialListV1,
    CredentialV1,
    DeleteCredentialV1,
    GetCredentialV1,
    ListCredentialsV1,
    StoreCredentialV1,
)
from contracts.identifiers import InvalidIdentifierError, TenantId
from contracts.keys import (
    FindKeyV1,
    IssueKeyV1,
    KeyFoundV1,
    KeyListV1,
    ListKeysV1,
    RevokeKeyV1,
    RotateKeyV1,
)
from contracts.message import Message
from contracts.platform import CommandRefusedV1
from contracts.tenants import (
    ChangePlanV1,
    GetTenantV1,
    ListTenantsV1,
    OffboardTenantV1,
    OnboardTenantV1,
    ResumeTenantV1,
    SuspendTenantV1,
    TenantListV1,
    TenantV1,
)
from libs.bus.errors import RetryableError
from libs.bus.message import Context, Emit
from libs.bus.router import Router
from libs.slotlog.writer import Writer
from libs.warehouse.errors import WarehouseError
from libs.warehouse.warehouse import Warehouse
from services.tenant.domain.lifecycle import FinishOffboarding, FinishProvisioning
from services.tenant.domain.tenant import Tenant
from services.tenant.provisioning import objects_for

PlainCommand = (
    SuspendTenantV1
    | ResumeTenantV1
    | ChangePlanV1
    | IssueKeyV1
    | RotateKeyV1
    | RevokeKeyV1
    | StoreCredentialV1
    | DeleteCredentialV1
)


def register(router: Router, tenants: Writer[Tenant], warehouse: Warehouse) -> None:  # noqa: C901  one block per message
    @router.on(OnboardTenantV1)
    async def on_onboard(command: OnboardTenantV1, context: Context) -> Sequence[Emit]:
        refused = await tenants.submit(command.tenant_id, command, context.envelope)
        if refused:
            return refused
        try:
            await warehouse.ensure(*objects_for(command.tenant_id))
        except WarehouseError as error:
            raise RetryableError(str(error), delay=0.5) from error
        done = FinishProvisioning(command=command, datasets=(str(command.tenant_id),))
        return await tenants.submit(command.tenant_id, done, context.envelope, "provisioned")

    @router.on(OffboardTenantV1)
    async def on_offboard(command: OffboardTenantV1, context: Context) -> Sequence[Emit]:
        tenant = command.tenant_id
        said = await tenants.submit(tenant, command, context.envelope)
        state = await tenants.state(tenant)
        if state.exists or state.profile is None:
            return said
        dropped = state.datasets if command.drop_datasets else ()
        for name in dropped:
            await warehouse.drop_dataset(name)
        done = FinishOffboarding(command=command, dropped=dropped)
        return [*said, *await tenants.submit(tenant, done, context.envelope, "offboarded")]

    @router.on(
        SuspendTenantV1,
        ResumeTenantV1,
        ChangePlanV1,
        IssueKeyV1,
        RotateKeyV1,
        RevokeKeyV1,
        StoreCredentialV1,
        DeleteCredentialV1,
    )
    async def on_command(command: PlainCommand, context: Context) -> Sequence[Emit]:
        return await tenants.submit(command.tenant_id, command, context.envelope)

    @router.on(FindKeyV1)
    async def on_find_key(query: FindKeyV1, _: Context) -> Sequence[Message]:
        state = await tenants.state(query.tenant_id)
        return [
            KeyFoundV1(
                tenant_id=query.tenant_id,
                key_hash=query.key_hash,
                key=state.keys.get(query.key_hash),
                tenant_status=state.status.value,
            )
        ]

    @router.on(ListKeysV1)
    async def on_list_keys(query: ListKeysV1, _: Context) -> Sequence[Message]:
        state = await tenants.state(query.tenant_id)
        return [KeyListV1(tenant_id=query.tenant_id, keys=tuple(state.keys.values()))]

    @router.on(GetCredentialV1)
    async def on_get_credential(query: GetCredentialV1, _: Context) -> Sequence[Message]:
        state = await tenants.state(query.tenant_id)
        part = state.credentials.get(query.credential_id)
        sealed = state.sealed.get(query.credential_id)
        if part is None or sealed is None:
            detail = f"there is no credential {query.credential_id}; store it first"
            return [
                CommandRefusedV1(
                    tenant_id=query.tenant_id, code="credential_not_found", detail=detail
                )
            ]
        return [CredentialV1(tenant_id=query.tenant_id, credential=part, sealed=sealed)]

    @router.on(ListCredentialsV1)
    async def on_list_credentials(query: ListCredentialsV1, _: Context) -> Sequence[Message]:
        state = await tenants.state(query.tenant_id)
        found = tuple(state.credentials.values())
        return [CredentialListV1(tenant_id=query.tenant_id, credentials=found)]

    @router.on(GetTenantV1)
    async def on_get_tenant(query: GetTenantV1, _: Context) -> Sequence[Message]:
        part = (await tenants.state(query.tenant_id)).part()
        if part is None:
            detail = f"there is no tenant {query.tenant_id}"
            return [
                CommandRefusedV1(tenant_id=query.tenant_id, code="tenant_not_found", detail=detail)
            ]
        return [TenantV1(tenant=part)]

    @router.on(ListTenantsV1)
    async def on_list_tenants(query: ListTenantsV1, _: Context) -> Sequence[Message]:
        found = []
        async for key in tenants.each_key(after=query.after or ""):
            part = (await tenants.state(key)).part() if _is_tenant(key) else None
            if part is not None:
                found.append(part)
            if len(found) > query.limit:
                break
        page = tuple(found[: query.limit])
        more = len(found) > query.limit
        return [TenantListV1(tenants=page, next_after=page[-1].tenant_id if more else None)]


def _is_tenant(key: str) -> bool:
    try:
        TenantId(key)
    except InvalidIdentifierError:
        return False
    return True
