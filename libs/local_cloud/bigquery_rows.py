"""Mends insertAll: every row is checked before any is written, and repeats are dropped.

bqemulator ignores insert ids, and takes rows that no table of BigQuery takes.
"""

import asyncio
import base64
import json
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from bqemulator.api.routes import tabledata
from bqemulator.domain.errors import ResourceRef, ValidationError, resource_not_found
from bqemulator.storage.arrow_bridge import bq_rows_to_arrow
from bqemulator.storage.sql_identifiers import quoted_table_ref
from fastapi import Request

from libs.local_cloud.bigquery_columns import RECORDS, Field, arrow_schema, fields_of
from libs.local_cloud.bigquery_mending import replace_route
from libs.local_cloud.bigquery_writes import append

REMEMBERED_SECONDS = 60
REMEMBERED_IDS = 200_000
MOST_ROWS = 50_000
ANSWER = {"kind": "bigquery#tableDataInsertAllResponse"}


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with one value."""

    location: str
    message: str
    reason: str = "invalid"

    def shown(self) -> dict[str, str]:
        return {
            "reason": self.reason,
            "location": self.location,
            "debugInfo": "",
            "message": self.message,
        }


STOPPED = Fault("", "", "stopped")


def mend() -> None:
    replace_route(tabledata.router, "insert_all", _insert_all)


_seen: OrderedDict[tuple[str, ...], float] = OrderedDict()


async def _insert_all(
    project_id: str, dataset_id: str, table_id: str, request: Request, ctx: tabledata._Ctx
) -> dict[str, Any]:
    known = ctx.catalog.get_table(project_id, dataset_id, table_id)
    if known is None:
        raise resource_not_found(ResourceRef("table", project_id, dataset_id, table_id))
    body = await request.json()
    rows = body.get("rows") or []
    if len(rows) > MOST_ROWS:
        raise ValidationError(f"Too many rows present in the request, limit: {MOST_ROWS}")
    good, faults = _sort(fields_of(known), rows, ignore=bool(body.get("ignoreUnknownValues")))
    if faults and not body.get("skipInvalidRows"):
        stopped = {index: [STOPPED] for index in range(len(rows)) if index not in faults}
        return {**ANSWER, "insertErrors": _errors(faults | stopped)}
    table = (project_id, dataset_id, table_id)
    fresh = [row for row, insert_id in good if not _is_repeat((*table, insert_id))]
    if fresh:
        await asyncio.to_thread(_write, ctx, known, fresh)
        _remember([(*table, insert_id) for _, insert_id in good if insert_id])
    return {**ANSWER, "insertErrors": _errors(faults)}


def _write(ctx: Any, known: Any, rows: list[dict[str, Any]]) -> None:
    table = (known.project_id, known.dataset_id, known.table_id)
    arrow = bq_rows_to_arrow([{"json": row} for row in rows], arrow_schema(fields_of(known)))
    append(ctx.engine, quoted_table_ref(*table), arrow)


Good = list[tuple[dict[str, Any], str]]
"""(row, insert id or nothing)."""


def _sort(
    fields: Sequence[Field], rows: list[dict[str, Any]], *, ignore: bool
) -> tuple[Good, dict[int, list[Fault]]]:
    good: Good = []
    faults: dict[int, list[Fault]] = {}
    ids: set[str] = set()
    for index, given in enumerate(rows):
        check = Check(ignore, [])
        row = check.record(fields, given.get("json") or {}, "")
        insert_id = given.get("insertId") or ""
        if check.faults:
            faults[index] = check.faults
        elif not insert_id or insert_id not in ids:
            ids.add(insert_id)
            good.append((row, insert_id))
    return good, faults


def _errors(faults: dict[int, list[Fault]]) -> list[dict[str, Any]]:
    return [
        {"index": index, "errors": [fault.shown() for fault in faults[index]]}
        for index in sorted(faults)
    ]


def _is_repeat(key: tuple[str, ...]) -> bool:
    return bool(key[-1]) and time.monotonic() - _seen.get(key, -1e9) < REMEMBERED_SECONDS


def _remember(keys: list[tuple[str, ...]]) -> None:
    now = time.monotonic()
    _seen.update((key, now) for key in keys)
    while len(_seen) > REMEMBERED_IDS:
        _seen.popitem(last=False)


def _integer(value: Any) -> int:
    if isinstance(value, float) and not value.is_integer():
        raise ValueError
    return int(value)


def _boolean(value: Any) -> bool:
    return {"true": True, "false": False}[str(value).lower()]


def _numeric(value: Any) -> str:
    return str(Decimal(str(value)))


def _moment(value: Any) -> Any:
    if not isinstance(value, int | float):
        datetime.fromisoformat(str(value).replace(" UTC", "+00:00"))
    return value


def _day(value: Any) -> Any:
    date.fromisoformat(value)
    return value


def _bytes(value: Any) -> Any:
    base64.b64decode(value, validate=True)
    return value


def _string(value: Any) -> str:
    return json.dumps(value) if isinstance(value, dict | list) else str(value)


def _json(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


CONVERTED: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("INTEGER", "INT64"), _integer),
    **dict.fromkeys(("FLOAT", "FLOAT64"), float),
    **dict.fromkeys(("BOOLEAN", "BOOL"), _boolean),
    **dict.fromkeys(("NUMERIC", "BIGNUMERIC"), _numeric),
    **dict.fromkeys(("TIMESTAMP", "DATETIME"), _moment),
    "DATE": _day,
    "BYTES": _bytes,
    "STRING": _string,
    "JSON": _json,
}


@dataclass(slots=True)
class Check:
    """Converts one row and collects what is wrong with it."""

    ignores_unknown: bool
    faults: list[Fault]

    def record(self, fields: Sequence[Field], row: dict[str, Any], path: str) -> dict[str, Any]:
        names = {field["name"].lower(): field for field in fields}
        found = {}
        for key, value in row.items():
            field = names.get(key.lower())
            if field is not None:
                found[field["name"]] = self._value(field, value, path + field["name"])
            elif not self.ignores_unknown:
                self.faults.append(Fault(path + key, f"no such field: {path}{key}."))
        self.faults += self._missing(fields, found, path)
        return found

    def _missing(
        self, fields: Sequence[Field], found: dict[str, Any], path: str
    ) -> Iterator[Fault]:
        for field in fields:
            if field.get("mode") == "REQUIRED" and found.get(field["name"]) is None:
                name = path + field["name"]
                yield Fault(name, f"Missing required field: {name}.")

    def _value(self, field: Field, value: Any, path: str) -> Any:
        if value is None:
            return None
        if field.get("mode") == "REPEATED":
            if not isinstance(value, list):
                return self._fail(path, "Repeated field must be imported as a JSON array.")
            one = {**field, "mode": "NULLABLE"}
            return [self._value(one, item, path) for item in value]
        kind = str(field["type"]).upper()
        if kind in RECORDS:
            if not isinstance(value, dict):
                return self._fail(path, "This field is a record.")
            return self.record(field["fields"], value, path + ".")
        return self._scalar(kind, value, path)

    def _scalar(self, kind: str, value: Any, path: str) -> Any:
        convert: Callable[[Any], Any] = CONVERTED.get(kind, _string)
        try:
            return convert(value)
        except (ValueError, TypeError, KeyError, InvalidOperation):
            return self._fail(path, f"Cannot convert value to {kind.lower()} (bad value): {value}")

    def _fail(self, path: str, message: str) -> None:
        self.faults.append(Fault(path, message))
