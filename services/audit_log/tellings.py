"""What events mean to webhooks: pure translations."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from contracts.message import Message
from contracts.quality import CheckStatus, QualityCheckedV1, SchemaDriftedV1
from contracts.quota import QuotaReachedV1
from contracts.runs import RunFinishedV1, RunRejectedV1, RunStatus
from contracts.webhooks import Notice
from services.audit_log.notices import Tell

FULL = 100
Happened = RunFinishedV1 | RunRejectedV1 | QualityCheckedV1 | SchemaDriftedV1 | QuotaReachedV1


def telling(message: Message) -> Tell | None:
    """What is to be told of an event; None when nothing."""
    match message:
        case RunFinishedV1():
            return _finished(message)
        case RunRejectedV1(code="quota_exceeded"):
            return _rejected(message)
        case QuotaReachedV1():
            more = {"used": message.used, "most": message.most}
            return _quota(message, message.percent, message.period, message.reached_at, more)
        case QualityCheckedV1():
            return _checked(message)
        case SchemaDriftedV1():
            return _drifted(message)
        case _:
            return None


def _finished(message: RunFinishedV1) -> Tell:
    failed = message.status is RunStatus.FAILED
    return Tell(
        tenant_id=message.tenant_id,
        notice=Notice.RUN_FAILED if failed else Notice.RUN_FINISHED,
        subject=f"{message.run_id}/{message.attempt}",
        at=message.finished_at,
        data=message.model_dump(mode="json", exclude={"trigger"}),
        run_id=message.run_id,
    )


def _rejected(message: RunRejectedV1) -> Tell:
    """A limit may be used up without a run that reached it: it was lowered."""
    at = message.submitted_at
    period = at.strftime("%Y-%m-%d" if message.limit == "daily" else "%Y-%m")
    return _quota(message, FULL, period, at, {})


def _quota(
    message: QuotaReachedV1 | RunRejectedV1,
    percent: int,
    period: str,
    at: datetime,
    more: Mapping[str, Any],
) -> Tell:
    """Told once a day, or once a month."""
    tenant = message.tenant_id
    about = {"tenant_id": tenant, "limit": message.limit, "percent": percent, "period": period}
    return Tell(
        tenant_id=tenant,
        notice=Notice.QUOTA_EXHAUSTED if percent >= FULL else Notice.QUOTA_WARNING,
        subject=f"quota/{message.limit}/{percent}",
        at=at,
        data={**about, **more},
        period=period,
    )


def _checked(message: QualityCheckedV1) -> Tell | None:
    failed = [check for check in message.checks if check.status is not CheckStatus.PASSED]
    if not failed:
        return None
    about = message.model_dump(mode="json", exclude={"checks"})
    names = [{"name": check.name, "status": check.status.value} for check in failed]
    return Tell(
        tenant_id=message.tenant_id,
        notice=Notice.DQ_FAILED,
        subject=_place(message),
        at=message.checked_at,
        data={**about, "checks": names},
        run_id=message.run_id,
    )


def _drifted(message: SchemaDriftedV1) -> Tell:
    return Tell(
        tenant_id=message.tenant_id,
        notice=Notice.SCHEMA_DRIFTED,
        subject=_place(message),
        at=message.found_at,
        data=message.model_dump(mode="json"),
        run_id=message.run_id,
    )


def _place(message: QualityCheckedV1 | SchemaDriftedV1) -> str:
    return f"{message.run_id}/{message.step_id}/{message.table}/{message.attempt}"
