"""Endpoints for provider credentials. They go in and never come out."""

from time import monotonic
from uuid import uuid4

from pydantic import Field, JsonValue, ValidationError

from contracts.credentials import (
    CredentialAction,
    CredentialDeletedV1,
    CredentialListV1,
    CredentialPart,
    CredentialStoredV1,
    CredentialTestedV1,
    DeleteCredentialV1,
    ListCredentialsV1,
    Provider,
    RewrapCredentialV1,
    SealedPart,
    StoreCredentialV1,
    TestCredentialV1,
)
from contracts.datasets import DatasetRegisteredV1, RegisterDatasetV1
from contracts.identifiers import CredentialId, DatasetName, TenantId
from contracts.message import Part
from libs.vault.vault import KmsUnavailableError, Purpose
from libs.web.problem import Fault, Problem, invalid
from services.gateway.api.edge import Edge
from services.gateway.api.endpoint import Body, Call, Who, endpoint
from services.gateway.credentials import plaintext
from services.gateway.idempotency import answer_anew

PATH = "/api/v1/tenants/{tenant_id}/credentials"
UNTRIED = ("credential_not_found", "credential_unreadable")
TRYING_SECONDS = 15.0
REWRAPPING_SECONDS = 120.0
"""For all of a tenant's; a load balancer's patience is longer."""


class CredentialBody(Body):
    holds_secrets = True
    provider: Provider
    credentials: dict[str, JsonValue] = Field(repr=False, max_length=50)
    """The fields that the provider's credentials have; a service account's JSON as it is."""
    credential_id: CredentialId | None = None
    """A name for it; the provider's in lower case when absent. The same name replaces it."""


class CredentialStored(Part):
    tenant_id: TenantId
    credential_id: CredentialId
    provider: Provider
    action: CredentialAction
    dataset_status: str
    """READY, when the dataset for what is loaded with it is there; else why not."""


class NotRewrapped(Part):
    credential_id: CredentialId
    code: str
    detail: str


class Rewrapped(Part):
    tenant_id: TenantId
    rewrapped: int
    """How many are done."""
    done: tuple[CredentialId, ...]
    """Kept under the new wrapping."""
    failed: tuple[NotRewrapped, ...]
    """Still under the old one, as far as is known; the others are done all the same."""


class CredentialRoutes:
    def __init__(self, edge: Edge) -> None:
        self._edge = edge

    @endpoint(
        "POST",
        PATH,
        Who.TENANT,
        errors=("tenant_not_found", "too_many_credentials", "encryption_unavailable"),
        example={
            "provider": "OPENAI",
            "credentials": {"api_key": "sk-0123456789abcdefghij"},
        },
    )
    async def store(
        self, call: Call, tenant_id: TenantId, body: CredentialBody
    ) -> CredentialStored:
        """Store a credential, or replace the one of that name. It is never shown again."""
        tenant = call.own(tenant_id)
        name = body.credential_id or CredentialId(body.provider.value.lower())
        command = StoreCredentialV1(
            tenant_id=tenant,
            credential_id=name,
            provider=body.provider,
            sealed=await self._seal(tenant, name, body),
            requested_by=call.who(),
        )
        stored = await self._edge.questions.ask(command, CredentialStoredV1)
        return CredentialStored(
            tenant_id=tenant,
            credential_id=name,
            provider=stored.provider,
            action=stored.action,
            dataset_status=await self._prepare_dataset(call, body.provider),
        )

    @endpoint("GET", PATH, Who.TENANT, errors=("tenant_not_found",))
    async def list(self, call: Call, tenant_id: TenantId) -> CredentialListV1:
        """List what is known of the credentials: everything but the secrets."""
        query = ListCredentialsV1(tenant_id=call.own(tenant_id))
        return await self._edge.questions.ask(query, CredentialListV1)

    @endpoint(
        "DELETE",
        PATH + "/{credential_id}",
        Who.TENANT,
        status=204,
        errors=("tenant_not_found", "credential_not_found"),
    )
    async def delete(self, call: Call, tenant_id: TenantId, credential_id: CredentialId) -> None:
        """Destroy a credential: its ciphertext is gone, wherever it lay."""
        command = DeleteCredentialV1(
            tenant_id=call.own(tenant_id), credential_id=credential_id, requested_by=call.who()
        )
        await self._edge.questions.ask(command, CredentialDeletedV1)

    @endpoint(
        "POST",
        PATH + "/{credential_id}/test",
        Who.TENANT,
        errors=("tenant_not_found", *UNTRIED),
    )
    async def test(
        self, call: Call, tenant_id: TenantId, credential_id: CredentialId
    ) -> CredentialTestedV1:
        """Try a credential with its provider, where there is something to try it with."""
        command = TestCredentialV1(
            tenant_id=call.own(tenant_id), credential_id=credential_id, requested_by=call.who()
        )
        return await self._edge.questions.ask(command, CredentialTestedV1, within=TRYING_SECONDS)

    @endpoint(
        "POST",
        "/api/v1/admin/tenants/{tenant_id}/credentials/rewrap",
        Who.ADMIN,
        errors=("tenant_not_found",),
    )
    async def rewrap(self, call: Call, tenant_id: TenantId) -> Rewrapped:
        """Have a tenant's credentials wrapped by the newest version of the KMS key.

        Nothing is entered again. Once none fails with any tenant, the old version may go.
        Repeating it does no harm, so a repeat is carried out anew, whatever its Idempotency-Key.
        """
        answer_anew()
        found = await self._edge.questions.ask(
            ListCredentialsV1(tenant_id=tenant_id), CredentialListV1
        )
        done: list[CredentialId] = []
        failed: list[NotRewrapped] = []
        ends_at = monotonic() + REWRAPPING_SECONDS
        for part in found.credentials:
            try:
                await self._rewrap(call, tenant_id, part, ends_at - monotonic())
            except Problem as problem:
                failed.append(_not_rewrapped(part, problem))
            else:
                done.append(part.credential_id)
        return Rewrapped(
            tenant_id=tenant_id, rewrapped=len(done), done=tuple(done), failed=tuple(failed)
        )

    async def _rewrap(
        self, call: Call, tenant_id: TenantId, part: CredentialPart, left: float
    ) -> None:
        """Returns once the tenant service keeps it."""
        if left <= 0:
            raise Problem(504, "no_answer_yet", "There was no time left to begin; repeat it.")
        command = RewrapCredentialV1(
            tenant_id=tenant_id,
            credential_id=part.credential_id,
            requested_by=call.who("admin"),
        )
        stored = await self._edge.questions.ask(
            command,
            CredentialStoredV1,
            within=min(TRYING_SECONDS, left),
            id_=str(uuid4()),
            may_be_passed_on=True,
        )
        kept = stored.credential_id, stored.action
        if kept != (part.credential_id, CredentialAction.REWRAPPED):
            raise Problem(409, "credential_changed", "It was stored anew meanwhile; repeat it.")

    async def _seal(self, tenant: TenantId, name: CredentialId, body: CredentialBody) -> SealedPart:
        try:
            secret = plaintext(body.provider, body.credentials)
        except ValidationError as error:
            raise _misshapen(body.provider, invalid(error)) from None
        try:
            return await self._edge.vault.seal(secret, Purpose(tenant, body.provider.value, name))
        except KmsUnavailableError:
            raise Problem(
                503,
                "encryption_unavailable",
                "The credential cannot be encrypted right now and was not kept; try again.",
                headers={"Retry-After": "1"},
            ) from None

    async def _prepare_dataset(self, call: Call, provider: Provider) -> str:
        """Where loads with this credential go; without it the credential is stored all the same."""
        if provider is Provider.GENERIC:
            return "NONE"
        command = RegisterDatasetV1(
            tenant_id=call.tenant,
            dataset=DatasetName(f"{call.tenant}_raw_{provider.value.lower()}"),
            requested_by=call.who(),
        )
        try:
            await self._edge.questions.ask(
                command,
                DatasetRegisteredV1,
                within=self._edge.settings.provision_timeout_seconds,
            )
        except Problem as problem:
            return f"MISSING: {problem.detail}"
        return "READY"


def _not_rewrapped(part: CredentialPart, problem: Problem) -> NotRewrapped:
    return NotRewrapped(credential_id=part.credential_id, code=problem.code, detail=problem.detail)


def _misshapen(provider: Provider, found: Problem) -> Problem:
    faults = [Fault(f"/credentials{fault.pointer}", fault.detail) for fault in found.errors]
    detail = f"These are not credentials of {provider}; see errors for each field."
    return Problem(400, "invalid_request", detail, faults)
