"""OCSF Compliance Finding (class 2003): the one shape of every provider's findings."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum
from typing import Any

OCSF_VERSION = "1.4.0"
CATEGORY, CLASS = 2, 2003


class Activity(IntEnum):
    CREATE = 1
    UPDATE = 2
    CLOSE = 3


class Severity(IntEnum):
    UNKNOWN = 0
    INFORMATIONAL = 1
    LOW = 2
    MEDIUM = 3
    HIGH = 4
    CRITICAL = 5


class Compliance(IntEnum):
    UNKNOWN = 0
    PASS = 1
    WARNING = 2
    FAIL = 3
    OTHER = 99


class Status(IntEnum):
    NEW = 1
    IN_PROGRESS = 2
    SUPPRESSED = 3
    RESOLVED = 4


class BadFindingError(Exception):
    """A record that lacks what no finding can do without."""

    def __init__(self, field_: str) -> None:
        self.field = field_
        super().__init__(f"the finding has no {field_}")


@dataclass(frozen=True, slots=True)
class Resource:
    uid: str
    type: str = ""
    name: str = ""
    region: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """What is known of one finding; `uid` names it, the newest `modified` holds."""

    uid: str
    title: str
    modified: datetime
    compliance: Compliance
    severity: Severity
    provider: str
    account: str
    product: str
    vendor: str
    created: datetime | None = None
    description: str = ""
    activity: Activity = Activity.UPDATE
    status: Status = Status.NEW
    control: str = ""
    standards: tuple[str, ...] = ()
    requirements: tuple[str, ...] = ()
    region: str = ""
    resources: tuple[Resource, ...] = ()
    remediation: str = ""
    links: tuple[str, ...] = ()
    types: tuple[str, ...] = field(default=())

    @property
    def type_uid(self) -> int:
        return CLASS * 100 + self.activity

    def event(self) -> dict[str, Any]:
        """The event as OCSF writes it; what is not known is left out."""
        said = {
            "activity_id": int(self.activity),
            "activity_name": self.activity.name.title(),
            "category_uid": CATEGORY,
            "category_name": "Findings",
            "class_uid": CLASS,
            "class_name": "Compliance Finding",
            "type_uid": self.type_uid,
            "type_name": f"Compliance Finding: {self.activity.name.title()}",
            "time": _ms(self.modified),
            "severity_id": int(self.severity),
            "severity": self.severity.name.title(),
            "status_id": int(self.status),
            "status": self.status.name.replace("_", " ").title(),
            "metadata": {
                "version": OCSF_VERSION,
                "product": {"name": self.product, "vendor_name": self.vendor},
            },
            "cloud": {
                "provider": self.provider,
                "account": {"uid": self.account},
                "region": self.region,
            },
            "compliance": {
                "control": self.control,
                "standards": list(self.standards),
                "requirements": list(self.requirements),
                "status_id": int(self.compliance),
                "status": self.compliance.name.title(),
            },
            "finding_info": {
                "uid": self.uid,
                "title": self.title,
                "desc": self.description,
                "created_time": _ms(self.created),
                "modified_time": _ms(self.modified),
                "types": list(self.types),
            },
            "remediation": {"desc": self.remediation, "references": list(self.links)},
            "resources": [_resource(one) for one in self.resources],
        }
        if not self.remediation:
            del said["remediation"]
        kept: dict[str, Any] = _without_nothing(said)
        return kept


def _resource(resource: Resource) -> dict[str, str]:
    return {
        "uid": resource.uid,
        "type": resource.type,
        "name": resource.name,
        "region": resource.region,
    }


def _ms(at: datetime | None) -> int | None:
    return int(at.timestamp() * 1000) if at is not None else None


def _without_nothing(value: Any) -> Any:
    if isinstance(value, dict):
        cleaned = {name: _without_nothing(inner) for name, inner in value.items()}
        return {name: v for name, v in cleaned.items() if v not in (None, "", [], {})}
    if isinstance(value, list):
        return [_without_nothing(inner) for inner in value]
    return value
