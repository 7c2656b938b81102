"""Opens a tenant's stored credential for a step: asked for each time, kept nowhere."""

import json
from collections.abc import Mapping

from contracts.credentials import CredentialV1, GetCredentialV1
from contracts.identifiers import CredentialId, TenantId
from libs.bus.errors import NoAnswerError, RefusedError, TooManyQuestionsError
from libs.bus.requester import Requester
from libs.vault.vault import CannotOpenError, KmsUnavailableError, Purpose, Vault
from services.executor.concealing import conceal
from services.executor.steps.step import Credential, StepError, StepRetryError

PATIENCE_SECONDS = 10.0


class StoredCredentials:
    """Asks the tenant service for the ciphertext, and KMS to open it."""

    def __init__(self, requester: Requester, vault: Vault) -> None:
        self._requester = requester
        self._vault = vault

    async def open(self, tenant_id: TenantId, credential_id: CredentialId) -> Credential:
        found = await self.sealed(tenant_id, credential_id)
        provider = found.credential.provider.value
        try:
            secret = await self._vault.open(
                found.sealed, Purpose(tenant_id, provider, credential_id)
            )
        except CannotOpenError:
            detail = f"credential {credential_id} cannot be opened; store it again"
            raise StepError("credential_unreadable", detail) from None
        except KmsUnavailableError as error:
            detail = f"credential {credential_id} cannot be opened now: Cloud KMS does not answer"
            raise StepRetryError("credential_unavailable", detail) from error
        fields = _fields(secret, credential_id)
        conceal(fields)
        return Credential(provider, fields)

    async def sealed(self, tenant_id: TenantId, credential_id: CredentialId) -> CredentialV1:
        question = GetCredentialV1(tenant_id=tenant_id, credential_id=credential_id)
        try:
            return await self._requester.ask(question, CredentialV1, within=PATIENCE_SECONDS)
        except RefusedError as error:
            raise StepError(error.refusal.code, error.refusal.detail) from None
        except (NoAnswerError, TooManyQuestionsError) as error:
            raise StepRetryError("credential_unavailable", str(error)) from None


def _fields(secret: bytes, credential_id: CredentialId) -> Mapping[str, str]:
    """A credential is sealed as a JSON object; what does not read so says nothing of itself."""
    try:
        body = json.loads(secret)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        detail = f"credential {credential_id} is not in a form this release reads; store it again"
        raise StepError("credential_unreadable", detail)
    return {
        str(name): value if isinstance(value, str) else json.dumps(value)
        for name, value in body.items()
    }
