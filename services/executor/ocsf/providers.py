"""How each provider says what a finding says: one function each, from its record to ours."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import orjson

from services.executor.ocsf.finding import (
    Activity,
    BadFindingError,
    Compliance,
    Finding,
    Resource,
    Severity,
    Status,
)

Record = Mapping[str, Any]
Reader = Callable[[Record, datetime], Finding]
_SNAKE = re.compile(r"(?<=[a-z0-9])_([a-z0-9])")
_COMPLIANCE = {
    "PASSED": Compliance.PASS,
    "COMPLIANT": Compliance.PASS,
    "HEALTHY": Compliance.PASS,
    "INACTIVE": Compliance.PASS,
    "FAILED": Compliance.FAIL,
    "NONCOMPLIANT": Compliance.FAIL,
    "UNHEALTHY": Compliance.FAIL,
    "ACTIVE": Compliance.FAIL,
    "WARNING": Compliance.WARNING,
    "NOTAPPLICABLE": Compliance.OTHER,
    "NOT_AVAILABLE": Compliance.OTHER,
    "EXEMPT": Compliance.OTHER,
}
_WORKFLOW = {
    "NOTIFIED": Status.IN_PROGRESS,
    "SUPPRESSED": Status.SUPPRESSED,
    "RESOLVED": Status.RESOLVED,
}


def security_hub(record: Record, now: datetime) -> Finding:
    """AWS Security Hub, a finding in ASFF as GetFindings gives it."""
    compliance = _inner(record, "Compliance")
    workflow = str(_inner(record, "Workflow").get("Status") or "NEW")
    created, modified = _time(record, "CreatedAt"), _time(record, "UpdatedAt")
    closed = record.get("RecordState") == "ARCHIVED" or workflow == "RESOLVED"
    activity = Activity.CREATE if created == modified else Activity.UPDATE
    advice = _inner(_inner(record, "Remediation"), "Recommendation")
    return Finding(
        uid=_needed(record, "Id"),
        title=_needed(record, "Title"),
        description=_text(record, "Description"),
        created=created,
        modified=modified or now,
        activity=Activity.CLOSE if closed else activity,
        status=_WORKFLOW.get(workflow, Status.NEW),
        severity=_severity(_inner(record, "Severity").get("Label")),
        compliance=_compliance(compliance.get("Status")),
        control=_text(compliance, "SecurityControlId") or _text(record, "GeneratorId"),
        standards=tuple(
            str(one.get("StandardsId")) for one in _records(compliance, "AssociatedStandards")
        ),
        requirements=tuple(map(str, _list(compliance, "RelatedRequirements"))),
        provider="AWS",
        account=_needed(record, "AwsAccountId"),
        region=_text(record, "Region"),
        product=_text(record, "ProductName") or "Security Hub",
        vendor=_text(record, "CompanyName") or "AWS",
        resources=tuple(
            Resource(_needed(one, "Id"), _text(one, "Type"), region=_text(one, "Region"))
            for one in _records(record, "Resources")
        ),
        remediation=_text(advice, "Text"),
        links=tuple(filter(None, [_text(advice, "Url")])),
        types=tuple(map(str, _list(record, "Types"))),
    )


def scc(record: Record, now: datetime) -> Finding:
    """Security Command Center: a finding alone, or with its resource beside it.

    As the API says it, or as its export to BigQuery.
    """
    finding = _in_camel_case(_inner(record, "finding") or record)
    resource = _in_camel_case(_inner(record, "resource"))
    created = _time(finding, "createTime")
    # What mutes a finding leaves the time of its event as it was.
    changed = filter(None, [_time(finding, "eventTime"), _time(finding, "muteUpdateTime")])
    active = _text(finding, "state") == "ACTIVE"
    compliances = _records(finding, "compliances")
    name = _needed(finding, "name")
    target = _text(finding, "resourceName")
    project = _text(resource, "project") or _text(resource, "projectName")
    title = _needed(finding, "category")
    muted = _text(finding, "mute") == "MUTED"
    return Finding(
        uid=name,
        title=title,
        description=_text(finding, "description"),
        created=created,
        modified=max(changed, default=created or now),
        activity=Activity.UPDATE if active else Activity.CLOSE,
        status=Status.SUPPRESSED if muted else Status.NEW if active else Status.RESOLVED,
        severity=_severity(finding.get("severity")),
        compliance=_compliance(finding.get("state")),
        control=title,
        standards=tuple(
            " ".join(filter(None, [_text(one, "standard"), _text(one, "version")]))
            for one in compliances
        ),
        requirements=tuple(str(i) for one in compliances for i in _list(one, "ids")),
        provider="GCP",
        account="/".join(project.split("/")[-2:]) or _owner(name),
        region=_text(resource, "location"),
        product="Security Command Center",
        vendor="Google Cloud",
        resources=(Resource(target, _text(resource, "type"), _text(resource, "displayName")),)
        if target
        else (),
        remediation=_text(finding, "nextSteps"),
        links=tuple(filter(None, [_text(finding, "externalUri")])),
        types=tuple(filter(None, [_text(finding, "findingClass")])),
    )


def azure_assessment(record: Record, now: datetime) -> Finding:
    """Defender for Cloud: an assessment; it says nothing of its time but that it holds now."""
    said = _inner(record, "properties")
    status, about = _inner(said, "status"), _inner(said, "metadata")
    uid = _needed(record, "id")
    details = _inner(said, "resourceDetails")
    target = _text(details, "Id") or _text(details, "id")
    changed = _time(status, "statusChangeDate")
    return Finding(
        uid=uid,
        title=_text(said, "displayName") or _text(about, "displayName") or uid,
        description=_text(status, "description") or _text(about, "description"),
        created=_time(status, "firstEvaluationDate"),
        modified=changed or now,
        severity=_severity(about.get("severity")),
        compliance=_compliance(status.get("code")),
        control=_text(record, "name"),
        provider="Azure",
        account=_subscription(uid),
        product="Microsoft Defender for Cloud",
        vendor="Microsoft",
        resources=(Resource(target),) if target else (),
        remediation=_text(about, "remediationDescription"),
    )


def azure_policy(record: Record, now: datetime) -> Finding:
    """Azure Policy: the state of one resource under one policy of one assignment."""
    target = _needed(record, "resourceId")
    assignment = _needed(record, "policyAssignmentId")
    definition = _needed(record, "policyDefinitionId")
    reference = _text(record, "policyDefinitionReferenceId")
    state = _text(record, "complianceState") or (
        "Compliant" if record.get("isCompliant") else "NonCompliant"
    )
    return Finding(
        uid="|".join(filter(None, [target, assignment, reference or definition])).lower(),
        title=_text(record, "policyDefinitionName") or definition.rpartition("/")[2],
        modified=_time(record, "timestamp") or now,
        severity=Severity.UNKNOWN,
        compliance=_compliance(state),
        control=definition,
        standards=tuple(filter(None, [_text(record, "policySetDefinitionId")])),
        provider="Azure",
        account=_text(record, "subscriptionId") or _subscription(target),
        region=_text(record, "resourceLocation"),
        product="Azure Policy",
        vendor="Microsoft",
        resources=(Resource(target, _text(record, "resourceType")),),
    )


READERS: Mapping[str, Reader] = {
    "aws_security_hub": security_hub,
    "gcp_scc": scc,
    "azure_assessment": azure_assessment,
    "azure_policy": azure_policy,
}


def _inner(record: Record, name: str) -> Record:
    found = _parts(record.get(name))
    return found if isinstance(found, Mapping) else {}


def _in_camel_case(record: Record) -> Record:
    """`next_steps` as `nextSteps`. Where a file has both, each row fills one of them."""
    snakes = [name for name in record if "_" in name and record[name] is not None]
    return {**record, **{_camel(name): record[name] for name in snakes}} if snakes else record


@lru_cache(1024)
def _camel(name: str) -> str:
    return _SNAKE.sub(lambda found: found[1].upper(), name)


def _list(record: Record, name: str) -> list[Any]:
    found = _parts(record.get(name))
    return list(found) if isinstance(found, list | tuple) else []


def _records(record: Record, name: str) -> list[Record]:
    alone = _inner(record, name)
    found = [alone] if alone else [_parts(one) for one in _list(record, name)]
    if not all(isinstance(one, Mapping) for one in found):
        raise BadFindingError(f"{name} that are objects")
    return found


def _parts(value: Any) -> Any:
    """What a text is the JSON of, as lists and objects are where other records have neither."""
    if not isinstance(value, str) or not value.startswith(("[", "{")):
        return value
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError:
        return value


def _text(record: Record, name: str) -> str:
    found = record.get(name)
    return "" if found is None else str(found)


def _needed(record: Record, name: str) -> str:
    found = _text(record, name)
    if not found:
        raise BadFindingError(name)
    return found


def _time(record: Record, name: str) -> datetime | None:
    value = record.get(name)
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    if not value:
        return None
    try:
        found = datetime.fromisoformat(str(value).removesuffix(" UTC"))
    except ValueError:
        raise BadFindingError(f"{name} that is a time, but {str(value)[:40]!r}") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _severity(label: Any) -> Severity:
    return Severity.__members__.get(str(label or "").upper(), Severity.UNKNOWN)


def _compliance(status: Any) -> Compliance:
    if not status:
        return Compliance.UNKNOWN
    return _COMPLIANCE.get(str(status).upper(), Compliance.OTHER)


def _subscription(path: str) -> str:
    parts = path.lower().split("/")
    where = parts.index("subscriptions") + 1 if "subscriptions" in parts else len(parts)
    return parts[where] if where < len(parts) else "unknown"


def _owner(name: str) -> str:
    """`organizations/1/sources/…` belongs to organisation 1."""
    return "/".join(name.split("/")[:2])
