"""Endpoints for the platform's operators: bootstrap, tenants, keys, ticks."""

from datetime import datetime

from pydantic import AwareDatetime, Field

from contracts.identifiers import KeyHash, TenantId
from contracts.keys import IssueKeyV1, KeyIssuedV1, KeyPart, KeyRevokedV1, RevokeKeyV1
from contracts.message import Part
from contracts.platform import BootstrapPlatformV1, PlatformBootstrappedV1
from contracts.tenants import (
    GetTenantV1,
    ListTenantsV1,
    TenantListV1,
    TenantOnboardedV1,
    TenantPart,
    TenantV1,
)
from services.gateway import keys
from services.gateway.api.edge import Edge
from services.gateway.api.endpoint import Answer, Body, Call, Query, Who, endpoint
from services.gateway.api.tenants import REGISTERING, onboarding

ADMIN = "admin"
NO_STORE = {"Cache-Control": "no-store"}


class BootstrapBody(Body):
    force_recreate_dataset: bool = False
    force_recreate_tables: bool = False
    confirm: str = ""
    """With force: the name of the dataset that may be recreated."""


class TenantBody(Body):
    tenant_id: TenantId
    company_name: str = Field(default="", max_length=200)
    admin_email: str = Field(default="", max_length=320)
    description: str = Field(default="", max_length=1000)
    subscription_plan: str = "STARTER"


class KeyBody(Body):
    tenant_id: TenantId
    description: str = Field(default="", max_length=1000)
    scopes: tuple[str, ...] = ()
    """Empty: everything its tenant may do."""
    expires_at: AwareDatetime | None = None


class KeyShown(Part):
    """A new key; its text is shown this once."""

    api_key: str
    tenant_id: TenantId
    api_key_hash: KeyHash
    last_four: str
    created_at: AwareDatetime


class AfterTenant(Query):
    after: TenantId | None = None
    """The last tenant of the page before."""


class OfTenant(Query):
    tenant_id: TenantId
    """Whose it is."""


class AdminRoutes:
    def __init__(self, edge: Edge) -> None:
        self._edge = edge

    @endpoint(
        "POST",
        "/api/v1/admin/bootstrap",
        Who.ADMIN,
        errors=("confirmation_required", "schema_conflict"),
        example={},
    )
    async def bootstrap(self, call: Call, body: BootstrapBody) -> PlatformBootstrappedV1:
        """Create or migrate the system datasets, tables and views; may be repeated."""
        return await self._edge.questions.ask(
            BootstrapPlatformV1(**body.model_dump()),
            PlatformBootstrappedV1,
            within=self._edge.settings.provision_timeout_seconds,
        )

    @endpoint(
        "POST",
        "/api/v1/admin/tenants",
        Who.ADMIN,
        status=201,
        errors=REGISTERING,
        example={"tenant_id": "acme_cloud", "subscription_plan": "PROFESSIONAL"},
    )
    async def create_tenant(self, call: Call, body: TenantBody) -> TenantOnboardedV1:
        """Create a tenant with its datasets, without a key."""
        command = onboarding(
            body.tenant_id,
            body.company_name or body.tenant_id,
            body.admin_email or f"admin@{body.tenant_id}.invalid",
            body.subscription_plan,
            by=call.who(ADMIN),
            description=body.description,
        )
        return await self._edge.questions.ask(
            command, TenantOnboardedV1, within=self._edge.settings.provision_timeout_seconds
        )

    @endpoint("GET", "/api/v1/admin/tenants", Who.ADMIN)
    async def list_tenants(self, call: Call, query: AfterTenant) -> TenantListV1:
        """List tenants, in the order of their names."""
        return await self._edge.questions.ask(ListTenantsV1(after=query.after), TenantListV1)

    @endpoint("GET", "/api/v1/admin/tenants/{tenant_id}", Who.ADMIN, errors=("tenant_not_found",))
    async def show_tenant(self, call: Call, tenant_id: TenantId) -> TenantPart:
        """Show a tenant."""
        found = await self._edge.questions.ask(GetTenantV1(tenant_id=tenant_id), TenantV1)
        return found.tenant

    @endpoint(
        "POST",
        "/api/v1/admin/api-keys",
        Who.ADMIN,
        status=201,
        errors=("tenant_not_found", "too_many_keys", "wrong_status"),
        example={"tenant_id": "acme_cloud", "description": "nightly export"},
    )
    async def create_key(self, call: Call, body: KeyBody) -> Answer[KeyShown]:
        """Issue a key for a tenant. It is shown this once."""
        key = keys.mint(body.tenant_id)
        part = key_part(key, self._edge.pepper, body.description, body.scopes, body.expires_at)
        command = IssueKeyV1(tenant_id=body.tenant_id, key=part, requested_by=call.who(ADMIN))
        issued = await self._edge.questions.ask(command, KeyIssuedV1)
        return Answer(_shown(key, issued), NO_STORE)

    @endpoint(
        "DELETE",
        "/api/v1/admin/api-keys/{key_hash}",
        Who.ADMIN,
        status=204,
        errors=("tenant_not_found", "key_not_found"),
    )
    async def revoke_key(self, call: Call, key_hash: KeyHash, query: OfTenant) -> None:
        """Revoke a key; it opens nothing within two seconds."""
        command = RevokeKeyV1(
            tenant_id=query.tenant_id, key_hash=key_hash, requested_by=call.who(ADMIN)
        )
        await self._edge.questions.ask(command, KeyRevokedV1)


def key_part(
    key: keys.ApiKey,
    pepper: bytes,
    description: str = "",
    scopes: tuple[str, ...] = (),
    expires_at: datetime | None = None,
) -> KeyPart:
    return KeyPart(
        key_hash=key.hash(pepper),
        last_four=key.last_four,
        description=description,
        scopes=scopes,
        expires_at=expires_at,
    )


def _shown(key: keys.ApiKey, issued: KeyIssuedV1) -> KeyShown:
    return KeyShown(
        api_key=key.text,
        tenant_id=issued.tenant_id,
        api_key_hash=issued.key.key_hash,
        last_four=issued.key.last_four,
        created_at=issued.created_at,
    )
