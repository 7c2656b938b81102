"""One function per message: decide, do what the world must do, return what to say.

Whatever is begun is in the tenant's log before the world is touched, so a
message that comes again after a crash goes on where the first had got to.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from contracts.credentials import DeleteCredentialV1, KeepRewrappedV1, StoreCredentialV1
from contracts.datasets import RegisterDatasetV1
from contracts.envelope import Wire
from contracts.identifiers import TenantId
from contracts.keys import IssueKeyV1, RevokeKeyV1, RotateKeyV1
from contracts.message import Message
from contracts.platform import CommandRefusedV1
from contracts.tenants import (
    ChangePlanV1,
    OffboardTenantV1,
    OnboardTenantV1,
    ProvisionTenantV1,
    ResumeTenantV1,
    SuspendTenantV1,
)
from libs.bus.message import Context, Emit
from libs.bus.router import Router
from libs.slotlog.writer import Writer
from services.tenant.ciphertexts import Ciphertexts
from services.tenant.domain.credentials import ForgetCiphertexts, KeepCredential
from services.tenant.domain.lifecycle import FinishOffboarding
from services.tenant.domain.onboarding import FinishProvisioning, GiveUpOnboarding, may_register
from services.tenant.domain.tenant import Tenant
from services.tenant.provisioning import DatasetTakenError, Provisioner
from services.tenant.questions import Questions

PlainCommand = (
    SuspendTenantV1 | ResumeTenantV1 | ChangePlanV1 | IssueKeyV1 | RotateKeyV1 | RevokeKeyV1
)


class Sender(Protocol):
    """Publishes what is to be known before the handler ends."""

    async def send(self, *emits: Wire) -> object: ...


@dataclass(frozen=True, slots=True)
class Handlers:
    """The tenant service's handlers, over its log and what lies beside it."""

    tenants: Writer[Tenant]
    provisioner: Provisioner
    ciphertexts: Ciphertexts
    sender: Sender

    def register(self, router: Router) -> None:
        router.on(OnboardTenantV1)(self.on_onboard)
        router.on(ProvisionTenantV1)(self.on_provision)
        router.on(OffboardTenantV1)(self.on_offboard)
        router.on(RegisterDatasetV1)(self.on_register_dataset)
        router.on(StoreCredentialV1, KeepRewrappedV1)(self.on_store_credential)
        router.on(DeleteCredentialV1)(self.on_delete_credential)
        router.on(SuspendTenantV1, ResumeTenantV1, ChangePlanV1)(self.on_command)
        router.on(IssueKeyV1, RotateKeyV1, RevokeKeyV1)(self.on_command)
        Questions(self.tenants, self.ciphertexts).register(router)

    async def on_command(self, command: PlainCommand, context: Context) -> Sequence[Emit]:
        return await self.tenants.submit(command.tenant_id, command, context.envelope)

    async def on_onboard(self, command: OnboardTenantV1, context: Context) -> Sequence[Emit]:
        tenant = command.tenant_id
        refused = await self.tenants.submit(tenant, command, context.envelope)
        if refused:
            return refused
        try:
            await self._claim_home(tenant)
            return await self._provision(tenant, command.requested_by, context)
        except DatasetTakenError as error:
            done = GiveUpOnboarding(tenant_id=tenant, reason=str(error))
            said = await self.tenants.submit(tenant, done, context.envelope, "given up")
            await self._give_back_unless_used(tenant, tenant)
            return said

    async def _claim_home(self, tenant: TenantId) -> None:
        if (await self.tenants.state(tenant)).profile is None:
            raise DatasetTakenError(tenant)  # it was given up when it came before
        await self.provisioner.claim(tenant, tenant)

    async def on_provision(self, command: ProvisionTenantV1, context: Context) -> Sequence[Emit]:
        tenant = command.tenant_id
        try:
            if (await self.tenants.state(tenant)).exists:
                await self.provisioner.claim(tenant, tenant)
            return await self._provision(tenant, command.requested_by, context)
        except DatasetTakenError as error:
            return [_taken(tenant, error)]

    async def _provision(self, tenant: TenantId, by: str, context: Context) -> Sequence[Emit]:
        state = await self.tenants.state(tenant)
        made = await self.provisioner.make(tenant, state.datasets) if state.exists else ()
        done = FinishProvisioning(tenant_id=tenant, objects=made, requested_by=by)
        return await self.tenants.submit(tenant, done, context.envelope, "provisioned")

    async def on_register_dataset(
        self, command: RegisterDatasetV1, context: Context
    ) -> Sequence[Emit]:
        tenant, name = command.tenant_id, command.dataset
        if refusal := may_register(await self.tenants.state(tenant), command):
            await self._give_back_unless_used(tenant, name)  # it may have been begun before
            return refusal[1]
        try:
            await self.provisioner.claim(tenant, name)
            await self.provisioner.add(tenant, name)
        except DatasetTakenError as error:
            await self._give_back_unless_used(tenant, name)
            return [_taken(tenant, error)]
        said = await self.tenants.submit(tenant, command, context.envelope)
        if _refused(said):
            await self._give_back_unless_used(tenant, name)
        return said

    async def _give_back_unless_used(self, tenant: TenantId, dataset: str) -> None:
        """A name that came to nothing is there for others again."""
        if dataset not in (await self.tenants.state(tenant)).datasets:
            await self.provisioner.give_back(tenant, dataset)

    async def on_offboard(self, command: OffboardTenantV1, context: Context) -> Sequence[Emit]:
        tenant = command.tenant_id
        said = await self.tenants.submit(tenant, command, context.envelope)
        if _refused(said):
            return said
        await self.sender.send(*said)  # now, as what follows may take long
        await self._destroy_doomed(tenant, context)
        state = await self.tenants.state(tenant)
        doomed = state.datasets if state.leaving and state.leaving.drop_datasets else ()
        dropped = tuple([name for name in doomed if await self.provisioner.drop(tenant, name)])
        done = FinishOffboarding(
            tenant_id=tenant, dropped=dropped, requested_by=command.requested_by
        )
        return await self.tenants.submit(tenant, done, context.envelope, "offboarded")

    async def on_store_credential(
        self, command: StoreCredentialV1 | KeepRewrappedV1, context: Context
    ) -> Sequence[Emit]:
        tenant, name = command.tenant_id, command.credential_id
        ref = await self.ciphertexts.keep(tenant, name, context.envelope.id, command.sealed)
        keep = KeepCredential(
            tenant_id=tenant,
            credential_id=name,
            provider=command.provider,
            ref=ref,
            requested_by=command.requested_by,
            only_if_of=command.of if isinstance(command, KeepRewrappedV1) else None,
        )
        said = await self.tenants.submit(tenant, keep, context.envelope)
        if ref not in (await self.tenants.state(tenant)).ciphertexts.values():
            await self.ciphertexts.destroy(ref)
        await self._destroy_doomed(tenant, context)
        return said

    async def on_delete_credential(
        self, command: DeleteCredentialV1, context: Context
    ) -> Sequence[Emit]:
        said = await self.tenants.submit(command.tenant_id, command, context.envelope)
        await self._destroy_doomed(command.tenant_id, context)
        return said

    async def _destroy_doomed(self, tenant: TenantId, context: Context) -> None:
        """Destroy what nothing needs any more, also what an earlier crash has left."""
        doomed = (await self.tenants.state(tenant)).doomed
        for ref in doomed:
            await self.ciphertexts.destroy(ref)
        if doomed:
            done = ForgetCiphertexts(tenant_id=tenant, refs=doomed)
            await self.tenants.submit(tenant, done, context.envelope, "destroyed")


def _refused(said: Sequence[Wire]) -> bool:
    return any(wire.attributes["ce-type"] == CommandRefusedV1.wire_type for wire in said)


def _taken(tenant: TenantId, error: DatasetTakenError) -> Message:
    return CommandRefusedV1(tenant_id=tenant, code="dataset_taken", detail=str(error))
