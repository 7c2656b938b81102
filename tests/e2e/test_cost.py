"""A bill on disk, a pipeline, and what it cost by HTTP: through all five services."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.focus.ledger import Line, load_ledger
from tests.stack import ROOT, Stack

TENANT = "acme_costs"
OTHER = "other_costs"
LEDGER = load_ledger("aws_cur")
TEMPLATE = ROOT / "services/scheduler/templates/aws/cost/cur.yml"
DEFAULTS = {
    name: said["default"]
    for name, said in yaml.safe_load(TEMPLATE.read_text())["parameters"]["properties"].items()
    if "default" in said
}
NOVEMBER = "from=2026-10-01&to=2026-11-30"


@pytest.fixture(scope="module")
def tenant(stack: Stack) -> str:
    definition = yaml.safe_load(TEMPLATE.read_text())["definition"]
    for name in (TENANT, OTHER):
        stack.onboard(name)
        path = "/api/v1/pipelines/configs/aws_cur"
        text = yaml.safe_dump({"pipeline_id": "aws_cur", **definition})
        answer = stack.call("PUT", path, text=text, tenant=name)
        assert answer.status == 200, answer.body
    return TENANT


def deliver(landing: Path, lines: list[Line]) -> None:
    path = landing / TENANT / "aws/cur/2026-11/cur-00001.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    LEDGER.frame(lines).write_csv(path)


def run(stack: Stack, tenant: str) -> Any:
    body = {"parameters": {**DEFAULTS, "period": "2026-11"}}
    started = stack.call("POST", "/api/v1/pipelines/run/aws_cur", body, tenant=tenant)
    assert started.status == 202, started.body
    return stack.wait_for_run(tenant, started.body["run_id"])


def cost(stack: Stack, tenant: str, query: str) -> Any:
    answer = stack.call("GET", f"/api/v1/cost?{query}", tenant=tenant)
    assert answer.status == 200, answer.body
    return answer.body


def test_a_bill_is_loaded_and_its_cost_told_to_the_last_digit(
    stack: Stack, tenant: str, landing: Path
) -> None:
    assert cost(stack, tenant, NOVEMBER)["costs"] == []
    deliver(landing, list(LEDGER.lines))
    ended = run(stack, tenant)
    assert (ended["status"], ended["error"]) == ("COMPLETED", None)
    found = cost(stack, tenant, f"{NOVEMBER}&group_by=service,charge")
    assert found["group_by"] == ["service", "charge"]
    total = sum(Decimal(row["billed_cost"]) for row in found["costs"])
    assert total == Decimal(LEDGER.totals["BilledCost"])
    assert set(found["costs"][0]["group"]) == {"service", "charge"}


@pytest.mark.parametrize(
    ("group_by", "key", "billed"),
    [
        ("account", "007007007007", "0.4"),
        ("region", "us-east-1", "0.2"),
        ("tag:Team", 'Data "A"', "0.107"),
        ("tag:cost center", "a\\b\nc", "0.01"),
        ("day", "2026-11-05", "0.046"),
        ("month", "2026-11", LEDGER.totals["BilledCost"]),
        ("provider", "Example Software GmbH", "1436"),
        ("source", "aws", LEDGER.totals["BilledCost"]),
    ],
)
def test_cost_is_grouped_by(
    stack: Stack, tenant: str, group_by: str, key: str, billed: str
) -> None:
    rows = cost(stack, tenant, f"{NOVEMBER}&group_by={group_by.replace(' ', '%20')}")["costs"]
    (row,) = [row for row in rows if row["group"][group_by] == key]
    assert Decimal(row["billed_cost"]) == Decimal(billed)


def test_what_changed_in_a_period_is_told(stack: Stack, tenant: str, landing: Path) -> None:
    deliver(landing, [line for line in LEDGER.lines if line.title != "Value added tax"])
    assert run(stack, tenant)["status"] == "COMPLETED"
    answer = stack.call("GET", "/api/v1/cost/diff?period=2026-11", tenant=tenant)
    (change,) = answer.body["changes"]
    assert (change["version"], Decimal(change["billed_delta"])) == (2, Decimal("-23.45"))
    none = stack.call("GET", "/api/v1/cost/diff?period=2026-10", tenant=tenant)
    assert none.body["changes"] == []


def test_sources_are_known_without_reading_their_cost(stack: Stack, tenant: str) -> None:
    (source,) = stack.call("GET", "/api/v1/cost/sources", tenant=tenant).body["sources"]
    assert (source["source"], source["newest_period"]) == ("aws", "2026-11-01")
    assert stack.call("GET", "/api/v1/cost/sources", tenant=OTHER).body["sources"] == []


def test_another_tenant_sees_nothing_of_it(stack: Stack, tenant: str) -> None:
    assert cost(stack, OTHER, NOVEMBER)["costs"] == []
    ended = run(stack, OTHER)
    assert ended["status"] == "FAILED"
    assert "no file matches" in ended["error"]["detail"]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("group_by=colour", "'colour' is none of service, "),
        ("group_by=tag:a%22b", "tag:a"),
        ("from=2026-12-01&to=2026-11-01", "is after"),
        ("from=yesterday", "from"),
        ("limit=5000", "limit"),
        ("tenant_id=other", "tenant_id"),
        ("group_by=day,month,service,region,account", "group_by"),
    ],
)
def test_a_bad_question_says_what_is_wrong(
    stack: Stack, tenant: str, query: str, said: str
) -> None:
    answer = stack.call("GET", f"/api/v1/cost?{query}", tenant=tenant)
    assert answer.status == 400
    assert said in str(answer.body)
