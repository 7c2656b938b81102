"""Checks of a table, compiled into one scan of it.

Named as in Great Expectations where it has a name for them. Every check becomes a
few columns of one SELECT: how many rows fail it, and keys of some of them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    ValidationInfo,
    field_validator,
)

from contracts.quality import MOST_CHECKS, MOST_SAMPLES, Severity
from services.executor.focus.conformance import conformance, cost_rows

FAILS = "_fails"
_NAME = r"^[A-Za-z_][A-Za-z0-9_]{0,299}$"
Column = Annotated[str, Field(pattern=_NAME)]
Number = int | float


class _Check(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(default="", max_length=200)
    severity: Severity = Severity.FAIL


class _OfColumn(_Check):
    column: Column
    mostly: float = Field(default=1.0, gt=0, le=1)
    """The share of rows that has to hold it."""


class NotNull(_OfColumn):
    type: Literal["expect_column_values_to_not_be_null", "not_null"]


class Unique(_OfColumn):
    type: Literal["expect_column_values_to_be_unique", "unique"]


class UniqueTogether(_Check):
    type: Literal["expect_compound_columns_to_be_unique", "unique_together"]
    columns: tuple[Column, ...] = Field(min_length=2, max_length=20)
    mostly: float = Field(default=1.0, gt=0, le=1)


class InSet(_OfColumn):
    type: Literal["expect_column_values_to_be_in_set", "in_set"]
    value_set: list[str] | list[int] | list[float] = Field(min_length=1, max_length=1000)


class Between(_OfColumn):
    type: Literal["expect_column_values_to_be_between", "between"]
    min_value: Number | None = None
    max_value: Number | None = None


class Matches(_OfColumn):
    type: Literal["expect_column_values_to_match_regex", "regex"]
    regex: str = Field(min_length=1, max_length=1000)


class Referenced(_OfColumn):
    type: Literal["expect_column_values_to_be_in_other_table", "referential"]
    other_table: str = Field(min_length=3, max_length=1400)
    other_column: Column


class OneParent(_OfColumn):
    """Wherever a value of the column stands, `parent` is the same."""

    type: Literal["expect_column_values_to_have_one_parent", "one_parent"]
    parent: Column


class Rows(_OfColumn):
    """A condition that every row has to hold."""

    type: Literal["expect_rows_to_satisfy", "sql"]
    column: Column = "_"
    condition: str = Field(min_length=1, max_length=10_000)


class RowCount(_Check):
    type: Literal["expect_table_row_count_to_be_between", "row_count"]
    min_value: int | None = Field(default=None, ge=0)
    max_value: int | None = Field(default=None, ge=0)


class Fresh(_Check):
    type: Literal["expect_column_max_to_be_recent", "freshness"]
    column: Column
    max_age_hours: float = Field(gt=0)


class UsualVolume(_Check):
    """The rows of the run's date against those of the days before, in the table itself."""

    type: Literal["expect_daily_row_count_to_be_usual", "volume"]
    column: Column
    lookback_days: int = Field(default=28, ge=3, le=400)
    deviations: float = Field(default=3.0, gt=0, le=20)


Check = Annotated[
    NotNull
    | Unique
    | UniqueTogether
    | InSet
    | Between
    | Matches
    | Referenced
    | OneParent
    | Rows
    | RowCount
    | Fresh
    | UsualVolume,
    Field(discriminator="type"),
]
RowCheck = (
    NotNull | Unique | UniqueTogether | InSet | Between | Matches | Referenced | OneParent | Rows
)
LONG_NAMES = {
    "not_null": "expect_column_values_to_not_be_null",
    "unique": "expect_column_values_to_be_unique",
    "unique_together": "expect_compound_columns_to_be_unique",
    "in_set": "expect_column_values_to_be_in_set",
    "between": "expect_column_values_to_be_between",
    "regex": "expect_column_values_to_match_regex",
    "referential": "expect_column_values_to_be_in_other_table",
    "one_parent": "expect_column_values_to_have_one_parent",
    "sql": "expect_rows_to_satisfy",
    "row_count": "expect_table_row_count_to_be_between",
    "freshness": "expect_column_max_to_be_recent",
    "volume": "expect_daily_row_count_to_be_usual",
}


Suite = Literal["", "focus_1_4", "cost"]
SUITES: Mapping[str, Callable[[], list[dict[str, Any]]]] = {
    "focus_1_4": conformance,
    "cost": cost_rows,
}


class Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    table: str = Field(min_length=1, max_length=1400)
    where: str = Field(default="", max_length=10_000)
    """Only these rows are looked at, e.g. one day's."""
    key: tuple[Column, ...] = Field(default=(), max_length=10)
    """Columns that tell which row a sample is of."""
    suite: Suite = ""
    """Checks that come with the platform, beside one's own."""
    checks: tuple[Check, ...] = Field(default=(), max_length=MOST_CHECKS, validate_default=True)

    @field_validator("checks", mode="before")
    @classmethod
    def _with_suite(cls, own: Any, info: ValidationInfo) -> Any:
        suite = info.data.get("suite", "")
        if not suite and not own:
            raise ValueError("name at least one check, or a suite")
        return [*SUITES[suite](), *own] if suite else own


@dataclass(slots=True)
class Scan:
    """The one query for all checks, while it is being put together."""

    table: str
    inner: list[str] = field(default_factory=lambda: ["t.*"])
    joins: list[str] = field(default_factory=list)
    outer: list[str] = field(default_factory=lambda: ["COUNT(*) AS row_count"])
    parameters: dict[str, JsonValue] = field(default_factory=dict)

    def bind(self, name: str, value: JsonValue) -> str:
        self.parameters[name] = value
        return f"@{name}"

    def sql(self, where: str) -> str:
        # Everything is a checked name, a bound value, or goes through the guard as a whole.
        rows = f" WHERE {where}" if where else ""
        return (
            f"WITH scanned AS (SELECT {', '.join(self.inner)} FROM {self.table} AS t"  # noqa: S608
            f" {' '.join(self.joins)}{rows})\nSELECT {', '.join(self.outer)} FROM scanned"
        )


def compile_checks(config: Config, table: str) -> Scan:
    scan = Scan(table)
    for index, check in enumerate(config.checks):
        if isinstance(check, RowCheck):
            _count_failing(scan, index, _FAILS[type(check)](scan, index, check), config.key)
        else:
            _MEASURES[type(check)](scan, index, check)
    return scan


def _count_failing(scan: Scan, index: int, fails: str, key: tuple[str, ...]) -> None:
    scan.outer.append(f"COUNTIF({fails}) AS failing_{index}")
    if key:
        named = ", ".join(f"`{name}` AS `{name}`" for name in key)
        order = ", ".join(f"`{name}`" for name in key)
        worst = f"COALESCE({fails}, FALSE)"
        scan.outer.append(
            f"ARRAY_AGG(STRUCT({worst} AS {FAILS}, {named}) ORDER BY {worst} DESC, {order}"
            f" LIMIT {MOST_SAMPLES}) AS samples_{index}"
        )


def _not_null(_: Scan, __: int, check: NotNull) -> str:
    return f"`{check.column}` IS NULL"


def _unique(scan: Scan, index: int, check: Unique) -> str:
    scan.inner.append(f"COUNT(*) OVER (PARTITION BY t.`{check.column}`) AS _alike_{index}")
    return f"`{check.column}` IS NOT NULL AND _alike_{index} > 1"


def _unique_together(scan: Scan, index: int, check: UniqueTogether) -> str:
    columns = ", ".join(f"t.`{name}`" for name in check.columns)
    scan.inner.append(f"COUNT(*) OVER (PARTITION BY {columns}) AS _alike_{index}")
    return f"_alike_{index} > 1"


def _in_set(scan: Scan, index: int, check: InSet) -> str:
    values: list[JsonValue] = list(check.value_set)
    return f"`{check.column}` NOT IN UNNEST({scan.bind(f'set_{index}', values)})"


def _between(scan: Scan, index: int, check: Between) -> str:
    bounds = []
    if check.min_value is not None:
        bounds.append(f"`{check.column}` < {scan.bind(f'min_{index}', check.min_value)}")
    if check.max_value is not None:
        bounds.append(f"`{check.column}` > {scan.bind(f'max_{index}', check.max_value)}")
    return f"({' OR '.join(bounds) or 'FALSE'})"


def _matches(scan: Scan, index: int, check: Matches) -> str:
    pattern = scan.bind(f"regex_{index}", check.regex)
    return f"NOT REGEXP_CONTAINS(CAST(`{check.column}` AS STRING), {pattern})"


def _referenced(scan: Scan, index: int, check: Referenced) -> str:
    other, column = f"_other_{index}", check.other_column
    scan.joins.append(
        f"LEFT JOIN (SELECT DISTINCT `{column}` AS _key FROM {check.other_table}) AS {other}"  # noqa: S608  guarded as a whole
        f" ON t.`{check.column}` = {other}._key"
    )
    scan.inner.append(f"{other}._key IS NULL AS _lost_{index}")
    return f"`{check.column}` IS NOT NULL AND _lost_{index}"


def _one_parent(scan: Scan, index: int, check: OneParent) -> str:
    over = f"OVER (PARTITION BY t.`{check.column}`)"
    parent = f"t.`{check.parent}`"
    scan.inner.append(f"MIN({parent}) {over} <> MAX({parent}) {over} AS _torn_{index}")
    return f"`{check.column}` IS NOT NULL AND COALESCE(_torn_{index}, FALSE)"


def _rows(_: Scan, __: int, check: Rows) -> str:
    return f"NOT COALESCE(({check.condition}), FALSE)"


def _row_count(_: Scan, __: int, ___: RowCount) -> None:
    """The count of all rows is there anyway."""


def _fresh(scan: Scan, index: int, check: Fresh) -> None:
    newest = f"MAX(TIMESTAMP(`{check.column}`))"
    scan.outer.append(f"CAST({newest} AS STRING) AS newest_{index}")
    scan.outer.append(f"TIMESTAMP_DIFF(@checked_at, {newest}, MINUTE) AS age_{index}")


def _usual_volume(scan: Scan, index: int, check: UsualVolume) -> None:
    """The sum of each row's day's count is the sum of squares of the days' counts."""
    day, same = f"DATE(t.`{check.column}`)", f"_same_day_{index}"
    scan.inner += [f"{day} AS _day_{index}", f"COUNT(*) OVER (PARTITION BY {day}) AS {same}"]
    before = (
        f"_day_{index} < @run_date AND"
        f" DATE_DIFF(@run_date, _day_{index}, DAY) <= {check.lookback_days}"
    )
    scan.outer += [
        f"COUNTIF(_day_{index} = @run_date) AS today_{index}",
        f"COUNTIF({before}) AS before_{index}",
        f"COUNT(DISTINCT IF({before}, _day_{index}, NULL)) AS days_{index}",
        f"SUM(IF({before}, {same}, 0)) AS squares_{index}",
    ]


_FAILS: Mapping[type[BaseModel], Callable[..., str]] = {
    NotNull: _not_null,
    Unique: _unique,
    UniqueTogether: _unique_together,
    InSet: _in_set,
    Between: _between,
    Matches: _matches,
    Referenced: _referenced,
    OneParent: _one_parent,
    Rows: _rows,
}
_MEASURES: Mapping[type[BaseModel], Callable[..., None]] = {
    RowCount: _row_count,
    Fresh: _fresh,
    UsualVolume: _usual_volume,
}
