"""Findings of three clouds as OCSF Compliance Findings; the newest of each holds."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from services.executor.ocsf.finding import BadFindingError
from services.executor.ocsf.providers import READERS
from services.executor.steps.compliance_ocsf import _of_json
from services.executor.steps.step import StepError
from tests.ingest.surroundings import Surroundings

NOW = datetime(2026, 12, 3, tzinfo=UTC)
REQUIRED = {
    "activity_id",
    "category_uid",
    "class_uid",
    "type_uid",
    "time",
    "severity_id",
    "metadata",
    "finding_info",
    "compliance",
}
HUB: dict[str, Any] = {
    "SchemaVersion": "2018-10-08",
    "Id": "arn:aws:securityhub:eu-west-1:012345678901:subscription/f/1",
    "ProductArn": "arn:aws:securityhub:eu-west-1::product/aws/securityhub",
    "ProductName": "Security Hub",
    "CompanyName": "AWS",
    "Region": "eu-west-1",
    "GeneratorId": "security-control/S3.1",
    "AwsAccountId": "012345678901",
    "Types": ["Software and Configuration Checks/Industry and Regulatory Standards"],
    "CreatedAt": "2026-11-01T08:00:00.000Z",
    "UpdatedAt": "2026-11-02T08:00:00.000Z",
    "Severity": {"Label": "HIGH", "Normalized": 70},
    "Title": "S3 buckets should block public access",
    "Description": "It checks the account's settings.",
    "Remediation": {"Recommendation": {"Text": "Turn it on.", "Url": "https://docs.example/S3.1"}},
    "Resources": [
        {"Type": "AwsAccount", "Id": "AWS::::Account:012345678901", "Region": "eu-west-1"}
    ],
    "Compliance": {
        "Status": "FAILED",
        "SecurityControlId": "S3.1",
        "AssociatedStandards": [{"StandardsId": "standards/cis/v/3.0.0"}],
        "RelatedRequirements": ["CIS/2.1.4"],
    },
    "Workflow": {"Status": "NEW"},
    "RecordState": "ACTIVE",
}
SCC: dict[str, Any] = {
    "finding": {
        "name": "organizations/1/sources/2/findings/3",
        "resourceName": "//storage.googleapis.com/b",
        "state": "INACTIVE",
        "category": "PUBLIC_BUCKET_ACL",
        "severity": "MEDIUM",
        "eventTime": "2026-11-05T01:02:03Z",
        "createTime": "2026-11-01T00:00:00Z",
        "compliances": [{"standard": "cis", "version": "1.3", "ids": ["5.1"]}],
        "findingClass": "MISCONFIGURATION",
    },
    "resource": {"project": "web-prod", "location": "eu", "type": "google.cloud.storage.Bucket"},
}
ASSESSMENT: dict[str, Any] = {
    "id": "/subscriptions/S-1/resourceGroups/g/providers/Microsoft.Compute/vm/x/assessments/a-1",
    "name": "a-1",
    "properties": {
        "displayName": "Disks should be encrypted",
        "status": {"code": "NotApplicable", "cause": "Exempt", "description": "by policy"},
        "resourceDetails": {"source": "Azure", "Id": "/subscriptions/S-1/vm/x"},
        "metadata": {"severity": "Low", "remediationDescription": "Encrypt them."},
    },
}
POLICY: dict[str, Any] = {
    "timestamp": "2026-11-09T10:00:00Z",
    "resourceId": "/subscriptions/S-2/resourceGroups/G/providers/Microsoft.Storage/sa/One",
    "policyAssignmentId": "/subscriptions/S-2/policyAssignments/p",
    "policyDefinitionId": "/providers/Microsoft.Authorization/policyDefinitions/d-1",
    "complianceState": "NonCompliant",
    "subscriptionId": "s-2",
    "resourceType": "Microsoft.Storage/storageAccounts",
    "resourceLocation": "westeurope",
}


@pytest.mark.parametrize(
    ("source", "record", "expected"),
    [
        ("aws_security_hub", HUB, (3, 4, 200302, "S3.1", "012345678901")),
        ("gcp_scc", SCC, (1, 3, 200303, "PUBLIC_BUCKET_ACL", "web-prod")),
        ("azure_assessment", ASSESSMENT, (99, 2, 200302, "a-1", "s-1")),
        ("azure_policy", POLICY, (3, 0, 200302, POLICY["policyDefinitionId"], "s-2")),
    ],
)
def test_a_finding_is_said_in_ocsf(
    source: str, record: dict[str, Any], expected: tuple[Any, ...]
) -> None:
    event = READERS[source](record, NOW).event()
    assert set(event) >= REQUIRED
    assert (event["category_uid"], event["class_uid"]) == (2, 2003)
    found = (
        event["compliance"]["status_id"],
        event["severity_id"],
        event["type_uid"],
        event["compliance"]["control"],
        event["cloud"]["account"]["uid"],
    )
    assert found == expected
    assert json.loads(json.dumps(event)) == event


def test_the_whole_of_a_security_hub_finding() -> None:
    event = READERS["aws_security_hub"](HUB, NOW).event()
    assert event["time"] == 1793606400000
    assert event["finding_info"] == {
        "uid": HUB["Id"],
        "title": "S3 buckets should block public access",
        "desc": "It checks the account's settings.",
        "created_time": 1793520000000,
        "modified_time": 1793606400000,
        "types": HUB["Types"],
    }
    assert event["compliance"] == {
        "control": "S3.1",
        "standards": ["standards/cis/v/3.0.0"],
        "requirements": ["CIS/2.1.4"],
        "status_id": 3,
        "status": "Fail",
    }
    assert event["remediation"] == {
        "desc": "Turn it on.",
        "references": ["https://docs.example/S3.1"],
    }


@pytest.mark.parametrize("row", [{}, {"finding": None}, {"finding": "{"}, {"finding": "[1]"}])
def test_a_column_that_holds_no_finding_is_refused_as_such(row: dict[str, object]) -> None:
    with pytest.raises(BadFindingError, match="no JSON object in its column finding"):
        _of_json("finding", READERS["aws_security_hub"])(row, NOW)


@pytest.mark.parametrize(
    ("change", "type_uid", "status_id"),
    [
        ({"UpdatedAt": HUB["CreatedAt"]}, 200301, 1),
        ({"RecordState": "ARCHIVED"}, 200303, 1),
        ({"Workflow": {"Status": "RESOLVED"}}, 200303, 4),
        ({"Workflow": {"Status": "SUPPRESSED"}}, 200302, 3),
    ],
)
def test_what_happened_to_a_finding(change: dict[str, Any], type_uid: int, status_id: int) -> None:
    event = READERS["aws_security_hub"]({**HUB, **change}, NOW).event()
    assert (event["type_uid"], event["status_id"]) == (type_uid, status_id)


@pytest.mark.parametrize(
    ("source", "record", "missing"),
    [
        ("aws_security_hub", {**HUB, "Id": ""}, "Id"),
        ("aws_security_hub", {**HUB, "UpdatedAt": "soon"}, "UpdatedAt"),
        ("gcp_scc", {"finding": {"name": "n"}}, "category"),
        ("azure_policy", {"resourceId": "r"}, "policyAssignmentId"),
    ],
)
def test_what_no_finding_can_do_without(source: str, record: dict[str, Any], missing: str) -> None:
    with pytest.raises(BadFindingError, match=missing):
        READERS[source](record, NOW)


async def load(around: Surroundings, *records: dict[str, Any]) -> int:
    body = "".join(json.dumps(record) + "\n" for record in records)
    around.deliver("hub/findings.ndjson", body.encode())
    table = "${tenant_id}.raw_security_hub"
    raw = {"files": "hub/*.ndjson", "target_table": table, "slice": "latest"}
    await around.run("ingest.file", raw)
    config = {"source": "aws_security_hub", "source_table": table, "slice": "latest"}
    return (await around.run("compliance.ocsf", config)).rows


async def test_the_latest_of_each_finding_holds(around: Surroundings) -> None:
    def at(day: int, status: str, number: int = 1) -> dict[str, Any]:
        compliance = {**HUB["Compliance"], "Status": status}
        times = {"UpdatedAt": f"2026-11-{day:02d}T00:00:00Z", "CreatedAt": "2026-11-01T00:00:00Z"}
        return {**HUB, **times, "Id": f"finding-{number}", "Compliance": compliance}

    async def found() -> list[tuple[Any, ...]]:
        sql = (
            "SELECT finding_uid, compliance_status, EXTRACT(DAY FROM time) AS day"
            " FROM $.ocsf_compliance_findings ORDER BY 1"
        )
        return [tuple(row.values()) for row in await around.rows(sql)]

    await load(around, at(5, "FAILED"), at(4, "WARNING"), at(6, "FAILED", 2))
    assert await found() == [("finding-1", "Fail", 5), ("finding-2", "Fail", 6)]
    await load(around, at(7, "PASSED"), at(3, "WARNING", 2), at(2, "PASSED", 3))
    assert await found() == [
        ("finding-1", "Pass", 7),
        ("finding-2", "Fail", 6),
        ("finding-3", "Pass", 2),
    ]


async def test_a_record_that_is_no_finding_is_refused_in_its_place(around: Surroundings) -> None:
    with pytest.raises(StepError, match=r"hub/findings\.ndjson: record 2: the finding has no Id"):
        await load(around, HUB, {**HUB, "Id": ""})
