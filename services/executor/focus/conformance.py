"""The rules of FOCUS 1.4 and our own of costs, as checks of rows for `dq.check`.

They report: a provider's bill that breaks a rule is still its bill.
"""

import re
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from services.executor.focus.packaged import read_packaged
from services.executor.focus.specification import focus

HERE = Path(__file__).parent
WARN = "warn"
_NAMED = re.compile(r"<([a-z_]+)>")


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Rows(_Model):
    when: str
    hold: dict[str, str]


class _Parent(_Model):
    of: str
    parent: str


class _Rules(_Model):
    formats: dict[str, str]
    rows: tuple[_Rows, ...]
    one_parent: dict[str, _Parent]


@cache
def _rules() -> _Rules:
    return _Rules.model_validate(read_packaged(HERE / "rules_1_4.yml"))


def conformance() -> list[dict[str, Any]]:
    """Every rule that can be told from values, by its name in the specification."""
    return [*_conditions(), *_allowed(), *_parents()]


def cost_rows() -> list[dict[str, Any]]:
    """What is suspicious in any bill."""
    return [
        _condition(
            "charges_lie_in_their_billing_period",
            "ChargePeriodStart < BillingPeriodEnd AND ChargePeriodEnd > BillingPeriodStart",
            # Corrections are of closed periods; and Google bills the last hours of a month with
            # the next one's invoice.
            "x_provider <> 'gcp' AND ChargeClass IS NULL",
        ),
        _condition(
            "only_credits_and_corrections_are_negative",
            "BilledCost >= 0",
            # A refund comes once, whatever it gives back; tax is given back as tax.
            "ChargeCategory IN ('Usage', 'Purchase') AND ChargeClass IS NULL"
            " AND COALESCE(ChargeFrequency, '') <> 'One-Time'",
        ),
        {
            "type": "one_parent",
            "name": "a_billing_account_has_one_currency",
            "severity": WARN,
            "column": "BillingAccountId",
            "parent": "BillingCurrency",
        },
        _condition("usage_has_tags", "Tags LIKE '%:%'", "ChargeCategory = 'Usage'")
        | {"mostly": 0.5},
    ]


def _conditions() -> list[dict[str, Any]]:
    formats = _formats()
    return [
        _condition(name, _NAMED.sub(lambda m: formats[m.group(1)], condition), rows.when)
        for rows in _rules().rows
        for name, condition in rows.hold.items()
    ]


def _formats() -> dict[str, str]:
    found: dict[str, str] = {}
    for name, written in _rules().formats.items():
        found[name] = _NAMED.sub(lambda m: found[m.group(1)], written)
    return found


def _condition(name: str, holds: str, when: str) -> dict[str, Any]:
    condition = f"NOT COALESCE(({when}), FALSE) OR ({holds.strip()})" if when else holds.strip()
    return {"type": "sql", "name": name, "severity": WARN, "condition": condition}


def _allowed() -> list[dict[str, Any]]:
    found = [
        {
            "type": "in_set",
            "name": f"{name}-allowed",
            "severity": WARN,
            "column": name,
            "value_set": list(rule.allowed),
        }
        for name, rule in focus().columns.items()
        if rule.allowed
    ]
    pairs = [f"{c}/{s}" for c, known in focus().subcategories.items() for s in known]
    known = ", ".join(f"'{pair}'" for pair in pairs)
    holds = f"CONCAT(ServiceCategory, '/', ServiceSubcategory) IN ({known})"
    return [*found, _condition("ServiceSubcategory-C-004-M", holds, "")]


def _parents() -> list[dict[str, Any]]:
    return [
        {
            "type": "one_parent",
            "name": name,
            "severity": WARN,
            "column": rule.of,
            "parent": rule.parent,
        }
        for name, rule in _rules().one_parent.items()
    ]
