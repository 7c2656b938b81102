"""The formats that rules of FOCUS ask for, and what is suspicious in a bill, told from values."""

import re

import polars as pl
import pytest

from services.executor.focus.conformance import conformance, cost_rows
from services.executor.focus.mapping import load_mapping
from tests.focus.ledger import load_ledger

ELEMENT = '{"ContractId":"k","ContractCommitmentId":"c","ContractCommitmentAppliedCost":1.5}'


def holds(rule: str, value: str) -> bool:
    (condition,) = [c["condition"] for c in conformance() if c["name"] == rule]
    pattern = re.search(r"r'(.*)'\)", condition)
    assert pattern is not None
    return re.search(pattern.group(1), value) is not None


@pytest.mark.parametrize(
    ("value", "good"),
    [
        ("{}", True),
        ('{"a":"b"}', True),
        ('{"a": "b", "c" : 1.5e-3, "d":true , "e":null}', True),
        ('{"a \\"quoted\\" key":"C:\\\\disk\\n"}', True),
        ('{"Größe":"{not an object}"}', True),
        ('{"a":{"b":1}}', False),
        ('{"a":["b"]}', False),
        ("{a=b}", False),
        ('{"a":"b",}', False),
        ('{"a":"b" "c":"d"}', False),
        ('{"a":"b"', False),
        ('["a"]', False),
        ("NULL", False),
        ("", False),
    ],
)
@pytest.mark.parametrize(
    "rule", ["Tags-C-001-M", "AllocatedTags-C-001-M", "SkuPriceDetails-C-001-M"]
)
def test_pairs_of_keys_and_values(rule: str, value: str, good: bool) -> None:  # noqa: FBT001
    assert holds(rule, value) is good


@pytest.mark.parametrize(
    ("rule", "value", "good"),
    [
        ("SkuPriceDetails-C-017-C", '{"CoreCount":4,"x_Tenancy":"Shared"}', True),
        ("SkuPriceDetails-C-017-C", '{"Tenancy":"Shared"}', False),
        ("SkuPriceDetails-C-017-C", '{"coreCount":4}', False),
        ("SkuPriceDetails-C-021-M", '{"CoreCount":4,"InstanceType":"m5.large"}', True),
        ("SkuPriceDetails-C-021-M", '{"CoreCount":"4"}', False),
        ("SkuPriceDetails-C-021-M", '{"InstanceType":5}', False),
        ("AllocatedMethodDetailsObject-O-023-M", '{"Elements":[{"AllocatedRatio":0.25}]}', True),
        (
            "AllocatedMethodDetailsObject-O-023-M",
            '{"x_By":1, "Elements":[{"UsageUnit":"h","AllocatedRatio":1}, {"AllocatedRatio":0}]}',
            True,
        ),
        ("AllocatedMethodDetailsObject-O-023-M", '{"Elements":[]}', False),
        ("AllocatedMethodDetailsObject-O-023-M", '{"Elements":[{"AllocatedRatio":1.5}]}', False),
        ("AllocatedMethodDetailsObject-O-023-M", '{"elements":[{"AllocatedRatio":1}]}', False),
        ("ContractAppliedObject-O-067-M", f'{{"Elements":[{ELEMENT}]}}', True),
        ("ContractAppliedObject-O-067-M", f'{{"Elements":[{ELEMENT},{ELEMENT}]}}', True),
        ("ContractAppliedObject-O-067-M", f'{{"Elements":{ELEMENT}}}', False),
        ("ContractAppliedObject-O-067-M", '{"Elements":[{"ContractId":7}]}', False),
        ("ContractAppliedObject-O-067-M", '{"Elements":[{"Contract":"k"}]}', False),
        (
            "CommitmentProgramEligibilityDetailsObject-O-001-M",
            '{"CommitmentPrograms":[{"ProgramType":"Savings Plan","x_Note":"one"}]}',
            True,
        ),
        (
            "CommitmentProgramEligibilityDetailsObject-O-001-M",
            '{"CommitmentPrograms":["Savings Plan"]}',
            False,
        ),
        ("BillingCurrency-C-003-M", "EUR", True),
        ("BillingCurrency-C-003-M", "eur", False),
        ("PricingUnit-C-003-O", "1000 Requests", True),
        ("PricingUnit-C-003-O", "GB-Months", True),
        ("PricingUnit-C-003-O", "1000", False),
    ],
)
def test_names_and_types_within_objects(rule: str, value: str, good: bool) -> None:  # noqa: FBT001
    assert holds(rule, value) is good


def test_no_format_is_left_unnamed() -> None:
    assert not [c for c in conformance() if re.search(r"<[a-z_]+>", c.get("condition", ""))]


PERIODS, SIGNS = "charges_lie_in_their_billing_period", "only_credits_and_corrections_are_negative"
INNOCENT = [
    ("aws_cur", "A refund in the same period"),
    ("aws_cur", "A refund of what an earlier, closed period charged"),
    ("aws_cur", "A refund on a bill of its own"),
    ("aws_cur", "A refund of a reservation's fee"),
    ("aws_cur", "A refund of a plan's fee, of which as much is taken back"),
    ("aws_cur", "A promotional credit"),
    ("gcp_billing", "A refund of the same month's tax"),
]
SUSPICIOUS = [
    ("aws_cur", "Usage that was taken back in the same period"),
    ("azure_export", "Usage that was taken back"),
    ("focus_file", "Usage taken back, without its prices"),
    ("gcp_billing", "Usage that was taken back in the same month"),
    ("gcp_billing", "Credits that exceed the charge stay negative"),
]


@pytest.mark.parametrize(
    ("name", "title", "told"),
    [
        *((*line, []) for line in INNOCENT),
        *((*line, [SIGNS]) for line in SUSPICIOUS),
    ],
)
def test_refunds_and_corrections_are_not_suspicious(name: str, title: str, told: list[str]) -> None:
    ledger = load_ledger(name)
    (line,) = [line for line in ledger.lines if line.title == title]
    provider = load_mapping(ledger.mapping).provider
    rows = ledger.convert([line])[0].with_columns(x_provider=pl.lit(provider))
    found = []
    for check in (PERIODS, SIGNS):
        (condition,) = [each["condition"] for each in cost_rows() if each["name"] == check]
        asked = f"SELECT 1 FROM rows WHERE NOT ({condition})"
        if pl.SQLContext(rows=rows).execute(asked, eager=True).height:
            found.append(check)
    assert found == told
