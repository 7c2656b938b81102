"""Messages about what tenants want to be told, and where: webhooks and their deliveries."""

from enum import StrEnum

from pydantic import Field

from contracts.identifiers import RunId, TenantId, WebhookId
from contracts.message import Command, Event, Part, Query, Reply, Service, Utc


class Notice(StrEnum):
    """What a webhook may be told."""

    RUN_FINISHED = "run.finished"
    """A run completed or was cancelled."""
    RUN_FAILED = "run.failed"
    QUOTA_WARNING = "quota.warning"
    """80 % of a limit is used."""
    QUOTA_EXHAUSTED = "quota.exhausted"
    """100 % of a limit is used."""
    DQ_FAILED = "dq.failed"
    SCHEMA_DRIFTED = "schema.drifted"
    """A step was given other columns than its table had."""
    TEST = "webhook.test"
    """Sent when asked for."""


class SaveWebhookV1(Command, type="webhook.save.v1", to=Service.AUDIT_LOG):
    tenant_id: TenantId
    webhook_id: WebhookId
    url: str = Field(min_length=8, max_length=2000)
    """May hold a secret, so it is told to nobody else and not kept in the event log."""
    notices: tuple[Notice, ...] = Field(min_length=1, max_length=20)
    description: str = Field(default="", max_length=1000)
    requested_by: str


class WebhookSavedV1(Event, type="webhook.saved.v1"):
    tenant_id: TenantId
    webhook_id: WebhookId
    host: str
    notices: tuple[Notice, ...]
    requested_by: str


class DeleteWebhookV1(Command, type="webhook.delete.v1", to=Service.AUDIT_LOG):
    tenant_id: TenantId
    webhook_id: WebhookId
    requested_by: str


class WebhookDeletedV1(Event, type="webhook.deleted.v1"):
    tenant_id: TenantId
    webhook_id: WebhookId
    requested_by: str


class RotateWebhookV1(Command, type="webhook.rotate.v1", to=Service.AUDIT_LOG):
    """Sign with the next secret; with the old one too, until `overlap_until`."""

    tenant_id: TenantId
    webhook_id: WebhookId
    overlap_until: Utc
    requested_by: str


class WebhookRotatedV1(Event, type="webhook.rotated.v1"):
    tenant_id: TenantId
    webhook_id: WebhookId
    secret_version: int
    overlap_until: Utc
    requested_by: str


class SendNoticeV1(Command, type="notice.send.v1", to=Service.AUDIT_LOG):
    """Send an earlier notice again, or a test when no notice is named."""

    tenant_id: TenantId
    webhook_id: WebhookId
    notice_id: str = Field(default="", max_length=100)
    requested_by: str


class NoticeRaisedV1(Event, type="notice.raised.v1"):
    """It will be sent, and sent again until it is taken."""

    tenant_id: TenantId
    webhook_id: WebhookId
    notice_id: str
    notice: Notice
    run_id: RunId | None = None


class NoticeSentV1(Event, type="notice.sent.v1"):
    """One try to deliver; the delivery log is made of these."""

    tenant_id: TenantId
    webhook_id: WebhookId
    notice_id: str
    """The `webhook-id` of Standard Webhooks: the same for every try."""
    notice: Notice
    host: str
    try_number: int = Field(ge=1)
    delivered: bool
    http_status: int = 0
    """0 when no answer came."""
    duration_ms: int = Field(default=0, ge=0)
    detail: str = ""
    sent_at: Utc
    next_try_at: Utc | None = None
    """Absent when it was delivered or is given up."""


class WebhookPart(Part):
    """What may be shown of a webhook: neither its URL nor its secret."""

    webhook_id: WebhookId
    host: str
    notices: tuple[Notice, ...]
    description: str = ""
    is_active: bool
    secret_version: int
    previous_secret_until: Utc | None = None
    waiting: int = 0
    """Notices that are still to be delivered."""
    created_at: Utc
    dropped: int = 0
    """Notices that were never sent, because too many were waiting."""


class ListWebhooksV1(Query, type="webhook.list.v1", to=Service.AUDIT_LOG):
    tenant_id: TenantId


class WebhookListV1(Reply, type="webhook.page.v1"):
    tenant_id: TenantId
    webhooks: tuple[WebhookPart, ...]


class ListNoticesV1(Query, type="notice.list.v1", to=Service.AUDIT_LOG):
    tenant_id: TenantId
    webhook_id: WebhookId
    after: str = ""
    limit: int = Field(default=50, ge=1, le=1000)
    from_time: Utc | None = None
    """When absent: 30 days before `to_time`, or before now."""
    to_time: Utc | None = None


class NoticeListV1(Reply, type="notice.page.v1"):
    """The delivery log, newest try first."""

    tenant_id: TenantId
    deliveries: tuple[NoticeSentV1, ...]
    next_after: str = ""
