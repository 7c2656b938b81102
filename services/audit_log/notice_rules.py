"""Which webhooks are told of something, and when again: pure decisions."""

import json
from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from contracts.identifiers import RunId, TenantId, WebhookId
from contracts.message import Message
from contracts.platform import CommandRefusedV1
from contracts.tenants import TenantOffboardedV1
from contracts.webhooks import (
    DeleteWebhookV1,
    Notice,
    NoticeRaisedV1,
    NoticeSentV1,
    RotateWebhookV1,
    SaveWebhookV1,
    SendNoticeV1,
    WebhookDeletedV1,
    WebhookRotatedV1,
    WebhookSavedV1,
)
from services.audit_log.notices import (
    REMEMBERED,
    Due,
    DueEnded,
    DueSet,
    State,
    Take,
    Tell,
    Told,
    Tried,
    Value,
    Webhook,
    WebhookDropped,
    WebhookKept,
    host_of,
)

MOST_WEBHOOKS = 20
MOST_WAITING = 200
"""For one webhook: one that takes nothing for days keeps no notice from the others."""
MOST_SECRETS = 8
SKEW = timedelta(seconds=5)
"""Between the clocks of whoever tells and of whoever keeps the webhook."""
GONE = 410
LEASE = timedelta(seconds=60)
SCHEDULE = (0, 5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""Seconds before each try, as Standard Webhooks advises; then it is given up."""
_IDS = uuid5(NAMESPACE_URL, "convergence/notices")

Outcome = tuple[tuple[Value, ...], tuple[Message, ...]]


def tell(state: State, message: Tell, now: datetime) -> Outcome:
    facts: list[Value] = []
    emits: list[Message] = []
    if message.period:
        if state.told.get(message.subject) == message.period or not state.webhooks:
            return (), ()
        facts.append(Told(what=message.subject, period=message.period))
    waiting = Counter(due.webhook_id for due in state.due.values())
    for webhook_id, webhook in state.webhooks.items():
        if message.published_at and message.published_at < webhook.created_at - SKEW:
            continue  # it is of before, and heard again
        notice_id = f"msg_{uuid5(_IDS, _occurrence(message, webhook_id))}"
        known = notice_id in state.due or notice_id in state.past
        if known or not webhook.is_active or message.notice not in webhook.notices:
            continue
        if waiting[webhook_id] >= MOST_WAITING:
            counted = webhook.model_copy(update={"dropped": webhook.dropped + 1})
            facts.append(WebhookKept(webhook_id=webhook_id, webhook=counted))
            continue
        due = _due(webhook_id, message.notice, message.at, message.data, now, message.run_id)
        facts.append(DueSet(notice_id=notice_id, due=due))
        emits.append(_announced(message.tenant_id, notice_id, due))
    return tuple(facts), tuple(emits)


def _occurrence(message: Tell, webhook_id: WebhookId) -> str:
    return f"{message.notice}/{message.subject}/{message.period}/{webhook_id}"


def _due(  # noqa: PLR0913, PLR0917  what a notice is made of
    webhook_id: WebhookId,
    notice: Notice,
    at: datetime,
    data: Mapping[str, Any],
    now: datetime,
    run_id: RunId | None = None,
) -> Due:
    body = {"type": notice.value, "timestamp": at.isoformat(), "data": data}
    text = json.dumps(body, separators=(",", ":"), sort_keys=True)
    return Due(webhook_id=webhook_id, notice=notice, body=text, run_id=run_id, next_at=now)


def _announced(tenant: TenantId, notice_id: str, due: Due) -> NoticeRaisedV1:
    return NoticeRaisedV1(
        tenant_id=tenant,
        webhook_id=due.webhook_id,
        notice_id=notice_id,
        notice=due.notice,
        run_id=due.run_id,
    )


def save(state: State, command: SaveWebhookV1, now: datetime) -> Outcome:
    known = state.webhooks.get(command.webhook_id)
    if command.webhook_id in state.deleted:
        return _refused(command.tenant_id, "webhook_not_found", "this webhook was deleted")
    if known is None and len(state.webhooks) >= MOST_WEBHOOKS:
        detail = f"a tenant has {MOST_WEBHOOKS} webhooks at most; delete one first"
        return _refused(command.tenant_id, "too_many_webhooks", detail)
    base = known or Webhook(url=command.url, notices=command.notices, created_at=now)
    webhook = base.model_copy(
        update={
            "url": command.url,
            "notices": command.notices,
            "description": command.description,
            "is_active": True,
        }
    )
    event = WebhookSavedV1(
        tenant_id=command.tenant_id,
        webhook_id=command.webhook_id,
        host=host_of(command.url),
        notices=command.notices,
        requested_by=command.requested_by,
    )
    return (WebhookKept(webhook_id=command.webhook_id, webhook=webhook),), (event,)


def delete(state: State, command: DeleteWebhookV1, _: datetime) -> Outcome:
    if command.webhook_id not in state.webhooks:
        return _unknown(command.tenant_id)
    event = WebhookDeletedV1(
        tenant_id=command.tenant_id,
        webhook_id=command.webhook_id,
        requested_by=command.requested_by,
    )
    return (WebhookDropped(webhook_id=command.webhook_id),), (event,)


def rotate(state: State, command: RotateWebhookV1, now: datetime) -> Outcome:
    """Each secret signs for as long as was promised, however many follow; without overlap, none."""
    known = state.webhooks.get(command.webhook_id)
    if known is None:
        return _unknown(command.tenant_id)
    signing = known.signing_versions(now)
    at_once = command.overlap_until <= now + SKEW
    if len(signing) >= MOST_SECRETS and not at_once:
        detail = f"{MOST_SECRETS} secrets sign already: rotate again when an overlap has ended"
        return _refused(command.tenant_id, "too_many_secrets", detail)
    version = known.version + 1
    until = {**known.earlier, known.version - 1: known.previous_until}
    changed = {
        "version": version,
        "previous_until": command.overlap_until,
        "earlier": {} if at_once else {one: until[one] for one in signing[1:]},
    }
    event = WebhookRotatedV1(
        tenant_id=command.tenant_id,
        webhook_id=command.webhook_id,
        secret_version=version,
        overlap_until=command.overlap_until,
        requested_by=command.requested_by,
    )
    kept = WebhookKept(webhook_id=command.webhook_id, webhook=known.model_copy(update=changed))
    return (kept,), (event,)


def leave(state: State, event: TenantOffboardedV1, _: datetime) -> Outcome:
    """Nothing is told to a tenant that has left, and no address of it is kept."""
    names = tuple(state.webhooks)
    gone = tuple(
        WebhookDeletedV1(
            tenant_id=event.tenant_id, webhook_id=name, requested_by=event.requested_by
        )
        for name in names
    )
    return tuple(WebhookDropped(webhook_id=name) for name in names), gone


def send(state: State, command: SendNoticeV1, now: datetime) -> Outcome:
    """Again what was sent before, under its own id; or a test."""
    tenant = command.tenant_id
    if command.webhook_id not in state.webhooks:
        return _unknown(tenant)
    if not command.notice_id:
        number = sum(
            due.notice is Notice.TEST for due in (*state.due.values(), *state.past.values())
        )
        notice_id = f"msg_{uuid5(_IDS, f'test/{command.webhook_id}/{now.isoformat()}/{number}')}"
        due = _due(command.webhook_id, Notice.TEST, now, {"tenant_id": tenant}, now)
    else:
        notice_id = command.notice_id
        known = state.past.get(notice_id) or state.due.get(notice_id)
        if known is None or known.webhook_id != command.webhook_id:
            detail = f"notice {notice_id} is not known any more; the last {REMEMBERED} are kept"
            return _refused(tenant, "notice_not_found", detail)
        due = known.model_copy(update={"tries": 0, "next_at": now, "taken_by": ""})
    return (DueSet(notice_id=notice_id, due=due),), (_announced(tenant, notice_id, due),)


def take(state: State, message: Take, now: datetime) -> Outcome:
    """Whoever has it tries alone, until its lease ends."""
    due = state.due.get(message.notice_id)
    if due is None or due.next_at > now:
        return (), ()
    taken = due.model_copy(
        update={"taken_by": message.by, "tries": due.tries + 1, "next_at": now + LEASE}
    )
    return (DueSet(notice_id=message.notice_id, due=taken),), ()


def tried(state: State, message: Tried, now: datetime) -> Outcome:
    due = state.due.get(message.notice_id)
    if due is None or due.taken_by != message.by:
        return (), ()
    webhook = state.webhooks.get(due.webhook_id)
    gone = message.http_status == GONE
    over = message.delivered or gone or webhook is None or due.tries >= len(SCHEDULE)
    next_at = None if over else now + timedelta(seconds=SCHEDULE[due.tries])
    event = NoticeSentV1(
        tenant_id=message.tenant_id,
        webhook_id=due.webhook_id,
        notice_id=message.notice_id,
        notice=due.notice,
        host=host_of(webhook.url) if webhook else "",
        try_number=due.tries,
        delivered=message.delivered,
        http_status=message.http_status,
        duration_ms=message.duration_ms,
        detail=message.detail,
        sent_at=message.sent_at,
        next_try_at=next_at,
    )
    facts: list[Value] = []
    if next_at is None:
        facts.append(DueEnded(notice_id=message.notice_id))
    else:
        again = due.model_copy(update={"taken_by": "", "next_at": next_at})
        facts.append(DueSet(notice_id=message.notice_id, due=again))
    if gone and webhook is not None:
        stopped = webhook.model_copy(update={"is_active": False})
        facts.append(WebhookKept(webhook_id=due.webhook_id, webhook=stopped))
    return tuple(facts), (event,)


def _unknown(tenant: TenantId) -> Outcome:
    return _refused(tenant, "webhook_not_found", "there is no such webhook")


def _refused(tenant: TenantId, code: str, detail: str) -> Outcome:
    return (), (CommandRefusedV1(tenant_id=tenant, code=code, detail=detail),)
