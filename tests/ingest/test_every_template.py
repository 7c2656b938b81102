"""Every packaged template does what its page says, with what it has by default."""

import gzip
import json
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from contracts.templates import TemplatePart, TemplateRefPart
from services.executor.focus.conformance import conformance
from services.executor.steps.step import Credential
from services.scheduler.templates.library import Library
from services.scheduler.templates.means import FOCUS_RULES
from tests.focus.ledger import Line, load_ledger
from tests.ingest.clouds import AWS_KEYS, PRINCIPAL, serve_clouds
from tests.ingest.providers import ADMIN_KEY, USAGE, Provider, serve
from tests.ingest.surroundings import Surroundings
from tests.ingest.test_compliance_ocsf import ASSESSMENT, HUB, POLICY, SCC

TEMPLATES = Path(__file__).parents[2] / "services/scheduler/templates"
FILES = {
    "aws/cost/cur": ("aws_cur", "2026-11", "aws/cur/2026-11/cur.csv.gz", "raw_aws_cur"),
    "aws/cost/focus": ("focus_file", "2026-09", "aws/focus/2026-09/f.csv", "raw_aws_focus"),
    "azure/cost/focus": ("focus_file", "2026-09", "azure/focus/2026-09/f.csv", "raw_azure_focus"),
    "focus/cost/file": ("focus_file", "2026-09", "focus/2026-09/f.csv", "raw_focus"),
    "gcp/cost/billing": (
        "gcp_billing",
        "2026-09",
        "gcp/billing/2026-09/b.parquet",
        "raw_gcp_billing",
    ),
    "gcp/cost/billing_detailed": (
        "gcp_billing",
        "2026-09",
        "gcp/billing_detailed/2026-09/b.parquet",
        "raw_gcp_billing_detailed",
    ),
    "azure/cost/export": (
        "azure_export",
        "2026-09",
        "azure/export/2026-09/{}/part-1.csv",
        "raw_azure_export",
    ),
}
FINDINGS = {
    "aws/compliance/security_hub": (HUB, "aws/security_hub/f.jsonl"),
    "gcp/compliance/scc": (SCC, "gcp/scc/f.jsonl"),
    "azure/compliance/policy": (POLICY, "azure/policy/f.jsonl"),
    "azure/compliance/assessments": (ASSESSMENT, "azure/assessments/f.jsonl"),
}
ANSWERS = {
    "openai/cost/costs": "raw_openai_costs",
    "anthropic/cost/report": "raw_anthropic_costs",
    **{f"openai/usage/{kind}": f"raw_openai_{kind}" for kind in USAGE},
}
REF = ("provider", "domain", "template")
RAW_TABLES = {table for _, _, _, table in FILES.values()} | {*ANSWERS.values()}
ASKED = {
    "aws/compliance/security_hub_api": (HUB, "Id", AWS_KEYS),
    "azure/compliance/policy_api": (POLICY, "resourceId", PRINCIPAL),
    "gcp/compliance/scc_api": (SCC["finding"], "name", {}),
}
GIVEN = {
    "aws/compliance/security_hub_api": {"region": "eu-west-1"},
    "azure/compliance/policy_api": {"subscription": "11111111-2222-3333-4444-555555555555"},
    "gcp/compliance/scc_api": {"parent": "organizations/1"},
}
QUERIES = {"gcp/cost/billing_by_service"}
PROVIDERS = {"aws/cost/focus": "aws", "azure/cost/focus": "azure"}


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    async with serve() as found:
        yield found


def read(name: str) -> Any:
    return yaml.safe_load((TEMPLATES / f"{name}.yml").read_text())


def defaults(name: str) -> dict[str, Any]:
    said = read(name)["parameters"]["properties"].items()
    return {key: rule["default"] for key, rule in said if "default" in rule}


async def run(around: Surroundings, name: str, **given: Any) -> dict[str, int]:
    """The steps of a template with its defaults; the rows of each."""
    parameters = {**defaults(name), **given}
    return {
        step["id"]: (await around.run(step["ps_type"], step["config"], **parameters)).rows
        for step in read(name)["definition"]["steps"]
    }


def about(name: str) -> TemplatePart:
    found = Library.packaged().find(TemplateRefPart(**dict(zip(REF, name.split("/"), strict=True))))
    assert found is not None
    return found.about


async def keeps_its_word(around: Surroundings, name: str) -> None:
    """It makes the tables and tells the checks that the catalogue says, and no others."""
    rules = {check["name"] for check in conformance()}
    told = {FOCUS_RULES if check in rules else check for check in around.heard.checks}
    tables = await around.rows("SELECT table_name AS t FROM $.INFORMATION_SCHEMA.TABLES")
    assert told == set(about(name).checks)
    assert {row["t"] for row in tables} == set(about(name).tables)


def files_of(name: str) -> Iterator[tuple[str, list[Line]]]:
    ledger, _, path, _ = FILES[name]
    lines = load_ledger(ledger).lines
    if "{}" not in path:
        yield path, list(lines)
        return
    for kind in ("actual", "amortized"):
        yield path.format(kind), [line for line in lines if line.given["x_role"] == kind]


def written(frame: pl.DataFrame, path: str, folder: Path) -> bytes:
    if path.endswith(".parquet"):
        frame.write_parquet(folder / "bill")
        return (folder / "bill").read_bytes()
    text = frame.write_csv().encode()
    return gzip.compress(text, mtime=0) if path.endswith(".gz") else text


def test_every_template_is_run_here() -> None:
    packaged = {
        file.relative_to(TEMPLATES).with_suffix("").as_posix() for file in TEMPLATES.rglob("*.yml")
    }
    # What one query of the tenant's own export sums up is run by the platform's own tests.
    assert {*FILES, *FINDINGS, *ANSWERS, *ASKED, *QUERIES} == packaged


@pytest.mark.parametrize("name", FILES)
async def test_files_become_costs(around: Surroundings, name: str, tmp_path: Path) -> None:
    ledger, period, _, raw_table = FILES[name]
    lines: list[Line] = []
    for path, some in files_of(name):
        frame = load_ledger(ledger).frame(some).drop("x_role", strict=False)
        around.deliver(path, written(frame, path, tmp_path))
        lines += some
    rows = await run(around, name, period=period)
    expected = [row for line in lines for row in line.expected]
    (found,) = await around.rows(
        "SELECT SUM(BilledCost) AS billed, SUM(EffectiveCost) AS effective,"
        " MIN(x_provider) AS provider FROM $.focus_costs"
    )
    assert rows["focus"] == len(expected)
    assert found == {
        "billed": sum(Decimal(row["BilledCost"]) for row in expected),
        "effective": sum(Decimal(row["EffectiveCost"]) for row in expected),
        "provider": PROVIDERS.get(name, ledger.partition("_")[0]),
    }
    (raw,) = await around.rows(f"SELECT COUNT(*) AS n FROM $.{raw_table}")
    assert raw["n"] == len(lines)
    assert around.heard.checks["cost_is_conserved"] == "PASSED"
    await keeps_its_word(around, name)


@pytest.mark.parametrize("name", [*FILES, *FINDINGS, *ANSWERS])
def test_the_raw_table_may_be_another(name: str) -> None:
    template = read(name)
    rule = template["parameters"]["properties"]["raw_table"]
    assert re.fullmatch(rule["pattern"], rule["default"])
    assert re.fullmatch(rule["pattern"], f"{rule['default']}_europe")
    assert not re.fullmatch(rule["pattern"], "focus_costs")
    assert not re.fullmatch(rule["pattern"], f"{rule['default']}_")
    written = json.dumps(template["definition"])
    assert "raw_" not in written.replace("${parameters.raw_table}", "")
    others = {other for other in RAW_TABLES if other != rule["default"]}
    assert not [other for other in others if re.fullmatch(rule["pattern"], other)]


async def test_two_payers_loaded_at_once_are_both_there(around: Surroundings) -> None:
    bill, payers = load_ledger("aws_cur"), {"raw_aws_cur": "1", "raw_aws_cur_europe": "2"}
    for table, payer in payers.items():
        lines = [
            Line(line.title, {**line.given, "bill_payer_account_id": payer}, ())
            for line in bill.lines[: int(payer)]
        ]
        around.deliver(f"{table}/bill.csv", bill.frame(lines).write_csv().encode())
    for step in read("aws/cost/cur")["definition"]["steps"]:
        for table in payers:
            given = {"raw_table": table, "files": f"{table}/*", "period": "2026-11"}
            parameters = {**defaults("aws/cost/cur"), **given}
            await around.run(step["ps_type"], step["config"], **parameters)
    rows = await around.rows(
        "SELECT BillingAccountId AS a, COUNT(*) AS n FROM $.focus_costs GROUP BY 1 ORDER BY 1"
    )
    assert [(row["a"], row["n"]) for row in rows] == [("1", 1), ("2", 2)]


@pytest.mark.parametrize("name", FINDINGS)
async def test_findings_become_ocsf(around: Surroundings, name: str) -> None:
    record, path = FINDINGS[name]
    around.deliver(path, json.dumps(record).encode())
    assert (await run(around, name))["findings"] == 1
    (found,) = await around.rows("SELECT finding_uid AS uid FROM $.ocsf_compliance_findings")
    assert found["uid"]
    assert set(around.heard.checks.items()) >= {
        ("finding_is_there_once", "PASSED"),
        ("finding_has_a_time", "PASSED"),
        ("finding_is_judged", "PASSED"),
    }
    await keeps_its_word(around, name)


@pytest.mark.parametrize("name", ASKED)
async def test_findings_are_asked_for_page_by_page(around: Surroundings, name: str) -> None:
    record, key, fields = ASKED[name]
    async with serve_clouds({}) as clouds:
        around.tools = replace(around.tools, azure_login=f"{clouds.url}/login")
        known = Credential("GENERIC", fields or clouds.service_account)
        around.credentials.known["mine"] = known
        base = f"{clouds.url}/hub" if name.startswith("aws") else clouds.url
        more = {"credential": "mine", "base_url": base, **GIVEN[name]}
        assert (await run(around, name, **more))["findings"] == 0
        found = [{**record, key: f"{record[key]}/{number}"} for number in range(5)]
        clouds.findings = [{"finding": one} if "scc" in name else one for one in found]
        assert (await run(around, name, **more))["findings"] == 5
        clouds.findings = clouds.findings[1:4]
        assert (await run(around, name, **more))["findings"] == 3
    rows = await around.rows(
        "SELECT finding_uid AS uid, compliance_status AS status FROM $.ocsf_compliance_findings"
    )
    assert len({row["uid"] for row in rows}) == len(rows) == 5
    assert {row["status"] for row in rows} == {"Pass" if "scc" in name else "Fail"}
    await keeps_its_word(around, name)


@pytest.mark.parametrize("name", ANSWERS)
async def test_answers_become_tables(around: Surroundings, name: str, provider: Provider) -> None:
    around.credentials.known["admin"] = Credential("OPENAI", {"api_key": ADMIN_KEY})
    more = {"base_url": f"{provider.url}/v1", "credential": "admin", "period": "2026-11"}
    rows = await run(around, name, **more)
    (raw,) = await around.rows(f"SELECT COUNT(*) AS n FROM $.{ANSWERS[name]}")
    assert raw["n"] == rows["raw"] > 0
    if "/cost/" in name:
        (cost,) = await around.rows("SELECT COUNT(*) AS n FROM $.focus_costs WHERE BilledCost > 0")
        assert cost["n"] == rows["focus"] == rows["raw"]
    else:
        assert around.heard.checks == {
            "usage_has_a_day": "PASSED",
            "usage_is_counted_once": "PASSED",
        }
    await keeps_its_word(around, name)


@pytest.mark.parametrize("name", [name for name in ANSWERS if "/cost/" in name])
async def test_organisations_are_accounts_of_their_own(
    around: Surroundings, name: str, provider: Provider
) -> None:
    around.credentials.known["admin"] = Credential("OPENAI", {"api_key": ADMIN_KEY})
    given = {"base_url": f"{provider.url}/v1", "credential": "admin", "period": "2026-11"}
    for table, organization in (("_one", "one"), ("_two", "two"), ("", "")):
        raw_table = f"{ANSWERS[name]}{table}"
        await run(around, name, **given, organization=organization, raw_table=raw_table)
    accounts = await around.rows(
        "SELECT BillingAccountId AS id, BillingAccountName AS name, SUM(BilledCost) AS cost"
        " FROM $.focus_costs GROUP BY 1, 2 ORDER BY 1 DESC"
    )
    by_default = {"openai": "OpenAI organization", "anthropic": "Anthropic organization"}
    names = ["two", "one", by_default[name.split("/", maxsplit=1)[0]]]
    assert [row["id"] for row in accounts] == [row["name"] for row in accounts] == names
    assert len({row["cost"] for row in accounts}) == 1
