"""What goes wrong on the way to FOCUS, phrased for the tenant.

FocusError
├── MappingError          a mapping or look-up of ours is not sound
├── MissingColumnsError   the export lacks columns that no row can do without
├── TooManyError          a bill is of more accounts, periods and currencies than are summed apart
└── BadValueError         a value cannot be read as what its column holds, or is not there
"""

from collections.abc import Collection, Iterable


class FocusError(Exception):
    """Base of what normalising raises; `code` is stable."""

    code = "focus_error"


class MappingError(FocusError):
    code = "bad_mapping"

    def __init__(self, where: str, problem: str) -> None:
        super().__init__(f"mapping {where}: {problem}")


class MissingColumnsError(FocusError):
    code = "missing_columns"

    def __init__(self, mapping: str, missing: Iterable[str], found: Iterable[str]) -> None:
        self.missing = tuple(missing)
        shown = ", ".join(list(found)[:12])
        super().__init__(
            f"{mapping}: the export has no column {', '.join(self.missing)}; it begins with"
            f" {shown}. Export it with these columns, or choose the template that fits it"
        )


class TooManyError(FocusError):
    code = "too_many_accounts"

    def __init__(self, most: int, keys: Collection[tuple[object, str, str]]) -> None:
        periods, accounts, currencies = (len(set(each)) for each in zip(*keys, strict=True))
        *_, (_, account, _) = keys
        super().__init__(
            f"the bill has more than {most:,} billing accounts, by period and currency: so far"
            f" {accounts:,} accounts (one is {account[:80]!r}), {periods:,} periods and"
            f" {currencies:,} currencies. See that BillingAccountId is who pays, not what is used;"
            " else deliver the bill in parts, each as a slice of its own"
        )


class BadValueError(FocusError):
    code = "bad_value"

    def __init__(self, column: str, row: int, value: object, expected: str) -> None:
        """A value of None is one that is not there."""
        self.column, self.row, self.value, self.expected = column, row, value, expected
        self.problem = f"{str(value)[:80]!r} is not {expected}"
        if value is None:
            self.problem = f"it is empty, where {expected} must be"
        super().__init__(f"row {row}, column {column}: {self.problem}")

    def under(self, column: str) -> "BadValueError":
        """The same of a column that has another name in the export."""
        return BadValueError(column, self.row, self.value, self.expected)
