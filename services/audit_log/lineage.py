"""Which tables a step reads and writes, as its definition tells, and columns as its SQL does.

Read from the definition that a run pins, before the run begins: what SQL does not
tell (`SELECT *` over tables whose columns are not known here) is left out.
"""

import json
import re
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from itertools import chain
from threading import Lock
from typing import Any

from sqlglot import exp, parse_one
from sqlglot.lineage import to_node
from sqlglot.optimizer.qualify import qualify
from sqlglot.optimizer.scope import Scope, build_scope

from contracts.envelope import Envelope
from contracts.pipelines import StepPart
from contracts.runs import RunRequestedV1
from contracts.variables import VARIABLE, fits_in_a_name, is_in_a_name, written_in_a_name
from libs.warehouse.data_tables import COSTS, FINDINGS

DIALECT = "bigquery"
LONGEST = 20_000
"""Characters of SQL whose columns are followed; of longer ones only the tables are told."""
MOST_COLUMNS = 200
MOST_SOURCES = 5_000
"""Of all columns of a step together."""
CACHED_BYTES = 16 << 20
_SQL_FIELDS = ("source_query", "sql", "query")
_OWN_TARGETS = {
    "cost.focus": f"${{tenant_id}}.{COSTS}",
    "compliance.ocsf": f"${{tenant_id}}.{FINDINGS}",
}
"""What these fill when they are not told another table."""


@dataclass(frozen=True, slots=True)
class Lineage:
    """What one step reads and writes, as `dataset.table`."""

    inputs: tuple[str, ...] = ()
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Of each column written: `dataset.table.column` of what it is made of."""
    untold: str = ""
    """Why something could not be told."""

    @property
    def size(self) -> int:
        """In bytes, about."""
        names = (*self.inputs, *self.columns, *chain.from_iterable(self.columns.values()))
        return 500 + sum(len(name) + 100 for name in names)


@dataclass(frozen=True, slots=True)
class StepLineage:
    """A step with what it reads and writes."""

    step: StepPart
    target: str
    lineage: Lineage


def lineage_of(request: RunRequestedV1) -> Iterator[StepLineage]:
    """Every step that reads or writes tables. Takes a while: not for the event loop."""
    for step in request.definition.steps:
        written = _text(step, ("target_table", "target")) or _OWN_TARGETS.get(step.type, "")
        target = _table(written, request)
        sql = _text(step, _SQL_FIELDS)
        if sql:
            default = request.datasets[0] if request.datasets else str(request.tenant_id)
            yield StepLineage(step, target, _KNOWN.of(_filled_sql(sql, request), default))
        elif (inputs := tuple(sorted(set(_named(step, request))))) or target:
            yield StepLineage(step, target, Lineage(inputs))


def _named(step: StepPart, request: RunRequestedV1) -> Iterator[str]:
    """Tables that a step without SQL of its own names as what it reads."""
    checks = step.config.get("checks")
    checks = checks if isinstance(checks, list) else []
    others = [check.get("other_table") for check in checks if isinstance(check, Mapping)]
    for written in (step.config.get("source_table"), step.config.get("table"), *others):
        if isinstance(written, str) and (name := _table(written, request)):
            yield name


def lineage_rows(
    envelope: Envelope, request: RunRequestedV1, found: Iterable[StepLineage], now: datetime
) -> list[dict[str, Any]]:
    return [
        {
            "event_id": envelope.id,
            "event_time": envelope.time,
            "tenant_id": request.tenant_id,
            "run_id": request.run_id,
            "pipeline_id": request.config_id,
            "step_id": one.step.step_id,
            "attempt": request.attempt,
            "inputs": json.dumps(one.lineage.inputs),
            "output": one.target or None,
            "columns": json.dumps(one.lineage.columns),
            "untold": one.lineage.untold or None,
            "recorded_at": now,
        }
        for one in found
    ]


def _text(step: StepPart, names: tuple[str, ...]) -> str:
    values = (step.config.get(name) for name in names)
    return next((value for value in values if isinstance(value, str)), "")


def _table(written: str, request: RunRequestedV1) -> str:
    """A table as it is named when it runs, without the partition; empty when that is not known."""
    name = VARIABLE.sub(lambda match: _part_of_name(match, request) or "?", written)
    return "" if "?" in name else name.partition("$")[0]


def _filled_sql(text: str, request: RunRequestedV1) -> str:
    """Values are bound when it runs and say nothing of tables, but where they are in a name."""

    def replacement(match: re.Match[str]) -> str:
        if match["name"] == "tenant_id":
            return f"{match['quote']}{request.tenant_id}{match['quote']}"
        in_name = not match["quote"] and is_in_a_name(match)
        return (_part_of_name(match, request) if in_name else "") or "@given"

    return VARIABLE.sub(replacement, text)


def _part_of_name(match: re.Match[str], request: RunRequestedV1) -> str:
    value = written_in_a_name(match["name"], request) or ""
    return value if fits_in_a_name(value) else ""


class _Known:
    """Of the same SQL nothing is worked out twice, while there is room. Safe between threads."""

    def __init__(self, most_bytes: int = CACHED_BYTES) -> None:
        self._most_bytes = most_bytes
        self._lock = Lock()
        self._found: OrderedDict[bytes, Lineage] = OrderedDict()
        self._bytes = 0

    def of(self, sql: str, default: str) -> Lineage:
        key = sha256(f"{default}\n{sql}".encode("utf-8", "surrogatepass")).digest()
        with self._lock:
            if (known := self._found.get(key)) is not None:
                self._found.move_to_end(key)
                return known
        found = _read(sql, default)
        with self._lock:
            self._bytes += found.size if key not in self._found else 0
            self._found[key] = found
            while self._bytes > self._most_bytes:
                self._bytes -= self._found.popitem(last=False)[1].size
        return found


_KNOWN = _Known()


def _read(sql: str, default: str) -> Lineage:
    try:
        tree = parse_one(sql, dialect=DIALECT)
        inputs = tuple(sorted(_tables(tree, default)))
    except Exception as error:  # noqa: BLE001  whatever a parser chokes on is told in the row
        return Lineage(untold=f"the SQL cannot be read: {type(error).__name__}")
    if len(sql) > LONGEST:
        return Lineage(inputs, untold=f"it has more than {LONGEST} characters")
    try:
        columns = dict(_columns(tree, default))
    except Exception as error:  # noqa: BLE001  as above
        return Lineage(inputs, untold=f"columns cannot be followed: {type(error).__name__}")
    if sum(map(len, columns.values())) > MOST_SOURCES:
        return Lineage(inputs, untold=f"its columns are made of more than {MOST_SOURCES} others")
    return Lineage(inputs, columns)


def _tables(tree: exp.Expr, default: str) -> set[str]:
    named = {cte.alias_or_name for cte in tree.find_all(exp.CTE)}
    return {
        _name(table, default)
        for table in tree.find_all(exp.Table)
        if table.name and (table.db or table.name not in named)
    }


def _name(table: exp.Table, default: str) -> str:
    return f"{table.db or default}.{table.name}"


def _columns(tree: exp.Expr, default: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    whole = qualify(
        tree.copy(),
        dialect=DIALECT,
        validate_qualify_columns=False,
        identify=False,
        quote_identifiers=False,
    )
    scope = build_scope(whole)
    if scope is None or not isinstance(whole, exp.Query):
        return
    for select in whole.selects[:MOST_COLUMNS]:
        if not select.is_star:
            name = select.alias_or_name
            yield name, tuple(sorted(_sources(name, scope, default)))


def _sources(name: str, scope: Scope, default: str) -> set[str]:
    node = to_node(name, scope, DIALECT, trim_selects=False)
    return {
        f"{_name(leaf.expression, default)}.{leaf.name.rpartition('.')[2]}"
        for leaf in node.walk()
        if isinstance(leaf.expression, exp.Table)
    }
