"""What only the executor can do for stored credentials, since only it may open them."""

from collections.abc import Sequence
from dataclasses import dataclass

from contracts.credentials import (
    CredentialRewrappedV1,
    CredentialTestedV1,
    KeepRewrappedV1,
    Provider,
    RewrapCredentialV1,
    TestCredentialV1,
)
from contracts.identifiers import TenantId
from contracts.message import Message
from contracts.platform import CommandRefusedV1
from libs.bus.errors import RetryableError
from libs.bus.message import Context, Emit, Outgoing
from libs.bus.router import Router
from libs.vault.vault import CannotOpenError, Purpose, Vault
from services.executor.credentials import StoredCredentials
from services.executor.providers import Providers
from services.executor.steps.step import StepError, StepRetryError


@dataclass(frozen=True, slots=True)
class CredentialCare:
    """Tries credentials, and wraps their data keys anew."""

    stored: StoredCredentials
    vault: Vault
    providers: Providers

    def register(self, router: Router) -> None:
        router.on(TestCredentialV1)(self.on_test)
        router.on(RewrapCredentialV1)(self.on_rewrap)

    async def on_test(self, command: TestCredentialV1, _: Context) -> Sequence[Message]:
        tenant, name = command.tenant_id, command.credential_id
        try:
            credential = await self.stored.open(tenant, name)
        except StepError as error:
            return [_refused(tenant, error)]
        provider = Provider(credential.provider)
        tried = await self.providers.attempt(provider, credential.fields)
        return [
            CredentialTestedV1(
                tenant_id=tenant,
                credential_id=name,
                provider=provider,
                verdict=tried.verdict,
                detail=tried.detail,
                requested_by=command.requested_by,
            )
        ]

    async def on_rewrap(self, command: RewrapCredentialV1, context: Context) -> Sequence[Emit]:
        """Whoever asked is told by the tenant service, once it keeps it or why it does not."""
        tenant, name = command.tenant_id, command.credential_id
        try:
            found = await self.stored.sealed(tenant, name)
            purpose = Purpose(tenant, found.credential.provider.value, name)
            sealed = await self.vault.rewrap(found.sealed, purpose)
        except StepError as error:
            return [_refused(tenant, error)]
        except CannotOpenError as error:
            return [_refused(tenant, StepError("credential_unreadable", str(error)))]
        keep = KeepRewrappedV1(
            tenant_id=tenant,
            credential_id=name,
            provider=found.credential.provider,
            sealed=sealed,
            of=found.credential.updated_at,
            requested_by=command.requested_by,
        )
        return [
            Outgoing(keep, reply_to=context.envelope.reply_to),
            CredentialRewrappedV1(
                tenant_id=tenant, credential_id=name, requested_by=command.requested_by
            ),
        ]


def _refused(tenant: TenantId, error: StepError) -> CommandRefusedV1:
    """What may hold next time is tried again; the rest is the answer."""
    if isinstance(error, StepRetryError):
        raise RetryableError(error.detail, delay=1.0)
    return CommandRefusedV1(tenant_id=tenant, code=error.code, detail=error.detail)
