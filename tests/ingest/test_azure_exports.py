"""Azure's two exports of a month: told apart by what the step says of its files, not by names."""

from decimal import Decimal
from typing import Any

import pytest

from contracts.quality import CheckStatus, QualityCheckedV1, Severity
from services.executor.steps.step import StepError
from tests.ingest.surroundings import Surroundings

HEADER = (
    "BillingAccountId,BillingCurrency,Date,SubscriptionId,ResourceId,MeterId,MeterCategory,"
    "ChargeType,PricingModel,BenefitId,Quantity,CostInBillingCurrency"
)
USAGE = [f"a-1,EUR,11/0{day}/2026,s-1,/vm/{day},m-1,Compute,Usage," for day in range(1, 6)]
ON_DEMAND = [f"{row}OnDemand,,24,{day}.5" for day, row in enumerate(USAGE)]
COVERED = [f"{USAGE[0]}Reservation,r-1,24,{cost}" for cost in ("0", "1.2")]
BOUGHT = "a-1,EUR,11/01/2026,s-1,,m-2,Compute,Purchase,Reservation,r-1,1,36"
TABLE = {"target_table": "${tenant_id}.raw", "slice": "2026-11"}
FOCUS = {"mapping": "azure_export", "source_table": "${tenant_id}.raw", "slice": "2026-11"}
TYPES = dict.fromkeys(HEADER.split(","), "text")
ROLES = {"actual": "one/*", "amortized": "two/*"}


def export(*rows: str) -> bytes:
    return "\n".join([HEADER, *rows, ""]).encode()


async def load(around: Surroundings, files: Any, **more: Any) -> int:
    await around.run("ingest.file", {"files": files, **TABLE, **more})
    return (await around.run("cost.focus", FOCUS)).rows


async def costs(around: Surroundings) -> tuple[Decimal | None, Decimal | None]:
    (sums,) = await around.rows(
        "SELECT SUM(BilledCost) AS b, SUM(EffectiveCost) AS e FROM $.focus_costs"
    )
    return sums["b"], sums["e"]


def two_exports(around: Surroundings) -> None:
    around.deliver("one/p.csv", export(*ON_DEMAND[1:], COVERED[0], BOUGHT))
    around.deliver("two/p.csv", export(*ON_DEMAND[1:], COVERED[1]))


async def test_roles_tell_exports_apart_whatever_their_files_are_called(
    around: Surroundings,
) -> None:
    two_exports(around)
    assert await load(around, ROLES) == 6
    assert await costs(around) == (Decimal(48), Decimal("13.2"))
    roles = await around.rows("SELECT x_role AS r, COUNT(*) AS n FROM $.raw GROUP BY 1 ORDER BY 1")
    assert [tuple(row.values()) for row in roles] == [("actual", 6), ("amortized", 5)]
    assert around.heard.checks["no_row_stands_in_two_files"] == "PASSED"


async def test_amounts_that_were_rounded_when_they_were_loaded_are_told(
    around: Surroundings,
) -> None:
    around.deliver("one/p.csv", export(*[f"{row[:-4]}24,0.{'1' * 19}" for row in ON_DEMAND]))
    for type_, status in (("decimal", "FAILED"), ("text", "FAILED")):
        await load(around, "one/*", columns={"CostInBillingCurrency": type_})
        assert around.heard.checks["amounts_fit_eighteen_decimals"] == status
    around.deliver("one/p.csv", export(*ON_DEMAND))
    await load(around, "one/*", columns={"CostInBillingCurrency": "decimal"})
    assert around.heard.checks["amounts_fit_eighteen_decimals"] == "PASSED"


async def test_several_patterns_may_have_one_role(around: Surroundings) -> None:
    two_exports(around)
    around.deliver("two/p.csv", export(*ON_DEMAND[1:]))
    around.deliver("three/p.csv", export(COVERED[1]))
    assert await load(around, {**ROLES, "amortized": ["two/*", "three/*"]}) == 6
    assert await costs(around) == (Decimal(48), Decimal("13.2"))


async def test_two_exports_of_the_same_rows_without_roles_are_not_summed(
    around: Surroundings,
) -> None:
    for name in ("one/p.csv", "two/p.csv"):
        around.deliver(name, export(*ON_DEMAND))
    with pytest.raises(StepError, match=r"no_row_stands_in_two_files.*files: \{actual: …") as found:
        await load(around, ["one/*", "two/*"])
    assert "100 %" in str(found.value)
    assert await costs(around) == (None, None)
    assert await load(around, ["one/*"]) == 5


async def test_usage_that_is_all_covered_is_found_twice_too(around: Surroundings) -> None:
    around.deliver("one/p.csv", export(COVERED[0]))
    around.deliver("two/p.csv", export(COVERED[1]))
    with pytest.raises(StepError, match="no_row_stands_in_two_files"):
        await load(around, ["one/*", "two/*"])


async def test_two_runs_of_one_export_are_not_summed_whatever_role_they_have(
    around: Surroundings,
) -> None:
    two_exports(around)
    around.deliver("one/later.csv", export(*ON_DEMAND[1:], COVERED[0], BOUGHT))
    with pytest.raises(StepError, match=r"no_row_stands_in_two_files.*one run") as found:
        await load(around, ROLES)
    assert "manifest: azure" in str(found.value)
    assert "amortized: …" not in str(found.value)
    assert "two/p.csv" not in str(found.value)
    assert await costs(around) == (None, None)


@pytest.mark.parametrize("files", [["one/*"], ROLES], ids=["no roles", "roles"])
async def test_a_small_run_in_a_large_later_one_is_found(around: Surroundings, files: Any) -> None:
    later = [row.replace("/vm/", f"/vm/{n}/") for n in range(20) for row in ON_DEMAND]
    around.deliver("one/first.csv", export(*later[:5]))
    around.deliver("one/later.csv", export(*later))
    around.deliver("two/p.csv", export(*later))
    with pytest.raises(StepError, match=r"100 % instead of at most 25 %; one/first.csv") as found:
        await load(around, files)
    assert "one/later.csv" in str(found.value)


async def test_rows_that_few_files_share_are_loaded_and_told(around: Surroundings) -> None:
    around.deliver("one/p-1.csv", export(*ON_DEMAND[:4]))
    around.deliver("one/p-2.csv", export(*ON_DEMAND[3:], BOUGHT, BOUGHT.replace("m-2", "m-3")))
    assert await load(around, "one/*") == 8
    (found,) = (
        check
        for event in around.heard.events
        if isinstance(event, QualityCheckedV1)
        for check in event.checks
        if check.name == "no_row_stands_in_two_files"
    )
    assert (found.status, found.severity) == (CheckStatus.FAILED, Severity.WARN)
    assert found.observed == "25 %"


async def test_parts_of_one_export_are_taken_together(around: Surroundings) -> None:
    around.deliver("one/p-1.csv", export(*ON_DEMAND[:2]))
    around.deliver("one/p-2.csv", export(*ON_DEMAND[2:]))
    assert await load(around, "one/*") == 5
    assert around.heard.checks["no_row_stands_in_two_files"] == "PASSED"


async def test_the_words_in_a_path_mean_nothing(around: Surroundings) -> None:
    around.deliver("factual/amortized/p.csv", export(*ON_DEMAND))
    assert await load(around, "factual/amortized/*") == 5
    assert await costs(around) == (Decimal("12.5"), Decimal("12.5"))


async def test_where_one_role_is_left_its_export_is_all_there_is(around: Surroundings) -> None:
    two_exports(around)
    files = {"actual": "one/*", "amortized": "${parameters.none}"}
    await around.run("ingest.file", {"files": files, **TABLE}, none="")
    assert (await around.run("cost.focus", FOCUS)).rows == 6
    assert await costs(around) == (Decimal(48), Decimal(48))
    (columns,) = await around.rows("SELECT TO_JSON_STRING(r) AS j FROM $.raw AS r LIMIT 1")
    assert "x_role" not in columns["j"]


async def test_a_bill_of_which_nothing_is_left_is_no_bill(around: Surroundings) -> None:
    around.deliver("one/p.csv", export(ON_DEMAND[1], f"{USAGE[1]}OnDemand,,24,-1.5"))
    around.deliver("two/p.csv", export())
    with pytest.raises(StepError, match=r"costs_are_left: .*in_the_amortized_export 2"):
        await load(around, ROLES)


async def test_roles_that_the_mapping_does_not_know_are_refused(around: Surroundings) -> None:
    two_exports(around)
    with pytest.raises(StepError, match=r"role 'actuals': there are actual, amortized"):
        await load(around, {"actuals": "one/*", "amortized": "two/*"})


async def test_a_file_has_one_role(around: Surroundings) -> None:
    two_exports(around)
    with pytest.raises(StepError, match=r"one/p.csv is found as actual and as amortized"):
        await load(around, {"actual": "one/*", "amortized": "*/*"})


async def test_rows_that_are_tried_again_keep_their_role(around: Surroundings) -> None:
    two_exports(around)
    around.deliver("two/p.csv", export(*ON_DEMAND[1:], COVERED[1].replace(",24,", ",many,")))
    said = {"contract": "discard_row", "columns": TYPES | {"Quantity": "decimal"}}
    assert await load(around, ROLES, **said) == 5
    await around.run("ingest.replay", {**TABLE, **said, "contract": "discard_value"})
    assert (await around.run("cost.focus", FOCUS)).rows == 6
    assert await costs(around) == (Decimal(48), Decimal("13.2"))


async def test_a_cost_that_was_left_out_is_no_cost_of_nothing(around: Surroundings) -> None:
    around.deliver("one/p.csv", export(ON_DEMAND[1], f"{USAGE[1]}OnDemand,,24,one"))
    columns = TYPES | {"CostInBillingCurrency": "decimal"}
    with pytest.raises(
        StepError, match=r"one/p.csv, column CostInBillingCurrency: row 2: it is em"
    ):
        await load(around, "one/*", contract="discard_value", columns=columns)
