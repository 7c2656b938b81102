"""Endpoints for webhooks: where a tenant is told what happens, and what came of telling it."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import uuid4

from aiohttp import web
from pydantic import Field

from contracts.identifiers import WebhookId
from contracts.message import Part
from contracts.webhooks import (
    DeleteWebhookV1,
    ListNoticesV1,
    ListWebhooksV1,
    Notice,
    NoticeListV1,
    NoticeRaisedV1,
    NoticeSentV1,
    RotateWebhookV1,
    SaveWebhookV1,
    SendNoticeV1,
    WebhookDeletedV1,
    WebhookListV1,
    WebhookRotatedV1,
    WebhookSavedV1,
)
from libs.outgoing.addresses import check_literal, checked_url
from libs.outgoing.errors import AddressRefusedError
from libs.settings import Environment
from libs.web.problem import Fault, Problem
from services.gateway.api.edge import READING_SECONDS, Edge
from services.gateway.api.endpoint import Answer, Body, Call, Who, endpoint
from services.gateway.api.pages import LISTING, Item, MomentsQuery

PATH = "/api/v1/notifications/webhooks"
ONE = PATH + "/{webhook_id}"
UNKNOWN = ("webhook_not_found",)
OF_ONE = {**LISTING, "errors": (*LISTING["errors"], *UNKNOWN)}
NOT_STORED = {"Cache-Control": "no-store"}


class WebhookBody(Body):
    url: str = Field(min_length=8, max_length=2000)
    """An https URL on the public internet. Never shown again."""
    events: tuple[Notice, ...] = Field(min_length=1, max_length=20)
    description: str = Field(default="", max_length=1000)


class RotateBody(Body):
    overlap_hours: float = Field(default=24, ge=0, le=168)
    """How long the old secret signs too."""


class WebhookMade(Part):
    webhook_id: WebhookId
    host: str
    events: tuple[Notice, ...]
    secret: str
    """Shown once; verifies signatures of Standard Webhooks."""


class WebhookRotated(Part):
    webhook_id: WebhookId
    secret_version: int
    secret: str
    """Shown once; signs beside the old one until the overlap ends."""


class DeliveriesShown(Part):
    deliveries: tuple[NoticeSentV1, ...]
    next_cursor: str | None = None


class WebhookRoutes:
    def __init__(self, edge: Edge) -> None:
        self._edge = edge

    @endpoint(
        "POST",
        PATH,
        Who.TENANT,
        status=201,
        errors=("too_many_webhooks", "secret_unavailable"),
        example={"url": "https://hooks.acme.example/runs", "events": ["run.failed"]},
    )
    async def create(self, call: Call, body: WebhookBody) -> Answer[WebhookMade]:
        """Have an address told; the answer shows its signing secret, once."""
        self._check(body.url)
        webhook_id = WebhookId(f"wh_{uuid4().hex}")
        secret = await self._edge.signing.secret(call.tenant, webhook_id, 1)
        command = SaveWebhookV1(
            tenant_id=call.tenant,
            webhook_id=webhook_id,
            url=body.url,
            notices=body.events,
            description=body.description,
            requested_by=call.who(),
        )
        saved = await self._edge.questions.ask(command, WebhookSavedV1)
        made = WebhookMade(
            webhook_id=webhook_id, host=saved.host, events=saved.notices, secret=secret
        )
        return Answer(made, NOT_STORED)

    def _check(self, url: str) -> None:
        """Say at once what would be refused at every delivery."""
        development = self._edge.settings.environment is Environment.DEVELOPMENT
        try:
            host = checked_url(url, https_only=not development).hostname or ""
            check_literal(host, allow_private=development)
        except AddressRefusedError as error:
            detail = f"url: {error}"
            raise Problem(400, "invalid_request", detail, [Fault("/url", detail)]) from None

    @endpoint("GET", PATH, Who.TENANT)
    async def list(self, call: Call) -> WebhookListV1:
        """List the webhooks, without their URLs and secrets."""
        return await self._edge.questions.ask(ListWebhooksV1(tenant_id=call.tenant), WebhookListV1)

    @endpoint("DELETE", ONE, Who.TENANT, errors=UNKNOWN)
    async def delete(self, call: Call, webhook_id: WebhookId) -> WebhookDeletedV1:
        """Tell an address no more; what is waiting for it is dropped."""
        command = DeleteWebhookV1(
            tenant_id=call.tenant, webhook_id=webhook_id, requested_by=call.who()
        )
        return await self._edge.questions.ask(command, WebhookDeletedV1)

    @endpoint(
        "POST",
        ONE + "/rotate",
        Who.TENANT,
        errors=(*UNKNOWN, "secret_unavailable", "too_many_secrets"),
        example={},
    )
    async def rotate(
        self, call: Call, webhook_id: WebhookId, body: RotateBody
    ) -> Answer[WebhookRotated]:
        """Sign with a new secret; with the old one too, for a while."""
        command = RotateWebhookV1(
            tenant_id=call.tenant,
            webhook_id=webhook_id,
            overlap_until=self._edge.clock() + timedelta(hours=body.overlap_hours),
            requested_by=call.who(),
        )
        done = await self._edge.questions.ask(command, WebhookRotatedV1)
        secret = await self._edge.signing.secret(call.tenant, webhook_id, done.secret_version)
        shown = WebhookRotated(
            webhook_id=webhook_id, secret_version=done.secret_version, secret=secret
        )
        return Answer(shown, NOT_STORED)

    @endpoint("POST", ONE + "/test", Who.TENANT, status=202, errors=UNKNOWN)
    async def test(self, call: Call, webhook_id: WebhookId) -> NoticeRaisedV1:
        """Send a test notice."""
        command = SendNoticeV1(
            tenant_id=call.tenant, webhook_id=webhook_id, requested_by=call.who()
        )
        return await self._edge.questions.ask(command, NoticeRaisedV1)

    @endpoint(
        "POST",
        ONE + "/deliveries/{notice_id}/redeliver",
        Who.TENANT,
        status=202,
        errors=(*UNKNOWN, "notice_not_found"),
    )
    async def redeliver(self, call: Call, webhook_id: WebhookId, notice_id: str) -> NoticeRaisedV1:
        """Send a notice again, under its own id."""
        command = SendNoticeV1(
            tenant_id=call.tenant,
            webhook_id=webhook_id,
            notice_id=notice_id[:100],
            requested_by=call.who(),
        )
        return await self._edge.questions.ask(command, NoticeRaisedV1)

    @endpoint("GET", ONE + "/deliveries", Who.TENANT, answers=DeliveriesShown, **OF_ONE)
    async def deliveries(
        self, call: Call, webhook_id: WebhookId, query: MomentsQuery
    ) -> web.StreamResponse:
        """List the tries to deliver, the newest first.

        Of the last 30 days unless `from` says otherwise; NDJSON gives every page of the same.
        """
        known = await self._edge.questions.ask(ListWebhooksV1(tenant_id=call.tenant), WebhookListV1)
        if webhook_id not in {one.webhook_id for one in known.webhooks}:
            raise Problem(404, "webhook_not_found", f"There is no webhook {webhook_id}.")

        async def fetch(after: str, limit: int) -> tuple[Sequence[Item], str]:
            wanted = ListNoticesV1(
                tenant_id=call.tenant,
                webhook_id=webhook_id,
                after=after,
                limit=limit,
                from_time=query.from_time,
                to_time=query.to_time,
            )
            found = await self._edge.questions.ask(wanted, NoticeListV1, within=READING_SECONDS)
            return [one.model_dump(mode="json") for one in found.deliveries], found.next_after

        name = f"deliveries/{webhook_id}"
        return await self._edge.pages.respond(call.request, call.tenant, name, query, fetch)
