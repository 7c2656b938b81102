"""What became of an export's rows: counted and summed while they pass, exactly.

Memory is bounded, whatever a bill names: of too many billing accounts nothing is loaded, and what
is kept of other names for one check alone is given up, which that check tells.
"""

from collections import Counter
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl

from services.executor.focus.errors import TooManyError
from services.executor.focus.money import NOTHING, added, less
from services.executor.focus.needed import CURRENCY
from services.executor.focus.twice import Twice

MOST_UNMAPPED = 200
MOST_KEYS = 20_000
"""Billing accounts, by period and currency: each is also asked for in the table."""
MOST_NAMES = 100_000
"""Of what one check keeps."""
MOST_DAYS_USED = 300_000
"""Of all sub accounts together: ten thousand in a month."""
DAYS, USED, COMMITMENTS = "days", "used", "commitments"
AMOUNT = "\0amount"
"""Of rows of an export, as they are charged."""
_KEY = ("BillingPeriodStart", "BillingAccountId", "BillingCurrency")
_ENDS = ("ChargePeriodEnd", "BillingPeriodEnd")
_OF = ("ChargeCategory", "ChargeFrequency", "SubAccountId", "CommitmentDiscountId")
_COSTS = ("BilledCost", "EffectiveCost")
COUNTED = (*_KEY, *_OF, *_ENDS, *_COSTS, "ChargePeriodStart", "CommitmentDiscountStatus")
"""What is asked of FOCUS rows."""
_DAY = timedelta(hours=25)
"""The longest that there is, where clocks are put back."""
Key = tuple[datetime, str, str]
"""Billing period, billing account, billing currency."""
Day = tuple[date, str, str]
"""On which charges begin; billing account, billing currency."""


@dataclass(frozen=True, slots=True)
class Commitment:
    """What recurs of its price in a billing period, and what its usage cost in effect.

    What was paid once, upfront, is spread over usage of later periods too.
    """

    recurring: Decimal = NOTHING
    effective: Decimal = NOTHING
    covered: int = 0


@dataclass(slots=True)
class Offset:
    """What some lines of bills take away, and what the others leave out for it."""

    taken: dict[Key, Decimal] = field(default_factory=dict)
    left_out: dict[Key, Decimal] = field(default_factory=dict)


@dataclass(slots=True)
class Unmapped:
    """Values that are not known: in how many rows, and what those cost, signs aside."""

    rows: Counter[str] = field(default_factory=Counter)
    costs: dict[tuple[str, str], Decimal] = field(default_factory=dict)
    """By value and currency."""

    def add(self, values: pl.Series, charged: pl.DataFrame) -> None:
        """Adds the values of rows that are not known, and what these rows cost."""
        frame = charged.select(values.alias("value"), pl.col(CURRENCY), pl.col(AMOUNT).abs())
        grouped = frame.group_by("value", CURRENCY).agg(pl.len(), pl.col(AMOUNT).sum())
        for value, currency, number, cost in grouped.sort("value", CURRENCY).iter_rows():
            known = value in self.rows or len(self.rows) < MOST_UNMAPPED
            name = value if known else "(others)"
            self.rows[name] += number
            key = (name, currency)
            self.costs[key] = added(self.costs.get(key, NOTHING), cost)


@dataclass(slots=True)
class Tally:
    """Adds up over batches. `conserved` is the first thing to ask of a load."""

    rows_in: int = 0
    rows_out: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    added: Counter[str] = field(default_factory=Counter)
    repeated: dict[str, int] = field(default_factory=dict)
    """By list of elements: those that stand in a row a second time."""
    unmapped: dict[str, Unmapped] = field(default_factory=dict)
    """By look-up: also of those that miss nothing."""
    turnover: dict[str, Decimal] = field(default_factory=dict)
    """What all rows cost, signs aside, by currency."""
    raw: dict[Key, Decimal] = field(default_factory=dict)
    billed: dict[Key, Decimal] = field(default_factory=dict)
    effective: dict[Key, Decimal] = field(default_factory=dict)
    days: dict[Day, Decimal] = field(default_factory=dict)
    """EffectiveCost of usage."""
    used: dict[str, set[date]] = field(default_factory=dict)
    """Days on which usage begins, by sub account."""
    newest: datetime | None = None
    """When the last charge ends."""
    used_until: datetime | None = None
    """When the last usage of a day or less ends: what is charged by the month ends with it."""
    period_end: datetime | None = None
    commitments: dict[tuple[datetime, str], "Commitment"] = field(default_factory=dict)
    cancelling: dict[str, dict[tuple[datetime, str], Decimal]] = field(default_factory=dict)
    """By check: of a billing period and what cancels out for itself, what is left of it."""
    offsets: dict[str, Offset] = field(default_factory=dict)
    """By check."""
    given_up: dict[str, str] = field(default_factory=dict)
    """Why, by the name of what was kept for a check, or of one whose charges should cancel out."""
    absent: frozenset[str] | None = None
    """What was to be kept and is in no part of the export; None where nothing was said."""
    twice: Twice | None = None
    """Of a mapping whose rows may stand in one file only."""
    rounded: int = 0
    """Values with digits beyond the eighteenth decimal."""

    @property
    def rows_accounted(self) -> bool:
        dropped, added = sum(self.dropped.values()), sum(self.added.values())
        return self.rows_in - dropped + added == self.rows_out

    @property
    def lost(self) -> dict[Key, Decimal]:
        """By period, account and currency: what the bill has and the result has not."""
        keys = self.raw.keys() | self.billed.keys()
        differences = {
            key: less(self.raw.get(key, NOTHING), self.billed.get(key, NOTHING)) for key in keys
        }
        return {key: lost for key, lost in sorted(differences.items()) if lost}

    @property
    def conserved(self) -> bool:
        return not self.lost

    def miss(self, absent: frozenset[str]) -> None:
        """What one part of the export has not."""
        self.absent = absent if self.absent is None else self.absent & absent

    def add_charged(self, charged: pl.DataFrame) -> None:
        """What is kept of an export's rows: of period, account, currency and amount."""
        *key, amount = charged.columns
        grouped = charged.group_by(key).agg(
            pl.col(amount).sum(), pl.col(amount).abs().sum().alias("turned over")
        )
        add_sums(self.raw, grouped.select(*key, amount))
        _refuse_many(self.raw)
        for currency, cost in grouped.select(CURRENCY, "turned over").iter_rows():
            self.turnover[currency] = added(self.turnover.get(currency, NOTHING), cost)

    def add_cancelling(self, name: str, by: pl.DataFrame, charged: pl.DataFrame) -> None:
        """Charges that should cancel out for each `by`."""
        if name in self.given_up:
            return
        period, *_, amount = charged.columns
        what = by.to_series().cast(pl.String).fill_null("").alias("by")
        sums = charged.with_columns(what).group_by(period, "by").agg(pl.col(amount).sum())
        found = self.cancelling[name]
        for *key, value in sums.iter_rows():
            at = (key[0], key[1])
            found[at] = added(found.get(at, NOTHING), value)
        self._bound(name, found, len(found), MOST_NAMES)

    def add_offset(self, name: str, lines: pl.Series, amounts: pl.DataFrame) -> None:
        """Amounts by period, account and currency; of these lines they are below nothing."""
        *key, amount = amounts.columns
        found = self.offsets[name]
        some = amounts.with_columns(lines.alias("taken")).filter(pl.col(amount) != 0)
        sums = some.group_by(*key, "taken").agg(pl.col(amount).sum())
        for taken, to in ((True, found.taken), (False, found.left_out)):
            add_sums(to, sums.filter(pl.col("taken").eq_missing(taken)).drop("taken"))

    def add_result(self, rows: pl.DataFrame) -> None:
        """What is kept of FOCUS rows that have been made."""
        self.rows_out += rows.height
        if not rows.height:
            return
        costs = pl.col(*_COSTS)
        end, status = pl.col("ChargePeriodEnd"), pl.col("CommitmentDiscountStatus")
        used = (end - pl.col("ChargePeriodStart") <= _DAY) & status.ne_missing("Unused")
        # All rows once; whatever else is asked is asked of the few that are left.
        grouped = rows.group_by(
            *_KEY, *_OF, pl.col("ChargePeriodStart").dt.date().alias("day")
        ).agg(
            costs.sum(),
            pl.len().alias("rows"),
            pl.col(*_ENDS).max(),
            pl.when(used).then(end).max().alias("used"),
        )
        sums = grouped.group_by(_KEY).agg(costs.sum())
        add_sums(self.billed, sums.select(*_KEY, "BilledCost"))
        add_sums(self.effective, sums.select(*_KEY, "EffectiveCost"))
        _refuse_many(self.billed)
        usage = grouped.filter(pl.col("ChargeCategory") == "Usage")
        self._add_days(usage)
        self._add_used(usage)
        self._add_commitments(grouped)
        self.used_until = _later(self.used_until, usage["used"].max())
        self.newest = _later(self.newest, grouped["ChargePeriodEnd"].max())
        self.period_end = _later(self.period_end, grouped["BillingPeriodEnd"].max())

    def _bound(self, name: str, kept: dict[Any, Any], number: int, most: int) -> None:
        """Gives up what is kept for a check where it is too much."""
        if number > most:
            self.given_up[name] = f"the bill has more than {most:,} of what it looks at"
            kept.clear()

    def _add_days(self, usage: pl.DataFrame) -> None:
        if DAYS in self.given_up:
            return
        by = ("day", "BillingAccountId", "BillingCurrency")
        sums = usage.group_by(by).agg(pl.col("EffectiveCost").sum())
        for day, account, currency, cost in sums.iter_rows():
            key = (day, account, currency)
            self.days[key] = added(self.days.get(key, NOTHING), cost)
        self._bound(DAYS, self.days, len(self.days), MOST_NAMES)

    def _add_used(self, usage: pl.DataFrame) -> None:
        if USED in self.given_up:
            return
        for account, day in usage.select("SubAccountId", "day").unique().iter_rows():
            self.used.setdefault(account or "", set()).add(day)
        self._bound(USED, self.used, sum(map(len, self.used.values())), MOST_DAYS_USED)

    def _add_commitments(self, grouped: pl.DataFrame) -> None:
        if COMMITMENTS in self.given_up:
            return
        bought = pl.col("ChargeCategory") == "Purchase"
        recurring = bought & pl.col("ChargeFrequency").ne_missing("One-Time")
        sums = (
            grouped.filter(pl.col("CommitmentDiscountId").is_not_null())
            .group_by("BillingPeriodStart", "CommitmentDiscountId")
            .agg(
                # Not what is refunded: its effective cost stands in its own row.
                (pl.col("BilledCost") - pl.col("EffectiveCost")).filter(recurring).sum(),
                pl.col("EffectiveCost").filter(~bought).sum(),
                pl.col("rows").filter(~bought).sum(),
            )
        )
        for period, name, paid, effective, covered in sums.iter_rows():
            before = self.commitments.get((period, name), Commitment())
            self.commitments[period, name] = Commitment(
                added(before.recurring, paid),
                added(before.effective, effective),
                before.covered + covered,
            )
        self._bound(COMMITMENTS, self.commitments, len(self.commitments), MOST_NAMES)


def _refuse_many(sums: dict[Key, Decimal]) -> None:
    if len(sums) > MOST_KEYS:
        raise TooManyError(MOST_KEYS, sums)


def _later(before: datetime | None, found: object) -> datetime | None:
    if not isinstance(found, datetime):
        return before
    return found if before is None else max(before, found)


def add_sums(sums: dict[Key, Decimal], frame: pl.DataFrame) -> None:
    """Adds a frame of period, account, currency and amount."""
    for at, who, what, value in frame.iter_rows():
        key = (at, who, what)
        sums[key] = added(sums.get(key, NOTHING), value or NOTHING)
