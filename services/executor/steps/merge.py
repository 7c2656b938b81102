"""The statements that bring staged rows into their table, each in one atomic job."""

from collections.abc import Sequence

# Every name here is a checked or declared identifier; every value is a bound parameter.


def quoted(path: str) -> str:
    return f"`{path}`"


def doubled_keys(staging: str, keys: Sequence[str]) -> str:
    """How many keys are there more than once, or are null."""
    columns = ", ".join(map(quoted, keys))
    missing = " OR ".join(f"{quoted(key)} IS NULL" for key in keys)
    return (
        f"SELECT COUNTIF(alike > 1) AS doubled, COUNTIF(empty) AS empty FROM ("  # noqa: S608
        f"SELECT COUNT(*) AS alike, LOGICAL_OR({missing}) AS empty"
        f" FROM {quoted(staging)} GROUP BY {columns})"
    )


def days_of(staging: str, column: str, most: int) -> str:
    day = f"DATE({quoted(column)})"
    return f"SELECT DISTINCT {day} AS day FROM {quoted(staging)} LIMIT {most + 1}"  # noqa: S608


def merge(target: str, staging: str, columns: Sequence[str], keys: Sequence[str]) -> str:
    """Rows whose key is there are updated, the others are added."""
    same = " AND ".join(f"t.{quoted(key)} = s.{quoted(key)}" for key in keys)
    changed = [name for name in columns if name not in keys]
    update = ", ".join(f"{quoted(name)} = s.{quoted(name)}" for name in changed)
    matched = f" WHEN MATCHED THEN UPDATE SET {update}" if changed else ""
    return (
        f"MERGE INTO {quoted(target)} AS t USING {quoted(staging)} AS s ON {same}"
        f"{matched} {_insert(columns)}"
    )


def replace_days(target: str, staging: str, columns: Sequence[str], column: str) -> str:
    """All rows of the days in `@days` are replaced by what is staged."""
    return (
        f"MERGE INTO {quoted(target)} AS t USING {quoted(staging)} AS s ON FALSE"
        f" {_insert(columns)}"
        f" WHEN NOT MATCHED BY SOURCE AND DATE(t.{quoted(column)}) IN UNNEST(@days) THEN DELETE"
    )


def _insert(columns: Sequence[str]) -> str:
    names = ", ".join(map(quoted, columns))
    values = ", ".join(f"s.{quoted(name)}" for name in columns)
    return f"WHEN NOT MATCHED THEN INSERT ({names}) VALUES ({values})"  # noqa: S608
