"""Whether the charges of a load are in the table already, as those of another slice.

Slices of a raw table add up. One bill that is found as two of them, a file for all months say,
would be counted twice, with every row conserved. Days tell: of each sub account, the same number
of rows for the same things at the same costs, to the last digit, is the same day of the same bill.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from contracts.quality import CheckPart, CheckStatus, Severity
from services.executor.focus.begins import formatted, month_of
from services.executor.focus.tables import Replacement

NAME = "no_charge_stands_in_two_slices"
OTHERWISE = (
    "name the month's own files in `files`, with {period.month}, or load one slice; what another"
    " slice should not have goes when that is loaded anew, or from a file with a header alone"
)
_KEY = "account, period, currency"
_DAY = f"{_KEY}, sub_account, day"
_FIGURES = "number, billed, effective"
_THING = ("ResourceId", "SkuId", "ChargeDescription", "RegionId")
"""What a row is for, as its bill says it: not what look-ups make of it, which change."""
_TEXT = ", '|', ".join(f"IFNULL({column}, '')" for column in _THING)
_MARK = f"SUM(CAST(CONCAT('0x', SUBSTR(TO_HEX(MD5(LOWER(CONCAT({_TEXT})))), 1, 8)) AS INT64))"
"""Of rows in whatever order; those that are alike count each time, and the sum has room for all."""


def found_beside(replacement: Replacement, staged: str) -> str:
    """SQL: for each other load, account, period and currency that has days alike, how many.

    Speaks of the parameters of the replacement. Reads only what the load has periods of. A load
    may not have half of the days of another one, nor another one half of its. A month that had
    them already may stay as it is: what strayed into it has to go. Another raw table may have
    the bill in another form, so that there the costs alone are compared.
    """
    of_row = (
        "BillingAccountId AS account, BillingPeriodStart AS period, BillingCurrency AS currency,"
        " IFNULL(SubAccountId, '') AS sub_account, DATE(ChargePeriodStart) AS day,"
        f" BilledCost, EffectiveCost, {', '.join(_THING)}"
    )
    elsewhere = "NOT IFNULL(STARTS_WITH(l.source, @own), FALSE)"
    here = "BillingPeriodStart >= @first AND BillingPeriodStart <= @last AND x_provider = @provider"
    return f"""
WITH days AS (
  SELECT side, load_id, {_DAY}, COUNT(*) AS number,
    SUM(BilledCost) AS billed, SUM(EffectiveCost) AS effective, {_MARK} AS things
  FROM (
    SELECT 'brought' AS side, '' AS load_id, {of_row} FROM {staged}
    UNION ALL
    SELECT IF({replacement.ours}, 'before', 'stays') AS side,
      IF({replacement.ours}, '', IFNULL(x_load_id, '')) AS load_id, {of_row}
    FROM {replacement.there}
    WHERE {here} AND ({replacement.ours} OR NOT {replacement.gives_way})
  )
  GROUP BY side, load_id, {_DAY}
  HAVING SUM(BilledCost) <> 0 OR SUM(EffectiveCost) <> 0
),
brought AS (SELECT {_DAY}, {_FIGURES}, things FROM days WHERE side = 'brought'),
before AS (SELECT {_DAY}, {_FIGURES}, things FROM days WHERE side = 'before'),
sources AS (SELECT load_id, MAX(source) AS source FROM {replacement.loads} GROUP BY 1),
sizes AS (SELECT {_KEY}, COUNT(*) AS size FROM brought GROUP BY {_KEY}),
counted AS (
  SELECT l.source, s.load_id, s.account, s.period, s.currency, COUNT(*) AS others,
    COUNTIF(b.things = s.things OR b.things IS NOT NULL AND {elsewhere}) AS alike,
    COUNTIF(w.things = s.things OR w.things IS NOT NULL AND {elsewhere}) AS were
  FROM days AS s
  LEFT JOIN sources AS l USING (load_id)
  LEFT JOIN brought AS b USING ({_DAY}, {_FIGURES})
  LEFT JOIN before AS w USING ({_DAY}, {_FIGURES})
  WHERE s.side = 'stays'
  GROUP BY 1, 2, 3, 4, 5
)
SELECT c.source, c.account, c.period, c.currency, c.alike, LEAST(c.others, z.size) AS days,
  2 * c.alike >= LEAST(c.others, z.size)
    AND NOT ({formatted("%Y-%m", "c.period")} = @slice AND 2 * c.were >= c.alike) AS stops
FROM counted AS c
JOIN sizes AS z USING ({_KEY})
WHERE c.alike > 0
"""  # noqa: S608  names that were checked


def loads_of_provider(replacement: Replacement) -> str:
    """SQL: how many there are, by which later ones are noticed."""
    return f"SELECT COUNT(*) AS n FROM {replacement.loads} WHERE provider = @provider"  # noqa: S608


def guarded(replacement: Replacement) -> str:
    """For the transaction: fails it if what was loaded since the check has the same charges."""
    found = f"SELECT 1 FROM ({found_beside(replacement, '{staged}')}) WHERE stops"  # noqa: S608
    return (
        f"IF ({loads_of_provider(replacement)}) <> @loads_seen THEN IF EXISTS ({found})"
        f" THEN RAISE USING MESSAGE = '{NAME}'; END IF; END IF"
    )


def beside_check(found: Sequence[Mapping[str, Any]]) -> CheckPart:
    """Of what `found_beside` tells, the worst first."""
    stops = any(row["stops"] for row in found)
    alike = [
        f"{month_of(row['period'])} account {row['account']}: {row['alike']} of {row['days']} days"
        f" cost the same {row['currency']} in {row['source'] or 'an older load'}"
        for row in found
    ]
    return CheckPart(
        name=NAME,
        kind="days_of_sub_accounts_that_are_alike_in_another_slice",
        severity=Severity.FAIL if stops or not found else Severity.WARN,
        status=CheckStatus.FAILED if found else CheckStatus.PASSED,
        observed=str(sum(row["alike"] for row in found)),
        expected="0",
        detail="; ".join([*alike, OTHERWISE] if found else []),
    )
