"""Findings of three clouds as OCSF Compliance Findings; the newest of each holds."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from libs.clock import later
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


def test_what_the_export_of_security_command_center_calls_otherwise_is_read_alike() -> None:
    """BigQuery's columns are in snake case, the API's fields in camel case."""
    project = "//cloudresourcemanager.googleapis.com/projects/99"
    asked: dict[str, Any] = {
        "finding": {
            **SCC["finding"],
            "mute": "MUTED",
            "muteUpdateTime": "2026-11-09T00:00:00Z",
            "nextSteps": "Close it.",
            "externalUri": "https://console.example/3",
            "findingClass": "MISCONFIGURATION",
        },
        "resource": {
            "name": SCC["finding"]["resourceName"],
            "displayName": "b",
            "projectName": project,
            "projectDisplayName": "web-prod",
            "type": "google.cloud.storage.Bucket",
        },
    }
    exported: dict[str, Any] = {
        "source_id": "2",
        "finding_id": "3",
        "event_time": "2026-11-05 01:02:03 UTC",
        "finding": {
            "name": "organizations/1/sources/2/findings/3",
            "resource_name": "//storage.googleapis.com/b",
            "state": "INACTIVE",
            "category": "PUBLIC_BUCKET_ACL",
            "severity": "MEDIUM",
            "event_time": "2026-11-05 01:02:03 UTC",
            "create_time": "2026-11-01 00:00:00 UTC",
            "compliances": [{"standard": "cis", "version": "1.3", "ids": ["5.1"]}],
            "finding_class": "MISCONFIGURATION",
            "mute": "MUTED",
            "mute_update_time": "2026-11-09 00:00:00 UTC",
            "next_steps": "Close it.",
            "external_uri": "https://console.example/3",
        },
        "resource": {
            "name": "//storage.googleapis.com/b",
            "display_name": "b",
            "project_name": project,
            "project_display_name": "web-prod",
            "type": "google.cloud.storage.Bucket",
        },
    }
    event = READERS["gcp_scc"](exported, NOW).event()
    assert event == READERS["gcp_scc"](asked, NOW).event()
    assert event["cloud"]["account"] == {"uid": "projects/99"}
    assert event["remediation"] == {
        "desc": "Close it.",
        "references": ["https://console.example/3"],
    }
    assert event["resources"] == [
        {
            "uid": "//storage.googleapis.com/b",
            "type": "google.cloud.storage.Bucket",
            "name": "b",
        }
    ]
    assert event["finding_info"]["types"] == ["MISCONFIGURATION"]
    # Files of both have both columns, of which each row fills one.
    both = {**dict.fromkeys(asked["finding"]), **exported["finding"]}
    assert READERS["gcp_scc"]({**exported, "finding": both}, NOW).event() == event


@pytest.mark.parametrize(
    ("times", "day"),
    [
        ({"muteUpdateTime": "2026-11-09T00:00:00Z"}, 9),
        ({"muteUpdateTime": "2026-11-03T00:00:00Z"}, 5),
        ({"eventTime": None, "muteUpdateTime": "2026-11-03T00:00:00Z"}, 3),
        ({"eventTime": None}, 1),
        ({"eventTime": None, "createTime": None}, NOW.day),
    ],
)
def test_a_finding_is_as_new_as_what_was_last_said_of_it(times: dict[str, Any], day: int) -> None:
    found = READERS["gcp_scc"]({"finding": {**SCC["finding"], **times}}, NOW)
    assert found.modified.day == day


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


async def load(
    around: Surroundings, *records: dict[str, Any], source: str = "aws_security_hub"
) -> int:
    body = "".join(json.dumps(record) + "\n" for record in records)
    around.deliver("hub/findings.ndjson", body.encode())
    table = "${tenant_id}.raw_security_hub"
    raw = {"files": "hub/*.ndjson", "target_table": table, "slice": "latest"}
    await around.run("ingest.file", raw)
    config = {"source": source, "source_table": table, "slice": "latest"}
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


@pytest.mark.parametrize("last", ["FAILED", "PASSED", "WARNING"])
async def test_of_rows_of_one_time_the_last_one_holds(around: Surroundings, last: str) -> None:
    words = [word for word in ("FAILED", "PASSED", "WARNING") if word != last]
    rows = [
        {**HUB, "Id": f"finding-{number}", "Compliance": {"Status": status}}
        for status in [*words, *words, last]
        for number in range(300)
    ]
    await load(around, *rows)
    sql = "SELECT DISTINCT compliance_status AS said FROM $.ocsf_compliance_findings"
    assert await around.rows(sql) == [{"said": last.title().removesuffix("ed")}]


@pytest.mark.parametrize("order", [1, -1])
async def test_a_muted_finding_is_newer_than_itself_before(
    around: Surroundings, order: int
) -> None:
    """Muting leaves the time of the event as it was."""
    muted = {**SCC["finding"], "mute": "MUTED", "mute_update_time": "2026-11-09T00:00:00Z"}
    both = [SCC, {**SCC, "finding": muted}][::order]
    await load(around, *both, source="gcp_scc")
    sql = "SELECT status_id FROM $.ocsf_compliance_findings"
    assert await around.rows(sql) == [{"status_id": 3}]
    await load(around, SCC, source="gcp_scc")
    assert await around.rows(sql) == [{"status_id": 3}]


async def test_what_says_nothing_of_its_time_is_as_old_as_its_delivery(
    around: Surroundings,
) -> None:
    """An older slice that is converted again is not news."""

    async def told(day: int, code: str, hour: int) -> list[dict[str, Any]]:
        around.tools = replace(around.tools, clock=lambda: later(NOW, timedelta(hours=hour)))
        properties = {**ASSESSMENT["properties"], "status": {"code": code}}
        content = json.dumps({**ASSESSMENT, "properties": properties}).encode()
        around.deliver(f"azure/{day}.ndjson", content)
        of = {"slice": f"2026-12-0{day}"}
        raw = {"files": f"azure/{day}.ndjson", "target_table": "${tenant_id}.raw_azure", **of}
        await around.run("ingest.file", raw)
        findings = {"source": "azure_assessment", "source_table": "${tenant_id}.raw_azure", **of}
        await around.run("compliance.ocsf", findings)
        sql = "SELECT compliance_status AS said, time FROM $.ocsf_compliance_findings"
        return await around.rows(sql)

    assert await told(1, "Unhealthy", 0) == [{"said": "Fail", "time": NOW}]
    healthy = [{"said": "Pass", "time": later(NOW, timedelta(hours=24))}]
    assert await told(2, "Healthy", 24) == healthy
    assert await told(1, "Unhealthy", 25) == healthy
    still = [{"said": "Fail", "time": later(NOW, timedelta(hours=26))}]
    assert await told(3, "Unhealthy", 26) == still


async def test_a_record_that_is_no_finding_is_refused_in_its_place(around: Surroundings) -> None:
    with pytest.raises(StepError, match=r"hub/findings\.ndjson: record 2: the finding has no Id"):
        await load(around, HUB, {**HUB, "Id": ""})
