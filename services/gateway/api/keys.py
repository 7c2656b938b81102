"""Endpoints for API keys: a tenant's own, and an operator's for any tenant."""

from datetime import datetime, timedelta
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, Field

from contracts.identifiers import KeyHash, TenantId
from contracts.keys import (
    IssueKeyV1,
    KeyIssuedV1,
    KeyListV1,
    KeyPart,
    KeyRevokedV1,
    KeyRotatedV1,
    ListKeysV1,
    RevokeKeyV1,
    RotateKeyV1,
    StoredKeyPart,
)
from contracts.message import Part
from libs.web.problem import Problem
from services.gateway import keys, minting, scopes
from services.gateway.api.edge import Edge
from services.gateway.api.endpoint import Answer, Body, Call, Query, Who, endpoint
from services.gateway.api.moments import Moment
from services.gateway.auth import ACTOR
from services.gateway.authority import check_may_rotate, check_scopes, end_within

ADMIN = "admin"
OWN, ANY = "/api/v1/tenants/api-keys", "/api/v1/admin/api-keys"
NO_STORE = {"Cache-Control": "no-store"}
ISSUING = ("tenant_not_found", "too_many_keys", "key_exists", "key_expired")
DAY = 86_400


def _is_scope(value: str) -> str:
    if value not in scopes.ALL:
        msg = f"expected one of {', '.join(sorted(scopes.ALL))}"
        raise ValueError(msg)
    return value


Scope = Annotated[str, AfterValidator(_is_scope)]


class OwnKeyBody(Body):
    description: str = Field(default="", max_length=1000)
    scopes: tuple[Scope, ...] = Field(default=(), max_length=len(scopes.ALL))
    """Empty: everything its tenant may do."""
    expires_at: Moment | None = None


class KeyBody(OwnKeyBody):
    tenant_id: TenantId


class RotateBody(Body):
    overlap_seconds: int = Field(default=DAY, ge=0, le=30 * DAY)
    """How long the old key works beside the new one.

    With 0 a key that puts another in its own place cannot ask again when the answer is lost;
    later on it can, but what it makes then ends with it. An Idempotency-Key helps against both.
    """


class KeyShown(Part):
    """A new key; its text is shown this once."""

    api_key: str
    tenant_id: TenantId
    api_key_hash: KeyHash
    last_four: str
    created_at: AwareDatetime
    scopes: tuple[str, ...] = ()
    expires_at: AwareDatetime | None = None


class KeyRotated(KeyShown):
    old_api_key_hash: KeyHash
    old_key_ends_at: AwareDatetime


class KeyRow(Part):
    """What may be known of a key."""

    api_key_hash: KeyHash
    last_four: str
    description: str
    scopes: tuple[str, ...]
    is_active: bool
    created_at: AwareDatetime
    created_by: str
    expires_at: AwareDatetime | None
    revoked_at: AwareDatetime | None


class KeyRows(Part):
    tenant_id: TenantId
    keys: tuple[KeyRow, ...]


class OfTenant(Query):
    tenant_id: TenantId
    """Whose it is."""


class KeyRoutes:
    def __init__(self, edge: Edge) -> None:
        self._edge = edge

    @endpoint("GET", OWN, Who.TENANT)
    async def list_own(self, call: Call) -> KeyRows:
        """List the tenant's keys, without their secrets."""
        return await self._list(call.tenant)

    @endpoint(
        "POST",
        OWN,
        Who.TENANT,
        status=201,
        errors=(*ISSUING, "scope_exceeded"),
        example={"description": "dashboard", "scopes": ["runs:read"]},
    )
    async def create_own(self, call: Call, body: OwnKeyBody) -> Answer[KeyShown]:
        """Make another key of the tenant; it can do no more than the one that asks, nor longer."""
        actor = call.request[ACTOR]
        check_scopes(actor, body.scopes)
        ends = end_within(actor, body.expires_at)
        body = body.model_copy(update={"expires_at": ends})
        return await self._issue(call.tenant, body, call.who())

    @endpoint(
        "POST",
        OWN + "/{key_hash}/rotate",
        Who.TENANT,
        status=201,
        errors=(*ISSUING, "key_not_found", "scope_exceeded"),
        example={"overlap_seconds": 3600},
    )
    async def rotate_own(
        self, call: Call, key_hash: KeyHash, body: RotateBody
    ) -> Answer[KeyRotated]:
        """Put a new key in the place of one of the tenant's; for a while both work.

        It ends when the old one was to.
        """
        old = await self._find(call.tenant, key_hash)
        check_may_rotate(call.request[ACTOR], old.key)
        return await self._rotate(call.tenant, old, body, call.who())

    @endpoint(
        "DELETE",
        OWN + "/{key_hash}",
        Who.TENANT,
        status=204,
        errors=("key_not_found", "scope_exceeded"),
    )
    async def revoke_own(self, call: Call, key_hash: KeyHash) -> None:
        """Revoke one of the tenant's keys; it opens nothing within two seconds.

        A narrowed key revokes itself, and what can do no more than itself.
        """
        actor = call.request[ACTOR]
        if actor.scopes and actor.key_hash != key_hash:
            check_scopes(actor, (await self._find(call.tenant, key_hash)).key.scopes)
        await self._revoke(call.tenant, key_hash, call.who())

    @endpoint("GET", ANY, Who.ADMIN, errors=("tenant_not_found",))
    async def list_of(self, call: Call, query: OfTenant) -> KeyRows:
        """List the keys of a tenant, without their secrets."""
        return await self._list(query.tenant_id)

    @endpoint(
        "POST",
        ANY,
        Who.ADMIN,
        status=201,
        errors=ISSUING,
        example={"tenant_id": "acme_cloud", "description": "nightly export"},
    )
    async def create_of(self, call: Call, body: KeyBody) -> Answer[KeyShown]:
        """Issue a key for a tenant. It is shown this once."""
        call.concerns(body.tenant_id)
        return await self._issue(body.tenant_id, body, call.who(ADMIN))

    @endpoint(
        "POST",
        ANY + "/{key_hash}/rotate",
        Who.ADMIN,
        status=201,
        errors=(*ISSUING, "key_not_found"),
        example={"overlap_seconds": 3600},
    )
    async def rotate_of(
        self, call: Call, key_hash: KeyHash, query: OfTenant, body: RotateBody
    ) -> Answer[KeyRotated]:
        """Put a new key in the place of a tenant's; for a while both work.

        It ends when the old one was to.
        """
        call.concerns(query.tenant_id)
        old = await self._find(query.tenant_id, key_hash)
        return await self._rotate(query.tenant_id, old, body, call.who(ADMIN))

    @endpoint(
        "DELETE",
        ANY + "/{key_hash}",
        Who.ADMIN,
        status=204,
        errors=("tenant_not_found", "key_not_found"),
    )
    async def revoke_of(self, call: Call, key_hash: KeyHash, query: OfTenant) -> None:
        """Revoke a key; it opens nothing within two seconds."""
        call.concerns(query.tenant_id)
        await self._revoke(query.tenant_id, key_hash, call.who(ADMIN))

    async def _list(self, tenant: TenantId) -> KeyRows:
        found = await self._edge.questions.ask(ListKeysV1(tenant_id=tenant), KeyListV1)
        now = self._edge.clock()
        return KeyRows(tenant_id=tenant, keys=tuple(_row(stored, now) for stored in found.keys))

    async def _find(self, tenant: TenantId, key_hash: KeyHash) -> StoredKeyPart:
        found = await self._edge.questions.ask(ListKeysV1(tenant_id=tenant), KeyListV1)
        for stored in found.keys:
            if stored.key.key_hash == key_hash:
                return stored
        raise Problem(404, "key_not_found", f"There is no key {key_hash}.")

    async def _issue(self, tenant: TenantId, body: OwnKeyBody, by: str) -> Answer[KeyShown]:
        key = minting.mint(tenant, self._edge.pepper)
        part = minting.key_part(
            key, self._edge.pepper, body.description, body.scopes, body.expires_at
        )
        command = IssueKeyV1(tenant_id=tenant, key=part, requested_by=by)
        unheard = minting.key_lost(part.key_hash)
        issued = await self._edge.questions.ask(command, KeyIssuedV1, unheard=unheard)
        return Answer(_shown(key, issued.key, issued.created_at), NO_STORE)

    async def _rotate(
        self, tenant: TenantId, old: StoredKeyPart, body: RotateBody, by: str
    ) -> Answer[KeyRotated]:
        key = minting.mint(tenant, self._edge.pepper)
        was = old.key
        part = minting.key_part(key, self._edge.pepper, was.description, was.scopes, was.expires_at)
        command = RotateKeyV1(
            tenant_id=tenant,
            old_key_hash=was.key_hash,
            key=part,
            overlap_until=self._edge.clock() + timedelta(seconds=body.overlap_seconds),
            requested_by=by,
        )
        unheard = minting.key_lost(part.key_hash)
        done = await self._edge.questions.ask(command, KeyRotatedV1, unheard=unheard)
        rotated = KeyRotated(
            **_shown(key, done.key, done.created_at).model_dump(),
            old_api_key_hash=done.old_key_hash,
            old_key_ends_at=done.overlap_until,
        )
        return Answer(rotated, NO_STORE)

    async def _revoke(self, tenant: TenantId, key_hash: KeyHash, by: str) -> None:
        command = RevokeKeyV1(tenant_id=tenant, key_hash=key_hash, requested_by=by)
        await self._edge.questions.ask(command, KeyRevokedV1)


def _shown(key: keys.ApiKey, part: KeyPart, created_at: datetime) -> KeyShown:
    return KeyShown(
        api_key=key.text,
        tenant_id=key.tenant_id,
        api_key_hash=part.key_hash,
        last_four=part.last_four,
        created_at=created_at,
        scopes=part.scopes,
        expires_at=part.expires_at,
    )


def _row(stored: StoredKeyPart, now: datetime) -> KeyRow:
    key = stored.key
    return KeyRow(
        api_key_hash=key.key_hash,
        last_four=key.last_four,
        description=key.description,
        scopes=key.scopes,
        is_active=stored.is_active and (key.expires_at is None or key.expires_at > now),
        created_at=stored.created_at,
        created_by=stored.created_by,
        expires_at=key.expires_at,
        revoked_at=stored.revoked_at,
    )
