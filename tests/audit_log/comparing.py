"""Whether the views say what was said, row by row and value by value."""

import json
from collections import Counter
from typing import Any

from libs.warehouse.warehouse import Warehouse
from tests.audit_log.expected import VIEWS
from tests.audit_log.expected_state import Row, Said

JSON_COLUMNS = frozenset({"inputs", "columns", "samples"})
SHOWN = 3


async def differences(warehouse: Warehouse, said: Said) -> list[str]:
    """What is missing, too much or other than it was said; nothing when all is right."""
    wrong: list[str] = []
    for view, fold in VIEWS.items():
        wanted = fold(said)
        columns = sorted({name for row in wanted for name in row})
        found = await warehouse.query(
            f"SELECT {', '.join(f'`{name}`' for name in columns)} FROM tenants.{view}"
        )
        wrong += _compared(view, columns, wanted, found)
    return wrong


def _compared(view: str, columns: list[str], wanted: list[Row], found: list[Row]) -> list[str]:
    must, is_ = (Counter(_values(row, columns) for row in rows) for rows in (wanted, found))
    missing, surplus = must - is_, is_ - must
    if not missing and not surplus:
        return []
    lines = [f"{view} {columns}: {missing.total()} rows missing, {surplus.total()} too much"]
    lines += [f"  missing {row}" for row in sorted(missing, key=repr)[:SHOWN]]
    return lines + [f"  surplus {row}" for row in sorted(surplus, key=repr)[:SHOWN]]


def _values(row: Row, columns: list[str]) -> tuple[Any, ...]:
    return tuple(_plain(name, row.get(name)) for name in columns)


def _plain(name: str, value: Any) -> Any:
    if name in JSON_COLUMNS and isinstance(value, str):
        return json.dumps(json.loads(value), sort_keys=True)
    return tuple(value) if isinstance(value, list) else value
