"""Messages about what was sent to addresses that tenants gave."""

from pydantic import Field

from contracts.identifiers import RunId, StepId, TenantId
from contracts.message import Event, Utc


class WebhookDeliveredV1(Event, type="webhook.delivered.v1"):
    """One try to deliver; the delivery log is made of these."""

    tenant_id: TenantId
    run_id: RunId
    attempt: int
    step_id: StepId
    webhook_id: str
    """The same for every try, so that the receiver can tell a repetition."""
    host: str
    """Never the whole URL: its path or query may be a secret."""
    try_number: int = Field(ge=1)
    delivered: bool
    http_status: int = 0
    """0 when no answer came."""
    duration_ms: int = Field(default=0, ge=0)
    detail: str = ""
    sent_at: Utc
